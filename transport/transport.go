package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	logging "github.com/libp2p/go-libp2p/gologshim"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

var log = logging.Logger("simopen")

// Transport is the libp2p transport. It dials by signalling over a relayed
// connection to the peer, which must be there, and a simultaneous open.
//
// [Enable] does all that is needed to have one in a host. [New] and [Attach] are
// the parts, for hosts that are put together by hand.
type Transport struct {
	cfg      config
	log      *slog.Logger
	metrics  *metrics // nil without
	emitters emitters // from Attach on
	upgrader tpt.Upgrader
	parts    hostParts
	rcmgr    network.ResourceManager
	gater    connmgr.ConnectionGater
	limiter  *holepunch.Limiter
	ranked   *ranker
	nat      nat
	kept     keeper

	// listenAnywhere allows listeners at /ip4/A/tcp/P/simopen, each with a port
	// of its own and in its address. go-libp2p's test suite needs to tell
	// listeners apart; hosts would advertise the address.
	listenAnywhere bool

	// ctx ends, and running is waited for, on Close.
	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	running   sync.WaitGroup // Add only under mu, while not closed
	closed    bool
	host      host.Host // nil until Attach
	detach    func()
	port      *warmPort // the host's own; opened when first needed
	listeners []*listener
	dialing   map[peer.ID]*dialing
	offering  map[peer.ID]int        // attempts as initiator; see glare.go
	answering map[peer.ID]*answering // attempts as responder
}

var _ tpt.Transport = (*Transport)(nil)

// New makes a transport from a host's parts, in a form that fits
// [libp2p.Transport] as well. It has no side effects: it opens no socket and
// starts no goroutine. Until [Attach], Dial fails with [ErrNotEnabled].
//
// Relays are asked for the host's reflexive address with go-libp2p's default
// security and muxers, for an Upgrader does not tell its own. A host that has
// others, or is in a private network, takes [Enable], or [WithSTUNServers].
func New(upgrader tpt.Upgrader, rcmgr network.ResourceManager, gater connmgr.ConnectionGater, opts ...Option) (*Transport, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return newTransport(upgrader, defaultParts, rcmgr, gater, newRanker(false), cfg), nil
}

func newTransport(upgrader tpt.Upgrader, parts hostParts, rcmgr network.ResourceManager, gater connmgr.ConnectionGater, ranked *ranker, cfg config) *Transport {
	if rcmgr == nil {
		rcmgr = &network.NullResourceManager{}
	}
	t := &Transport{
		cfg:       cfg,
		log:       cfg.log,
		upgrader:  upgrader,
		parts:     parts,
		rcmgr:     rcmgr,
		gater:     gater,
		limiter:   holepunch.NewLimiter(cfg.limits),
		ranked:    ranked,
		dialing:   make(map[peer.ID]*dialing),
		offering:  make(map[peer.ID]int),
		answering: make(map[peer.ID]*answering),
	}
	if cfg.registerer != nil {
		t.metrics = newMetrics(cfg.registerer)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// CanDial matches /simopen and /ip4|ip6/A/tcp/P/simopen.
func (t *Transport) CanDial(a ma.Multiaddr) bool { return isSimopen(a) }

// Protocols returns the code of /simopen.
func (t *Transport) Protocols() []int { return []int{pSimopen} }

// Proxy is false: the connections are direct, and the swarm counts them so.
func (t *Transport) Proxy() bool { return false }

// String is "simopen".
func (t *Transport) String() string { return "simopen" }

// Listen accepts the direct connections of punches that peers initiate. The only
// address to listen at is /simopen; the address that the listener reports is one
// that hosts do not advertise.
func (t *Transport) Listen(a ma.Multiaddr) (tpt.Listener, error) {
	if !isSimopen(a) || len(a) > 1 && !t.listenAnywhere {
		return nil, fmt.Errorf("simopen: cannot listen on %s, only on %s", a, simopenAddr)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	port, err := t.ownPort()
	if err != nil {
		return nil, err
	}
	addr := hiddenAddr
	if len(a) > 1 {
		if port, err = t.newWarmPort(t.cfg.servers, t.observers, nil); err != nil {
			return nil, err
		}
		addr = ma.StringCast(fmt.Sprintf("/ip4/0.0.0.0/tcp/%d/simopen", port.Number()))
	}
	l := t.newListener(port, addr)
	t.listeners = append(t.listeners, l)
	return l, nil
}

func (t *Transport) removeListener(l *listener) error {
	t.mu.Lock()
	t.listeners = slices.DeleteFunc(t.listeners, func(o *listener) bool { return o == l })
	own := l.port == t.port
	t.mu.Unlock()
	if own {
		return nil // it serves dials, too, until Close
	}
	return l.port.Close()
}

// ownPort opens the host's own port, and the spare one, if they are not yet. The caller holds mu.
func (t *Transport) ownPort() (*warmPort, error) {
	if t.closed {
		return nil, ErrClosed
	}
	if t.port == nil {
		port, err := t.newWarmPort(t.cfg.servers, t.observers, t.moved)
		if err != nil {
			return nil, err
		}
		if t.cfg.ports > 1 {
			if port.spare, err = t.newWarmPort(oneOf(t.cfg.servers), t.observer, nil); err != nil {
				port.Close()
				return nil, err
			}
		}
		t.port = port
	}
	return t.port, nil
}

// begin registers work that Close waits for, in a transport that is attached and
// not closed. Its context ends with ctx and with the transport; end must be called
// when the work is done.
func (t *Transport) begin(ctx context.Context) (_ context.Context, h host.Host, end func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, nil, ErrClosed
	}
	if t.host == nil {
		return nil, nil, nil, ErrNotEnabled
	}
	t.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.ctx, func() { cancel(ErrClosed) })
	return ctx, t.host, func() {
		stop()
		cancel(nil)
		t.running.Done()
	}, nil
}

// Close ends every attempt and gives up the host's own port. Connections live on,
// and so do listeners, which their owner closes: the swarm, for the host's own. The
// swarm calls Close when the host closes.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		t.running.Wait()
		return nil
	}
	t.closed = true
	detach, port := t.detach, t.port
	t.mu.Unlock()

	t.cancel()
	if detach != nil {
		detach()
	}
	t.running.Wait()
	t.emitters.Close()
	if port == nil {
		return nil
	}
	err := port.Close()
	if port.spare != nil {
		err = errors.Join(err, port.spare.Close())
	}
	return err
}
