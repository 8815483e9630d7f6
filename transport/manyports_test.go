package transport

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// manyPorts is a host's part in tests that need more than one direct connection between two hosts:
// a transport of its own, with ports of its own, for each listener. The address of a listener
// distinguishes them. One OFFER is on its way to a port at a time.
type manyPorts struct {
	tpt.Transport // of the host
	host          host.Host
	opts          []Option

	attempts chan struct{} // has one for each attempt under way
	dialling sync.Mutex    // held from the dial until its OFFER's stream has arrived
	arrived  chan struct{}

	mu      sync.Mutex
	ports   map[string]*Transport // by the address of the listener
	current *Transport            // whose the next stream is
}

// manyPortsAddr is where a manyPorts listens.
const manyPortsAddr = "/ip4/127.0.0.1/tcp/0/simopen"

// manyAttempts are limits for tests that make many attempts between two hosts.
var manyAttempts = WithLimits(holepunch.Limits{
	PeerSYNs:     holepunch.Rate{Burst: 1e6, PerSecond: 1e6},
	AddrSYNs:     holepunch.Rate{Burst: 1e6, PerSecond: 1e6},
	HostSYNs:     holepunch.Rate{Burst: 1e6, PerSecond: 1e6},
	PeerOffers:   holepunch.Rate{Burst: 1e6, PerSecond: 1e6},
	PeerAttempts: 1e6,
})

// newManyPorts takes the signalling streams of a host from its own transport.
func newManyPorts(t testing.TB, h host.Host, opts ...Option) *manyPorts {
	most := 50
	if raceEnabled {
		most = 8 // some of 50 were not answered within the 5 s that an initiator waits
	}
	m := &manyPorts{
		attempts:  make(chan struct{}, most),
		Transport: find(h),
		host:      h,
		opts:      append(opts, manyAttempts, WithWarmPorts(0)),
		arrived:   make(chan struct{}, 1),
		ports:     make(map[string]*Transport),
	}
	h.SetStreamHandler(holepunch.Protocol, func(s network.Stream) {
		m.mu.Lock()
		current := m.current
		m.mu.Unlock()
		select {
		case m.arrived <- struct{}{}:
		default:
		}
		current.handle(s)
	})
	return m
}

func (m *manyPorts) Listen(ma.Multiaddr) (tpt.Listener, error) {
	cfg, err := newConfig(m.opts)
	if err != nil {
		return nil, err
	}
	own := find(m.host)
	t, err := newTransport(own.parts, own.rcmgr, own.gater, &swarmDialer{}, cfg)
	if err != nil {
		return nil, err
	}
	if t.emitters, err = newEmitters(m.host); err != nil {
		return nil, err
	}
	t.host, t.driver = m.host, own.driver
	l, err := t.Listen(simopenAddr)
	if err != nil {
		t.Close()
		return nil, err
	}
	addr := ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/simopen", l.(*listener).port))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ports[addr.String()] = t
	return manyPortsListener{l, t, addr}, nil
}

type manyPortsListener struct {
	tpt.Listener
	t    *Transport
	addr ma.Multiaddr
}

func (l manyPortsListener) Multiaddr() ma.Multiaddr { return l.addr }

func (l manyPortsListener) Close() error {
	l.Listener.Close()
	return l.t.Close()
}

// dialler returns a transport that dials the listeners of m.
func (m *manyPorts) dialler(t *Transport) tpt.Transport { return manyPortsDialler{t, m} }

type manyPortsDialler struct {
	*Transport
	m *manyPorts
}

func (d manyPortsDialler) CanDial(a ma.Multiaddr) bool {
	return strings.HasSuffix(a.String(), simopenAddr.String())
}

func (d manyPortsDialler) Dial(ctx context.Context, a ma.Multiaddr, p peer.ID) (tpt.CapableConn, error) {
	m := d.m
	m.attempts <- struct{}{}
	defer func() { <-m.attempts }()
	m.dialling.Lock()
	m.mu.Lock()
	m.current = m.ports[a.String()]
	m.mu.Unlock()
	select {
	case <-m.arrived: // of a dial that ended before
	default:
	}
	type result struct {
		c   tpt.CapableConn
		err error
	}
	dialled := make(chan result, 1)
	go func() {
		c, err := d.Transport.Dial(ctx, simopenAddr, p)
		dialled <- result{c, err}
	}()
	select {
	case <-m.arrived:
		m.dialling.Unlock()
		r := <-dialled
		return r.c, r.err
	case r := <-dialled:
		m.dialling.Unlock()
		return r.c, r.err
	}
}
