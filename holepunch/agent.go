package holepunch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// An Agent punches on behalf of a program. Its methods may be called from several goroutines.
type Agent struct {
	guessing bool
	control  tcpport.Control
	timeout  time.Duration
	limiter  *limiter
	receiver *punch.Receiver
	gatherer *gather.Gatherer

	// The parts of the host that attempts use. Tests replace them.
	gather        func(context.Context, gather.Options) (*gather.Description, error)
	predict       func(*gather.Description, context.Context) (*gather.Description, error)
	release       func(*gather.Description)
	open          func(context.Context, punch.Round) opening
	expect        func(punch.Token, func(*net.TCPConn)) (cancel func())
	lanCandidates func(port uint16) []punch.Candidate
	egress        func(ctx context.Context, peer []netip.AddrPort) (stun.Fact, error)
	gotOut        func(d *gather.Description, local netip.Addr, remote netip.AddrPort)
	learnt        func(*gather.Description) stun.Behaviour

	ctx    context.Context // ends with the agent
	cancel context.CancelFunc

	mu       sync.Mutex
	closed   bool
	attempts sync.WaitGroup // no more begin when closed is set
}

// defaultTimeout is what libp2p gives a dial.
const defaultTimeout = 15 * time.Second

// NewAgent returns an Agent, which opens no socket and starts no goroutine before it is used. Close
// must be called after that. The error says what is wrong with the configuration.
func NewAgent(c Config) (*Agent, error) {
	g, err := c.gatherConfig()
	if err != nil {
		return nil, fmt.Errorf("holepunch: %w", err)
	}
	a := &Agent{
		guessing: c.PortGuessing,
		control:  c.Control,
		timeout:  cmp.Or(c.Timeout, defaultTimeout),
		limiter:  newLimiter(c.Limits),
		receiver: punch.NewReceiver(),
		predict:  (*gather.Description).Predict,
		release:  (*gather.Description).Release,
		open:     func(ctx context.Context, r punch.Round) opening { return punch.Open(ctx, r) },
	}
	g.Accept = a.receiver.Accept
	a.gatherer = gather.New(g)
	a.gather, a.lanCandidates, a.expect = a.gatherer.Gather, a.gatherer.LANCandidates, a.receiver.Expect
	a.egress, a.gotOut, a.learnt = a.gatherer.Egress, a.gatherer.GotOut, a.gatherer.BehaviourSince
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a, nil
}

// SetWarm sets whether the agent keeps its ports warm: with connections to STUN servers that hold
// their mappings. See Config.WarmPorts.
func (a *Agent) SetWarm(warm bool) { a.gatherer.SetWarm(warm) }

// SetConns sets the application's own connections, over TCP or UDP, with the addresses from which
// their other ends see the host. They show the host's external addresses. Where its NATs preserve
// port numbers, they also show the reflexive addresses of its punching ports, and no further
// connection is needed. Punched connections only confirm that a port's mapping is kept: their other
// ends may be strangers. Callers also call SetConns when Config.Observers would return others than
// before. It does not block.
func (a *Agent) SetConns(own, punched []stun.ObservedConn) { a.gatherer.SetConns(own, punched) }

// Prepare asks now for what an attempt has to know. Call it when an attempt is likely to begin
// within seconds. It does not block.
func (a *Agent) Prepare() { a.gatherer.Prepare() }

// Asks reports whether an attempt that began now would connect to one of Config.Observers.
func (a *Agent) Asks() bool { return a.gatherer.Asks() }

// Port returns the number of the agent's first port, which it opens if need be.
func (a *Agent) Port() (uint16, error) { return a.gatherer.Port() }

// Close ends every attempt with [ErrClosed] and gives up the ports. Connections live on, once they
// are chosen.
func (a *Agent) Close() error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.attempts.Wait()
	return errors.Join(a.receiver.Close(), a.gatherer.Close())
}

// Dial makes an attempt as initiator: it sends an OFFER over the stream, punches, and returns the
// connection that it has chosen. The peer calls [Agent.Accept] on its end of the stream. Dial takes
// Config.Timeout at most. A failure is a [*PunchError]; [ReasonOf] returns why.
func (a *Agent) Dial(ctx context.Context, s Stream, o *Options) (*Conn, error) {
	return a.attempt(ctx, s, o, true)
}

// Accept makes an attempt as responder, for an OFFER that comes over the stream. Without a
// handshake it returns the connection when the initiator has chosen one. With a handshake it
// returns when that is done, which may be half a round trip earlier. The agent then goes on reading
// from the stream until [Conn.AwaitChoice] returns; closing the stream earlier does no harm. A
// failure is a [*PunchError].
func (a *Agent) Accept(ctx context.Context, s Stream, o *Options) (*Conn, error) {
	return a.attempt(ctx, s, o, false)
}

func (a *Agent) attempt(ctx context.Context, s Stream, o *Options, initiator bool) (*Conn, error) {
	a.mu.Lock()
	closed := a.closed
	if !closed {
		a.attempts.Add(1)
	}
	a.mu.Unlock()
	if closed {
		return nil, &PunchError{Op: "admit", Err: ErrClosed}
	}
	defer a.attempts.Done()
	return newAttempt(ctx, a, s, o, initiator).run()
}
