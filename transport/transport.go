package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	logging "github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/fx"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

var log = logging.Logger("simopen")

// Transport is the libp2p transport. It dials by signalling over a relayed connection to the peer,
// which must be there, and by a simultaneous open.
//
// [Enable] does all that is needed to have one in a host. [New] and [Attach] are the parts, for
// hosts that are put together by hand.
type Transport struct {
	cfg      config
	log      *slog.Logger
	metrics  *metrics // nil without
	emitters emitters // from Attach on
	agent    *holepunch.Agent
	parts    hostParts
	rcmgr    network.ResourceManager
	gater    connmgr.ConnectionGater // nil without
	swarm    *swarmDialer
	peers    *peerTable
	driver   *upgradeDriver // from Attach on
	waits    observerWaits

	// ctx ends, and running is waited for, on Close.
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	running  sync.WaitGroup // Add only under mu, while not closed
	closed   bool
	host     host.Host // nil until Attach
	detach   func()
	listener *listener // nil without
}

var _ tpt.Transport = (*Transport)(nil)

// hostParts are what a host's connections are secured and multiplexed with.
type hostParts struct {
	fx.In
	Security []sec.SecureTransport `name:"security"`
	Muxers   []upgrader.StreamMuxer
	PSK      pnet.PSK
}

// New makes a transport from a host's parts: its security transports, the preferred one first, its
// muxers, and the key of its private network, nil for none. It opens no socket and starts no
// goroutine. Until [Attach], Dial fails with [ErrNotEnabled].
//
// A transport takes security transports and not an Upgrader, for the security handshake begins in
// the signalling.
//
// [Enable] also sets the swarm's dial ranker and DNS resolver, which New cannot. Without them the
// swarm does two more things when it takes the connection of an attempt: it first resolves the
// names among the peer's other addresses, and it dials all of these addresses.
func New(security []sec.SecureTransport, muxers []upgrader.StreamMuxer, psk pnet.PSK, rcmgr network.ResourceManager, gater connmgr.ConnectionGater, opts ...Option) (*Transport, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	parts := hostParts{Security: security, Muxers: muxers, PSK: psk}
	return newTransport(parts, rcmgr, gater, &swarmDialer{}, cfg)
}

func newTransport(parts hostParts, rcmgr network.ResourceManager, gater connmgr.ConnectionGater, swarm *swarmDialer, cfg config) (*Transport, error) {
	switch {
	case len(parts.Security) == 0:
		return nil, errors.New("simopen: no security transport: pass those of the host, such as noise.New's")
	case len(parts.Muxers) == 0:
		return nil, errors.New("simopen: no muxer: pass those of the host, such as yamux.DefaultTransport")
	}
	if rcmgr == nil {
		rcmgr = &network.NullResourceManager{}
	}
	t := &Transport{
		cfg:   cfg,
		log:   cfg.log,
		parts: parts,
		rcmgr: rcmgr,
		gater: gater,
		swarm: swarm,
		peers: newPeerTable(),
		waits: defaultObserverWaits,
	}
	var err error
	if t.agent, err = holepunch.NewAgent(t.agentConfig()); err != nil {
		return nil, fmt.Errorf("simopen: %w", err)
	}
	if cfg.registerer != nil {
		t.metrics = newMetrics(cfg.registerer)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t, nil
}

func (t *Transport) agentConfig() holepunch.Config {
	return holepunch.Config{
		STUNServers:  t.cfg.servers,
		Observers:    t.observers,
		WarmPorts:    t.cfg.ports,
		PortGuessing: t.cfg.guess,
		Timeout:      t.cfg.timeout,
		Limits:       t.cfg.limits,
		Control:      t.cfg.control,
		Logger:       t.log,
		OnBehaviour:  t.learnt,
		OnAsked: func(_ holepunch.Observer, stunServer bool, err error) {
			t.metrics.asked(stunServer, err)
		},
		OnHeld: func(delta int) { t.metrics.holding(delta) },
	}
}

// CanDial reports whether an address is /simopen. Only dials that the transport has asked the swarm
// for succeed there; see [Transport.Resolve].
func (t *Transport) CanDial(a ma.Multiaddr) bool { return isSimopen(a) }

// Protocols returns the code of /simopen.
func (t *Transport) Protocols() []int { return []int{pSimopen} }

// Proxy returns false: the connections are direct, and the swarm counts them so.
func (t *Transport) Proxy() bool { return false }

// String returns "simopen".
func (t *Transport) String() string { return "simopen" }

// wants reports whether the host's user lets it have direct connections with p.
func (t *Transport) wants(p peer.ID) bool {
	return t.cfg.peerFilter == nil || t.cfg.peerFilter(p)
}

// begin registers work that Close waits for, in a transport that is attached and not closed. Its
// context ends with ctx and with the transport; end must be called when the work is done.
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

// Close ends every attempt and gives up the ports. Connections live on, and so does the listener,
// which its owner closes: the swarm. The swarm calls Close when the host closes.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		t.running.Wait()
		return nil
	}
	t.closed = true
	detach := t.detach
	t.mu.Unlock()

	t.cancel()
	if detach != nil {
		detach()
	}
	t.running.Wait()
	err := t.agent.Close()
	t.emitters.Close()
	return err
}
