package holepunch

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// An attempt runs a session. One goroutine takes the events and performs the actions; while the
// caller waits, it is the caller's. Helpers do what takes time, and the attempt waits for them in
// the end.
type attempt struct {
	agent   *Agent
	opts    Options
	session session
	signal  Stream
	stream  *punch.Stream

	caller context.Context // of Dial or Accept
	ctx    context.Context // of the helpers
	cancel context.CancelFunc

	events  chan func()   // from the helpers
	ended   chan struct{} // closed when no more are taken
	helpers sync.WaitGroup

	timer     *time.Timer
	deadlines [numTimers]time.Time

	atEnd       []func()            // give back what the attempt has taken
	budget      *budget             // nil until there is one
	description *gather.Description // the next round's; nil while a round has it
	described   *gather.Description // the first round's, perhaps released
	hostLinks   []netip.Prefix      // of the description
	doubt       error               // of the last description
	round       *round              // nil between rounds
	handshake   *handshake          // nil without

	connects    atomic.Int64                 // of all rounds
	result      atomic.Pointer[punch.Result] // of the last round that has ended
	streamEnded bool
	delivered   bool
	over        bool
	err         *PunchError // when it is over; nil for a connection
}

// An opening is a [punch.Opening].
type opening interface {
	Add([]punch.Candidate)
	Refused() <-chan struct{}
	Quiet() time.Duration
	Cross(quiet, later time.Duration)
	Short() <-chan struct{}
	Failing() <-chan struct{}
	Spoiled() <-chan struct{}
	Wait() punch.Result
}

func newAttempt(ctx context.Context, a *Agent, s Stream, o *Options, initiator bool) *attempt {
	at := &attempt{
		agent:  a,
		caller: ctx,
		signal: s,
		events: make(chan func()),
		ended:  make(chan struct{}),
		timer:  time.NewTimer(a.timeout + choiceDelay),
	}
	if o != nil {
		at.opts = *o
	}
	at.ctx, at.cancel = context.WithCancel(context.WithoutCancel(ctx))
	at.session = session{
		do:        at,
		initiator: initiator,
		token:     punch.NewToken(),
		guessing:  a.guessing,
		timeout:   a.timeout,
	}
	if initiator {
		at.session.state = preparing
		rand.Read(at.session.attempt[:])
	} else {
		at.session.timeout += choiceDelay
	}
	at.session.window = roundWindow(at.session.timeout)
	if at.opts.Handshake != nil {
		at.session.protocols = at.opts.Handshake.Protocols
	}
	at.session.toRelay = max(at.opts.RelayRTT, 0) / 2
	if at.opts.Elsewhere != nil {
		at.session.elsewhere = elsewhereUnasked
	}
	at.stream = punch.NewStream(punch.StreamConfig{
		Initiator: initiator,
		Token:     at.session.token,
		Admit:     at.opts.Admit,
		Trace:     stepTrace(at.opts.Trace),
	})
	return at
}

// run returns the connection or the failure. The attempt may go on after that, until the choice.
func (at *attempt) run() (*Conn, error) {
	err := at.begin()
	for err == nil && !at.delivered && !at.over {
		at.next()
	}
	switch {
	case err != nil:
		at.err = &PunchError{Op: "admit", Err: err}
	case at.delivered:
		at.agent.attempts.Go(func() {
			for !at.over {
				at.next()
			}
			at.end()
		})
		return at.conn(), nil
	}
	at.end()
	if at.err != nil {
		return nil, at.failure()
	}
	return at.conn(), nil
}

// begin starts the session, if the limits allow it.
func (at *attempt) begin() error {
	if h := at.opts.Handshake; h != nil {
		if err := h.check(); err != nil {
			return err
		}
	}
	if at.session.initiator {
		if err := at.admit(nil); err != nil {
			return err
		}
	}
	at.session.now = time.Now()
	at.helpers.Go(at.read)
	at.session.start()
	return nil
}

// admit begins the attempt if the limits allow it and refuse does, which may be nil.
func (at *attempt) admit(refuse func() error) (err error) {
	if at.budget, err = at.agent.limiter.begin(at.opts.Peer); err != nil {
		return err
	}
	at.atEnd = append(at.atEnd, at.budget.end)
	if refuse != nil {
		if err := refuse(); err != nil {
			return err
		}
	}
	if at.opts.Started != nil {
		at.opts.Started()
	}
	return nil
}

// next waits for an event and has the session take it.
func (at *attempt) next() {
	caller, usable, chosen, ended := at.caller.Done(), at.stream.Usable(), at.stream.Chosen(), at.stream.Done()
	if at.delivered {
		caller = nil
	}
	if at.session.usable {
		usable = nil
	}
	if at.session.chosen {
		chosen = nil
	}
	select {
	case <-chosen: // before what else happened meanwhile: a busy process may be late
		at.session.onChosen()
		return
	default:
	}
	if at.streamEnded {
		ended = nil
	}
	var refused, short, failing, spoiled <-chan struct{}
	if at.round != nil {
		short = at.round.Short()
		if !at.round.refused {
			refused = at.round.Refused()
		}
		if !at.round.spoiled {
			spoiled = at.round.Spoiled()
		}
		if !at.session.egressAsked {
			failing = at.round.Failing()
		}
	}
	select {
	case event := <-at.events:
		at.session.now = time.Now()
		event()
	case <-at.timer.C:
		at.fireTimers()
	case <-caller:
		at.session.onContextEnded(at.caller.Err())
	case <-at.agent.ctx.Done():
		at.session.onClosed()
	case <-usable:
		at.session.onUsable()
	case <-chosen:
		at.session.onChosen()
	case <-ended:
		at.onStreamEnded()
	case <-short:
		at.session.onShort()
	case <-failing:
		at.session.suspectEgress()
	case <-refused:
		at.round.refused = true // once
		at.session.now = time.Now()
		at.session.onRefused()
	case <-spoiled:
		at.round.spoiled = true // once
		at.session.now = time.Now()
		at.session.onSpoiled()
	}
}

// onStreamEnded handles the end of the stream. A handshake that has closed it says why when it
// returns.
func (at *attempt) onStreamEnded() {
	at.streamEnded = true
	err := at.stream.Err()
	if at.handshake == nil || at.session.secured || !errors.Is(err, net.ErrClosed) {
		at.session.onStreamEnded(err)
	}
}

// post gives the session an event, from a helper. It reports whether the session takes any more.
func (at *attempt) post(event func()) bool {
	select {
	case at.events <- event:
		return true
	case <-at.ended:
		return false
	}
}

func (at *attempt) setTimer(t timer, d time.Duration) {
	at.deadlines[t] = time.Time{}
	if d > 0 {
		at.deadlines[t] = time.Now().Add(d)
	}
	at.armTimer()
}

// armTimer sets the one timer to the earliest deadline.
func (at *attempt) armTimer() {
	var first time.Time
	for _, d := range at.deadlines {
		if !d.IsZero() && (first.IsZero() || d.Before(first)) {
			first = d
		}
	}
	at.timer.Stop()
	if !first.IsZero() {
		at.timer.Reset(time.Until(first))
	}
}

func (at *attempt) fireTimers() {
	now := time.Now()
	for t, d := range at.deadlines {
		if !d.IsZero() && !d.After(now) {
			at.deadlines[t] = time.Time{}
			at.session.onTimer(timer(t))
		}
	}
	at.armTimer()
}

func (at *attempt) deliver() { at.delivered = true }

func (at *attempt) finish(err *PunchError) { at.over, at.err = true, err }

// conn returns the connection.
func (at *attempt) conn() *Conn {
	if at.handshake != nil {
		return &Conn{at.handshake.conn, at.stream}
	}
	return &Conn{at.stream, at.stream}
}

// end stops all that is under way, and waits for it. Without a connection nothing is left.
func (at *attempt) end() {
	at.cancel()
	at.endRound()
	if at.err != nil {
		at.stream.Fail(at.err) // unless a connection was chosen meanwhile
		if !at.delivered {
			at.stream.Close()
		}
		if at.handshake != nil {
			at.handshake.conn.fail(at.err)
		}
	}
	at.noteEgress()
	close(at.ended)
	at.signal.SetReadDeadline(past) // for read
	at.helpers.Wait()
	at.signal.SetReadDeadline(time.Time{})
	at.timer.Stop()
	if at.description != nil {
		at.agent.release(at.description)
	}
	if c := at.stream.TCPConn(); c != nil && at.err == nil {
		at.budget.repay(c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(), !at.session.initiator)
	}
	for _, f := range at.atEnd {
		f()
	}
}
