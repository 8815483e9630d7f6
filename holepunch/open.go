package holepunch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// Window is how long a punch goes on by default. A SYN lost twice is back after 3 s
	// (older kernels retransmit at 1, 3 and 7 s), NATs hold an unsolicited SYN
	// for 6 s (RFC 5382, REQ-4), and libp2p gives a dial 15 s in all, of which
	// signalling and handshake need a part.
	Window = 10 * time.Second

	// stagger is how long an initiator gives the connection that it chose
	// before it tries another one beside it: at least, and as long as it took to get one. Longer
	// than a handshake on a good path, so that the choice is nearly always the only one; and
	// where machine or path are slow, a second handshake would not make them faster.
	stagger = 500 * time.Millisecond

	// shakeTimeout is how long a handshake may take. A NAT may drop the mapping of a
	// connection that is just up, when a late RST passes it: both ends have the
	// connection, and neither hears of the other. Then another is made within
	// the window. A handshake takes two or three round trips, or a second more for
	// each packet that is lost. A responder gives it twice that: the initiator begins when it
	// will, and is the one to choose.
	shakeTimeout = 5 * time.Second

	// maxStrangers bounds the handshakes with ends that are no candidate.
	maxStrangers = 8

	// launchPause is between the first connects to two candidates. A NAT with
	// sequential ports gives them theirs in the order in which the SYNs
	// leave, and the peer counts on the order in which it named its candidates.
	// It is time for a system call, and little in a burst of eight.
	launchPause = time.Millisecond

	// maxFailures is how many connections to candidates may fail their handshake
	// before the punch is given up: the peer is there, and will not have it. A
	// connection that comes up on one side only, as a RST crosses it, costs
	// one or two.
	maxFailures = 8

	// maxQueue bounds the connections that wait for their handshake: as many as
	// a port keeps for an attempt that does not know its peer's candidates yet.
	maxQueue = 64
)

// A Punch is one peer's part in a simultaneous open.
type Punch struct {
	Locals  []Local            // one at least
	Remote  []Candidate        // of the peer, from [Admissible]
	More    <-chan []Candidate // further ones; nil for none
	Window  time.Duration      // how long connects are begun; 0 means [Window]
	Guess   Guess              // NoGuess, unless both peers are willing
	Passive bool               // the peer is to connect; see [Passive]
	Budget  *Budget            // nil for no bound
	Trace   func(Event)        // nil for none; called from several goroutines
}

// A Local is a port that a punch is made from. All that has to do with
// NATs goes for the first. Those after it are raced with it: each connects to the
// reflexive addresses of one of the peer's ports, so that a lost SYN of one pair delays nothing.
type Local struct {
	Port   *tcpport.Port
	Expect *tcpport.Expectation // told [tcpport.Expectation.From] already
}

// A handshake turns a connection into what the caller wants of it, and fails
// if the other end does not prove to be the peer. When ctx ends it returns at
// once. On failure it has closed the connection, or leaves it to the punch.
type handshake[C io.Closer] func(ctx context.Context, c *Conn) (C, error)

// Open is the initiator's simultaneous open. It connects to every candidate and
// accepts the peer's connections, shakes hands on the first that is up, and
// returns what the handshake made of it. Other connections have their turn if
// that fails or takes longer than half a second; whichever is secured first
// wins, and the rest is reset after that. The error is a [*PunchError].
func Open[C io.Closer](ctx context.Context, p Punch, shake func(context.Context, *Conn) (C, error)) (C, error) {
	var won C
	err := run(ctx, p, shake, func(c C) { won = c }, true)
	return won, err
}

// Serve is the responder's simultaneous open. The initiator chooses the
// connection, so every one that comes up is served a handshake, and deliver
// gets each that was secured: one nearly always, for the initiator resets the
// others. Serve returns when one was delivered and no other handshake is under
// way, which takes 10 s at most, or with a [*PunchError].
func Serve[C io.Closer](ctx context.Context, p Punch, shake func(context.Context, *Conn) (C, error), deliver func(C)) error {
	return run(ctx, p, shake, deliver, false)
}

// A punch is a Punch under way. The goroutine in loop owns all that is not said
// to be shared.
type punch[C io.Closer] struct {
	Punch
	initiator bool
	shake     handshake[C]
	deliver   func(C)

	up       chan *Conn     // from connect and accept
	shaken   chan result[C] // from the handshakes that start began
	workers  sync.WaitGroup
	attempts atomic.Int64          // connects tried; shared
	lastErr  atomic.Pointer[error] // of connect; shared

	begin       time.Time
	stopConnect context.CancelFunc
	stopShake   context.CancelFunc

	queue     []*Conn            // up, and not yet in their handshake
	shaking   map[*Conn]struct{} // in their handshake
	patient   bool               // the stagger has not run out
	won       bool
	failures  int   // of handshakes with candidates
	lastShake error // why the last connection was given up
	nextTurn  *time.Timer
}

type result[C io.Closer] struct {
	conn  *Conn
	value C
	err   error
}

func run[C io.Closer](ctx context.Context, spec Punch, shake handshake[C], deliver func(C), initiator bool) error {
	if spec.Window == 0 {
		spec.Window = Window
	}
	p := &punch[C]{
		Punch:     spec,
		initiator: initiator,
		shake:     shake,
		deliver:   deliver,
		up:        make(chan *Conn),
		shaken:    make(chan result[C]),
		begin:     time.Now(),
		shaking:   make(map[*Conn]struct{}),
		nextTurn:  time.NewTimer(stagger),
		patient:   true,
	}
	defer p.nextTurn.Stop()

	connectCtx, stopConnect := context.WithTimeout(ctx, p.Window)
	shakeCtx, stopShake := context.WithTimeout(ctx, p.Window+p.shakeTimeout())
	p.stopConnect, p.stopShake = stopConnect, stopShake
	for _, l := range p.Locals {
		p.workers.Go(func() { p.accept(shakeCtx, l) })
	}
	p.launch(connectCtx, p.Remote)
	if p.Guess != NoGuess {
		p.workers.Go(func() { p.guess(connectCtx) })
	}
	p.loop(connectCtx, shakeCtx)
	reason := p.reason(ctx) // before the handshakes under way end for another
	p.end()

	if p.won {
		return nil
	}
	return &PunchError{
		Op:       "open",
		Local:    p.Locals[0].Port.Number(),
		Remote:   addrsOf(p.Remote),
		Attempts: int(p.attempts.Load()),
		Err:      reason,
	}
}

// launch begins to connect to candidates, one after another.
func (p *punch[C]) launch(ctx context.Context, cs []Candidate) {
	type pair struct {
		local Local
		to    Candidate
	}
	var pairs []pair
	for _, c := range cs {
		for _, l := range p.connecting(c) {
			pairs = append(pairs, pair{l, c})
		}
	}
	p.workers.Go(func() {
		for i, pair := range pairs {
			if i > 0 && !sleep(ctx, launchPause) {
				return
			}
			p.workers.Go(func() { p.connect(ctx, pair.local.Port, pair.to) })
		}
	})
}

// connecting are our ports that connect to a candidate. The ports of both sides are
// paired in their order, and the last of the side that has fewer with all that are left.
func (p *punch[C]) connecting(to Candidate) []Local {
	if to.Kind != pb.Candidate_REFLEXIVE {
		return p.Locals[:1]
	}
	last := 0 // of theirs
	for _, c := range p.Remote {
		last = max(last, c.Local)
	}
	var ls []Local
	for i, l := range p.Locals {
		if min(i, last) == min(to.Local, len(p.Locals)-1) {
			ls = append(ls, l)
		}
	}
	return ls
}

// accept hands a port's accepted connections to the loop.
func (p *punch[C]) accept(ctx context.Context, l Local) {
	for {
		select {
		case c, ok := <-l.Expect.Conns():
			if !ok { // the port was closed
				return
			}
			if !p.bring(ctx, newConn(c, true)) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// loop owns the punch until it is over.
func (p *punch[C]) loop(connectCtx, shakeCtx context.Context) {
	windowEnd := connectCtx.Done()
	for {
		select {
		case c := <-p.up:
			kind := Connected
			if c.Accepted {
				kind = Accepted
				c.Candidate = slices.Contains(addrsOf(p.Remote), c.Remote())
			}
			p.trace(Event{Kind: kind, Local: c.local(), Remote: c.Remote()})
			p.enqueue(c)
		case r := <-p.shaken:
			p.finish(r)
		case cs := <-p.More:
			p.Remote = append(slices.Clip(p.Remote), cs...)
			p.launch(connectCtx, cs)
		case <-p.nextTurn.C:
			p.patient = false
		case <-windowEnd:
			windowEnd = nil
		case <-shakeCtx.Done():
			return
		}
		if p.won && (p.initiator || len(p.shaking) == 0) || p.failures >= maxFailures {
			return
		}
		p.turns(shakeCtx)
		if connectCtx.Err() != nil && !p.won && len(p.shaking) == 0 {
			return
		}
	}
}

func (p *punch[C]) enqueue(c *Conn) {
	if len(p.queue) >= maxQueue {
		p.giveUp(c, errors.New("too many connections wait"))
		return
	}
	p.queue = append(p.queue, c)
}

// turns starts the handshakes whose turn it is. When a responder has a secured
// connection, the initiator has its own, be it the same or one whose handshake is under way
// here: no other is of use to it.
func (p *punch[C]) turns(ctx context.Context) {
	if p.won {
		return
	}
	for i := 0; i < len(p.queue); {
		if p.hasTurn(p.queue[i]) {
			p.start(ctx, i)
		} else {
			i++
		}
	}
}

// hasTurn: a responder serves whoever shakes hands. An initiator chooses, and
// while it tries a candidate's connection the others wait, lest two become
// secured and the peers disagree on which; for half a second, which is time for a
// handshake. Strangers never make it wait.
func (p *punch[C]) hasTurn(c *Conn) bool {
	candidates, strangers := 0, 0
	for s := range p.shaking {
		if s.Candidate {
			candidates++
		} else {
			strangers++
		}
	}
	if p.initiator && candidates > 0 && p.patient {
		return false
	}
	return c.Candidate || strangers < maxStrangers
}

func (p *punch[C]) start(ctx context.Context, i int) {
	c := p.queue[i]
	p.queue = append(p.queue[:i], p.queue[i+1:]...)
	p.shaking[c] = struct{}{}
	p.patient = true
	p.nextTurn.Reset(max(stagger, time.Since(p.begin)))
	p.workers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, p.shakeTimeout())
		defer cancel()
		value, err := p.shake(ctx, c)
		p.shaken <- result[C]{c, value, err}
	})
}

func (p *punch[C]) shakeTimeout() time.Duration {
	if p.initiator {
		return shakeTimeout
	}
	return 2 * shakeTimeout
}

// finish takes what a handshake came to.
func (p *punch[C]) finish(r result[C]) {
	delete(p.shaking, r.conn)
	if r.err != nil {
		if r.conn.Candidate {
			p.failures++
		}
		p.giveUp(r.conn, r.err)
		return
	}
	if p.won && p.initiator {
		r.value.Close()
		return
	}
	p.trace(Event{Kind: Secured, Local: r.conn.local(), Remote: r.conn.Remote()})
	p.deliver(r.value)
	if !p.won {
		p.won = true
		p.stopConnect()
	}
}

func (p *punch[C]) giveUp(c *Conn, err error) {
	p.trace(Event{Kind: Unsecured, Local: c.local(), Remote: c.Remote(), Err: err})
	p.lastShake = err
	tcpport.Reset(c.TCPConn)
	if c.failed != nil {
		close(c.failed)
	}
}

// end stops all that is under way and waits for it.
func (p *punch[C]) end() {
	p.stopConnect()
	p.stopShake()
	idle := make(chan struct{})
	go func() {
		p.workers.Wait()
		close(idle)
	}()
	for {
		select {
		case c := <-p.up:
			tcpport.Reset(c.TCPConn)
		case r := <-p.shaken:
			p.finish(r)
		case <-idle:
			for _, c := range p.queue {
				tcpport.Reset(c.TCPConn)
			}
			return
		}
	}
}

// reason says why no connection was won.
func (p *punch[C]) reason(ctx context.Context) error {
	var err error
	switch cause := p.lastErr.Load(); {
	case p.lastShake != nil:
		err = fmt.Errorf("%w: %w", ErrHandshake, p.lastShake)
	case cause != nil:
		var op *net.OpError
		if errors.As(*cause, &op) {
			err = fmt.Errorf("%w: %w", ErrNoConnection, op.Err)
		} else {
			err = fmt.Errorf("%w: %w", ErrNoConnection, *cause)
		}
	default:
		err = fmt.Errorf("%w: no answer to our SYNs", ErrNoConnection)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w (until then: %v)", context.Cause(ctx), err)
	}
	return err
}

func (p *punch[C]) trace(e Event) {
	if p.Trace != nil {
		p.Trace(e)
	}
}
