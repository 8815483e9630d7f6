package crowd

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

const (
	// connectTimeout bounds one try to connect through the relay.
	connectTimeout = 20 * time.Second

	// retryPause is how long a program waits at most before it tries again to connect: little, so that
	// all hosts come at once.
	retryPause = 500 * time.Millisecond
)

// A member is a host, and what a program does with it: it keeps the connection to the relay, and
// the reservation if it has one, and connects to others through the relay.
type member struct {
	host.Host
	cfg *hostsConfig
	sub event.Subscription

	work sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed when a connection has begun or ended, or the relay has taken the host
	atRelay bool          // with a reservation, if one is wanted
	failed  map[peer.ID]map[holepunch.Reason]int
}

// A meeting is how two hosts came to a direct connection.
type meeting struct {
	Relayed, Direct time.Time // when there was such a connection; zero if there was none
	Tries           int       // to connect through the relay
	Failed          map[holepunch.Reason]int
}

func newMember(ctx context.Context, cfg *hostsConfig) (*member, error) {
	h, err := libp2p.New(
		libp2p.NoListenAddrs,
		libp2p.EnableRelay(),
		libp2p.DisableMetrics(),
		// The usual ones bound the connections of an address, and here all relayed ones have the
		// relay's; and they trim connections beyond 192.
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		transport.Enable(transport.WithSTUNServers(cfg.STUN...), transport.WithLimits(cfg.Limits)),
	)
	if err != nil {
		return nil, err
	}
	m := &member{Host: h, cfg: cfg, changed: make(chan struct{}), failed: make(map[peer.ID]map[holepunch.Reason]int)}
	h.SetStreamHandler(echoProtocol, echo)
	if m.sub, err = h.EventBus().Subscribe(new(transport.EvtPunchFinished), eventbus.BufSize(1024)); err != nil {
		h.Close()
		return nil, err
	}
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF:    func(network.Network, network.Conn) { m.note(nil) },
		DisconnectedF: func(network.Network, network.Conn) { m.note(nil) },
	})
	m.work.Go(m.count)
	m.work.Go(func() { m.keepRelay(ctx) })
	return m, nil
}

// close ends the host. The context of newMember has ended.
func (m *member) close() {
	m.sub.Close()
	m.Host.Close()
	m.work.Wait()
}

// note changes the member, and wakes goroutines that wait for that.
func (m *member) note(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f != nil {
		f()
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// await waits until is returns true.
func (m *member) await(ctx context.Context, is func() bool) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if is() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// count counts the reasons of punches that failed.
func (m *member) count() {
	for e := range m.sub.Out() {
		p := e.(transport.EvtPunchFinished)
		if p.Err == nil {
			continue
		}
		m.mu.Lock()
		if m.failed[p.Peer] == nil {
			m.failed[p.Peer] = make(map[holepunch.Reason]int)
		}
		m.failed[p.Peer][p.Reason]++
		m.mu.Unlock()
	}
}

func (m *member) keepRelay(ctx context.Context) {
	relay := m.cfg.Relay.ID
	for ctx.Err() == nil {
		err := m.connect(ctx, m.cfg.Relay)
		if err == nil && m.cfg.Reserve {
			_, err = client.Reserve(ctx, m, m.cfg.Relay)
		}
		if err != nil {
			pause(ctx)
			continue
		}
		m.note(func() { m.atRelay = true })
		m.await(ctx, func() bool { return m.Network().Connectedness(relay) != network.Connected })
		m.note(func() { m.atRelay = false })
	}
}

func (m *member) isAtRelay() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.atRelay
}

// joined waits until the relay has taken the host.
func (m *member) joined(ctx context.Context) error { return m.await(ctx, m.isAtRelay) }

// connect connects to a peer, however often that has failed before.
func (m *member) connect(ctx context.Context, to peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	m.Network().(*swarm.Swarm).Backoff().Clear(to.ID)
	return m.Connect(ctx, to)
}

func pause(ctx context.Context) {
	select {
	case <-time.After(rand.N(retryPause)):
	case <-ctx.Done():
	}
}

// conn returns when the oldest connection with a peer began, relayed or direct.
func (m *member) conn(p peer.ID, relayed bool) (began time.Time) {
	for _, c := range m.Network().ConnsToPeer(p) {
		_, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
		if at := c.Stat().Opened; (err == nil) == relayed && !c.IsClosed() && (began.IsZero() || at.Before(began)) {
			began = at
		}
	}
	return began
}

// meet connects to a peer through the relay, and again when that connection is lost, until there is
// a direct connection.
func (m *member) meet(ctx context.Context, p peer.ID) (met meeting) {
	circuit := ma.StringCast("/p2p/" + m.cfg.Relay.ID.String() + "/p2p-circuit")
	at := peer.AddrInfo{ID: p}
	for _, a := range m.cfg.Relay.Addrs {
		at.Addrs = append(at.Addrs, a.Encapsulate(circuit))
	}
	for ctx.Err() == nil && met.Direct.IsZero() {
		met.Tries++
		if err := m.connect(ctx, at); err != nil {
			pause(ctx)
			continue
		}
		m.await(ctx, func() bool {
			relayed := m.conn(p, true)
			if met.Relayed.IsZero() {
				met.Relayed = relayed
			}
			met.Direct = m.conn(p, false)
			return !met.Direct.IsZero() || relayed.IsZero()
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	met.Failed = m.failed[p]
	return met
}
