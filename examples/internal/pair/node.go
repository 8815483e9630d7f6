package pair

import (
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// A node is a libp2p host with simopen that reports what happens to it.
type node struct {
	host.Host
	cfg      natpeer.Config
	attempts *attempts
	onUp     func(up) // nil, or called for each connection that comes up

	telling sync.Mutex
	report  func(Event)

	mu      sync.Mutex
	relayed map[peer.ID]time.Time // when the relayed connection came up
}

// An up is a connection that came up, and when.
type up struct {
	conn    network.Conn
	relayed bool
	at      time.Time
}

// newNode makes a node. The function report is called for one event at a time.
func newNode(cfg natpeer.Config, report func(Event), onUp func(up)) (*node, error) {
	n := &node{cfg: cfg, onUp: onUp, report: report, relayed: make(map[peer.ID]time.Time)}
	n.attempts = newAttempts(n.tell)
	opts := []libp2p.Option{
		// No listener: no peer could reach it behind a NAT, and without one a direct connection can
		// only be simopen's.
		libp2p.NoListenAddrs,
		libp2p.EnableRelay(),
		libp2p.DisableMetrics(),
		transport.Enable(
			transport.WithSTUNServers(cfg.STUN...),
			transport.WithTracer(n.attempts.trace),
		),
	}
	if cfg.Identity != nil {
		opts = append(opts, libp2p.Identity(cfg.Identity))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("make a libp2p host: %w", err)
	}
	n.Host = h
	h.Network().Notify(&network.NotifyBundle{ConnectedF: n.connected, DisconnectedF: n.disconnected})
	return n, nil
}

func (n *node) tell(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	n.telling.Lock()
	defer n.telling.Unlock()
	n.report(e)
}

// connected reports a connection to a peer other than the relay.
func (n *node) connected(_ network.Network, c network.Conn) {
	u := up{conn: c, relayed: conns.IsRelayed(c), at: time.Now()}
	p := c.RemotePeer()
	if p == n.cfg.Relay.ID {
		return
	}
	n.mu.Lock()
	since := n.relayed[p]
	if u.relayed {
		n.relayed[p] = u.at
	}
	n.mu.Unlock()
	if u.relayed {
		n.up(u, Event{Kind: Relayed, Time: u.at, Peer: p})
		return
	}
	n.attempts.after(p, func() {
		n.up(u, Event{Kind: Direct, Time: u.at, Peer: p, Addr: c.RemoteMultiaddr(), Took: u.at.Sub(since)})
	})
}

func (n *node) up(u up, e Event) {
	n.tell(e)
	if n.onUp != nil {
		n.onUp(u)
	}
}

// disconnected forgets a peer with its last connection.
func (n *node) disconnected(_ network.Network, c network.Conn) {
	p := c.RemotePeer()
	if len(n.Network().ConnsToPeer(p)) > 0 {
		return
	}
	n.mu.Lock()
	delete(n.relayed, p)
	n.mu.Unlock()
	n.attempts.forget(p)
}
