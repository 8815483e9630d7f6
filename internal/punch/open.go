package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// A Budget bounds the SYNs of an attempt.
type Budget interface {
	// Spend waits until a SYN may be sent to an address. It fails if ctx ends before.
	Spend(ctx context.Context, to netip.Addr) error
	// Pended reports that a connect that Spend admitted has been pending for d, in which the
	// kernel repeats the SYN once a second at the most.
	Pended(to netip.Addr, d time.Duration)
}

// A Round is one side's part in one round of a simultaneous open.
type Round struct {
	Ports     []*tcpport.Port // one at least, MaxPorts at most; all that has to do with NATs is about the first
	Remote    []Candidate     // of the peer; those of kind Listener are ignored
	Initiator bool
	Passive   bool // the peer is to connect: begin only after some seconds; see timings
	Late      bool // the peer's NAT opens later: begin later, the second port more so; see timings

	// Delay is how long each port waits in IPv4 before it connects to the peer's port of the same
	// number, and DelayV6 in IPv6. A responder's is the time until the peer begins as well, or near
	// it, so that the SYNs of this pair cross. In IPv4 Late adds to that of the first port; the
	// second waits for the longer of the two.
	Delay, DelayV6 [MaxPorts]time.Duration

	AtCross bool // pairs begin with Cross, none is crossed, and each begins with one burst
	Guess   Guess

	// Receiver gets what the ports that OfferPorts opens accept, and knows which 4-tuples more
	// than one attempt connects. Nil if there is one attempt alone.
	Receiver *Receiver

	// Serve is called with each connection that a connect brought up, and returns when it was
	// chosen (nil) or dropped. It is [Stream.Serve] with accepted false. After an error the connect
	// is repeated, later each time. After nil, or an error that matches ErrNotChosen, no more
	// connects are begun.
	Serve func(*net.TCPConn) error

	Control tcpport.Control // of the sockets of ports that OfferPorts opens; nil for none

	Budget Budget // nil for none
	Trace  Trace  // nil for none

	times *timings // shortened by tests; nil for the usual ones
}

// An Opening is a Round under way. Its methods may be called from any goroutine.
type Opening struct {
	round   Round
	times   timings
	tuples  *tuples
	ctx     context.Context // ends connects
	stop    context.CancelFunc
	workers sync.WaitGroup

	mu         sync.Mutex
	remote     []Candidate    // of the peer, without listeners
	pairs      map[tuple]bool // all that there are
	crossed    []*pair        // not begun yet
	crossing   bool           // crossed pairs are begun
	crossedAt  time.Time      // the meeting moment
	replaced   bool           // they take the place of the first pairs
	restarted  time.Time      // when repeats were last quick again
	again      chan struct{}  // closed when repeats are made quick again
	met        bool           // a connection has come up
	served     int            // connections that connects brought up, and that may be chosen
	refused    bool           // a SYN was refused, on its way through the NATs
	refusal    time.Duration  // how long the first refused connect took
	refusing   chan struct{}  // closed at the first refusal
	launched   int            // pairs that are connected, or were
	short      int            // of these, those given up because there was no socket
	allShort   chan struct{}  // closed when all were
	setShort   sync.Once
	failed     int           // connects that ended by themselves, on their way through the NATs
	unsent     int           // pairs whose SYN could not leave
	failing    chan struct{} // closed when failed reaches manyFailed, or unsent reaches launched
	setFail    sync.Once
	through    map[*pair]bool // pairs that are connected, or were, through NATs in IPv4
	spoiled    chan struct{}  // closed when every pair in through counts as spoiled
	setSpoil   sync.Once
	spoilTimer *time.Timer // after Cross, until that is checked
	result     Result
}

// Open begins to connect. Connects end with ctx; Wait must be called.
func Open(ctx context.Context, r Round) *Opening {
	o := &Opening{
		round:    r,
		times:    defaultTimings,
		tuples:   new(tuples),
		pairs:    make(map[tuple]bool),
		allShort: make(chan struct{}),
		failing:  make(chan struct{}),
		again:    make(chan struct{}),
		through:  make(map[*pair]bool),
		spoiled:  make(chan struct{}),
		refusing: make(chan struct{}),
	}
	if r.times != nil {
		o.times = *r.times
	}
	if r.Receiver != nil {
		o.tuples = &r.Receiver.tuples
	}
	o.ctx, o.stop = context.WithCancel(ctx)
	o.Add(r.Remote)
	o.guess()
	return o
}

// Add adds candidates of the peer to the round.
func (o *Opening) Add(cs []Candidate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil {
		return // Wait may have returned
	}
	for _, c := range cs {
		if c.Kind != Listener {
			o.remote = append(o.remote, c)
		}
	}
	o.addPairs(cs)
}

// Refused returns a channel that is closed when a SYN has been refused on its way through the NATs.
func (o *Opening) Refused() <-chan struct{} { return o.refusing }

// Quiet returns how long no connect may be pending before crossed pairs begin: as long as a refusal
// takes, and an eighth. It is 0 if none are to begin, or no SYN was refused. Some NATs
// forget a port with a RST, so a connect that is refused can end the connection of another pair.
func (o *Opening) Quiet() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.met || len(o.crossed) == 0 {
		return 0
	}
	return o.refusal + o.refusal/8
}

// Cross begins to connect the crossed candidate pairs after a time, the initiator's Quiet, which
// CROSS tells the responder, unless a connection has come up by then. Where a SYN was refused they
// take the place of the others, whose connects are not repeated from now on. If there are none, the
// repeats of the others are quick again. With Round.AtCross it begins all pairs.
//
// The initiator's first port begins later than that: by half a round trip over the relay, so that
// the two SYNs of its pair leave at the same moment, since the responder begins when it has read
// CROSS. The initiator's second port begins at once, so that its SYN leaves first. See
// docs/protocol.md for the NATs for which that makes a difference.
func (o *Opening) Cross(quiet, later time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil || o.met {
		return
	}
	o.replaced = o.refused && len(o.crossed) > 0
	if quiet == 0 {
		o.cross(later)
		return
	}
	o.workers.Go(func() {
		if sleep(o.ctx, quiet) {
			o.record(func(*Result) { o.cross(later) })
		}
	})
}

// cross is Cross after the time. o.mu is held.
func (o *Opening) cross(later time.Duration) {
	if o.replaced = o.refused && len(o.crossed) > 0 && !o.met; o.ctx.Err() != nil || o.met {
		return
	}
	o.crossing, o.crossedAt = true, time.Now().Add(later)
	if o.refused && !o.replaced {
		o.restart(later)
	}
	for _, p := range o.crossed {
		p.crossed = true
		if p.port == o.round.Ports[0] {
			p.wait = max(p.wait, later.Truncate(timerGrain))
		}
	}
	o.launch(o.crossed)
	o.crossed = nil
	o.spoilTimer = time.AfterFunc(later+o.times.spoiled, func() {
		o.record(func(*Result) { o.checkSpoiled() })
	})
}

// goesOn reports whether a pair is to be connected, again.
func (o *Opening) goesOn(p *pair) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return p.crossed || !o.replaced
}

// Short returns a channel that is closed when the system has had no socket for any pair. Nothing
// is connected any more then, and what the peer connects could not be accepted either.
func (o *Opening) Short() <-chan struct{} { return o.allShort }

// giveUp records that a pair was given up because there was no socket.
func (o *Opening) giveUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.short++; o.short == o.launched {
		o.setShort.Do(func() { close(o.allShort) })
	}
}

// manyFailed is more failed connects than most punches have between NATs that refuse SYNs.
const manyFailed = quickRepeats

// Failing returns a channel that is closed when many connects have ended by themselves, as those do
// that are refused, or when no SYN could leave.
func (o *Opening) Failing() <-chan struct{} { return o.failing }

// Spoiled returns a channel that is closed when Cross was called a while ago, and each pair that is
// connected through NATs in IPv4 has failed several times since its moment: SYNs are refused. NATs
// that let a pair in have let it in by then. Those that do not may keep a session for its 4-tuple.
func (o *Opening) Spoiled() <-chan struct{} { return o.spoiled }

// spoiledFailures is how often a spoiled pair has failed since the moment of Cross. Another pair
// is usually refused once: a side that repeats at once has a SYN on the way when the peer's
// arrives.
const spoiledFailures = 3

// checkSpoiled closes the channel that Spoiled returns, if it is to be closed. o.mu is held.
func (o *Opening) checkSpoiled() {
	if !o.crossing || o.met || o.ctx.Err() != nil || time.Since(o.crossedAt) < o.times.spoiled {
		return
	}
	some := false
	for p := range o.through {
		if p.crossed || !o.replaced {
			if some = true; p.failed < spoiledFailures {
				return
			}
		}
	}
	if some {
		o.setSpoil.Do(func() { close(o.spoiled) })
	}
}

// Wait waits until all connects and calls of Serve have ended, and returns their result. To end
// them, the caller ends the context and the stream.
func (o *Opening) Wait() Result {
	<-o.ctx.Done()
	o.record(func(*Result) {}) // takes the lock: a call of Add or Cross that has begun a connect is over
	o.workers.Wait()
	o.stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spoilTimer != nil {
		o.spoilTimer.Stop()
	}
	return o.result
}

// A Result is the outcome of an Opening's connects.
type Result struct {
	Connects int // begun in all
	Refused  int // of them; see [tcpport.IsRefused]
	Up       int // connections that connects brought up

	// Err is the most specific error of a connect, a timeout only if there is no other. Nil for
	// none.
	Err error

	// Dropped is why a connection that a connect brought up was of no use: the latest error that
	// shows what the other end did, or else the first error. Nil for none.
	Dropped error
}

// record changes the result, or what else is known of the connects.
func (o *Opening) record(f func(*Result)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.result)
}

// report records the error of a connect if it is at least as specific as the one before. The
// kernel's error about an address comes first, then that nothing could be sent or that the 4-tuple
// was taken, and a timeout last.
func (r *Result) report(err error) {
	if rank(err) >= rank(r.Err) {
		r.Err = err
	}
}

// drop records why a connection was of no use.
func (r *Result) drop(err error) {
	telling := func(e error) bool { return errors.Is(err, e) }
	if r.Dropped == nil || slices.ContainsFunc([]error{ErrPreamble, ErrToken, ErrFrame, ErrSilent, ErrHungUp}, telling) {
		r.Dropped = err
	}
}

func rank(err error) int {
	var timeout net.Error
	var kernel *net.OpError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &timeout) && timeout.Timeout():
		return 1
	case errors.Is(err, tcpport.ErrTupleTaken), !errors.As(err, &kernel):
		return 2
	default:
		return 3
	}
}

func (o *Opening) trace(step Step, local uint16, remote netip.AddrPort, err error) {
	if o.round.Trace != nil {
		o.round.Trace(step, local, remote, err)
	}
}
