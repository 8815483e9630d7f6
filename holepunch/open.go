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

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// Window is how long a punch goes on by default. A SYN lost twice is back after 3 s
// (older kernels retransmit at 1, 3 and 7 s), NATs hold an unsolicited SYN
// for 6 s (RFC 5382, REQ-4), and libp2p gives a dial 15 s in all, of which
// signalling and handshake need a part.
const Window = 10 * time.Second

// A Punch is one peer's part in a simultaneous open.
type Punch struct {
	Locals  []Local            // one at least, [MaxLocals] at most
	Remote  []Candidate        // of the peer, from [Admissible]
	More    <-chan []Candidate // further ones; nil for none
	Window  time.Duration      // how long connects are begun; 0 means [Window]
	Guess   Guess              // NoGuess, unless both peers are willing
	Passive bool               // the peer is to connect; see [Passive]
	Late    bool               // the peer begins a little later; see [Lone]
	Exact   bool               // the peer's NAT is known to give it its candidates' ports, and no others
	Cross   <-chan struct{}    // when it is closed, crossed pairs begin; nil for after 200 ms; see [CrossWait]
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

// Open is the initiator's simultaneous open (RFC 9293, section 3.5). It connects to every candidate and
// accepts the peer's connections, shakes hands on the first that is up, and
// returns what the handshake made of it. Other connections have their turn if
// that fails or takes longer than it should; the first that asks [Conn.Choose] wins if it
// can be secured, and the rest is reset after that. The error is a [*PunchError].
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
	shake   handshake[C]
	deliver func(C)

	up       chan *Conn     // from connect and guess
	shakes   chan result[C] // from the handshakes that shakeOn began
	choices  chan *Conn     // from them, too, of an initiator
	workers  sync.WaitGroup
	attempts atomic.Int64          // connects tried; shared
	lastErr  atomic.Pointer[error] // of connect; shared
	refused  atomic.Bool           // a SYN to a peer's NAT was; shared

	begin       time.Time
	stopConnect context.CancelFunc
	stopShake   context.CancelFunc

	contest
	stagger   time.Duration // between the beginnings of two handshakes; 0 until there is a connection to a candidate
	lastShake error         // why the last connection to a candidate was given up
	nextTurn  *time.Timer
	crossed   []*route // not begun yet
	crossTurn *time.Timer
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
		contest:   contest{initiator: initiator},
		shake:     shake,
		deliver:   deliver,
		up:        make(chan *Conn),
		shakes:    make(chan result[C]),
		choices:   make(chan *Conn),
		begin:     time.Now(),
		nextTurn:  time.NewTimer(maxStagger),
		crossTurn: time.NewTimer(crossWait),
	}
	if spec.Cross != nil {
		p.crossTurn.Stop()
	}
	defer p.nextTurn.Stop()
	defer p.crossTurn.Stop()

	connectCtx, stopConnect := context.WithTimeout(ctx, p.Window)
	shakeCtx, stopShake := context.WithTimeout(ctx, p.Window+p.shakeTimeout())
	p.stopConnect, p.stopShake = stopConnect, stopShake
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

// loop owns the punch until it is over.
func (p *punch[C]) loop(connectCtx, shakeCtx context.Context) {
	windowEnd, cross := connectCtx.Done(), p.Cross
	var accepted [MaxLocals]<-chan *net.TCPConn
	for i, l := range p.Locals {
		accepted[i] = l.Expect.Conns()
	}
	for {
		select {
		case c := <-p.up:
			p.enqueue(c)
		case c := <-accepted[0]:
			p.accept(c, &accepted[0])
		case c := <-accepted[1]:
			p.accept(c, &accepted[1])
		case r := <-p.shakes:
			p.finish(r)
		case c := <-p.choices:
			grant(p.ask(c))
		case cs := <-p.More:
			p.Remote = append(slices.Clip(p.Remote), cs...)
			p.launch(connectCtx, cs)
		case <-p.nextTurn.C:
			p.impatient = true
		case <-p.crossTurn.C:
			p.cross(connectCtx)
		case <-cross:
			cross = nil
			p.cross(connectCtx)
		case <-windowEnd:
			windowEnd, p.windowOver = nil, true
		case <-shakeCtx.Done():
			return
		}
		for c := p.due(); c != nil; c = p.due() {
			p.shakeOn(shakeCtx, c)
		}
		if p.settled() {
			return
		}
	}
}

// accept takes a connection that a port accepted, or nil when the port was closed.
func (p *punch[C]) accept(c *net.TCPConn, from *<-chan *net.TCPConn) {
	if c == nil {
		*from = nil
		return
	}
	p.enqueue(newConn(c, true))
}

// end stops all that is under way and waits for it.
func (p *punch[C]) end() {
	p.over = true
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
		case r := <-p.shakes:
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
	case cause != nil && errors.Is(*cause, ErrBusy) && p.attempts.Load() == 0: // at the end of the window there is none to spare, either
		err = *cause
	case cause != nil:
		reason, told := ErrNoConnection, *cause
		if errors.Is(told, tcpport.ErrShort) {
			reason = ErrNoSocket
		}
		if op := (*net.OpError)(nil); errors.As(told, &op) {
			told = op.Err
		}
		err = fmt.Errorf("%w: %w", reason, told)
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
