package transport

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// An attempt is the host's part in one attempt of the agent: what its user, its connection gater,
// its resource manager and its security transports have to say.
type attempt struct {
	t    *Transport
	ctx  context.Context
	h    host.Host
	peer peer.ID
	dir  network.Direction

	// Of the last security handshake that was through.
	secured  sec.SecureConn
	protocol protocol.ID

	allowed  map[string]bool // by address: whether the gater allows it, see ungated
	checking sync.Once
	checkErr error
	opening  sync.Once
	openErr  error
	scope    handover[network.ConnManagementScope]

	listeners []netip.AddrPort          // of this host, disclosed to the peer
	elsewhere handover[tpt.CapableConn] // to a listener of the peer, for Dial

	// noRoom cancels full when the resource manager has no room for the punch. Dials of listeners
	// end with it.
	full   context.Context
	noRoom context.CancelFunc
}

// newAttempt returns an attempt. release must be called.
func (t *Transport) newAttempt(ctx context.Context, h host.Host, p peer.ID, dir network.Direction) *attempt {
	a := &attempt{t: t, ctx: ctx, h: h, peer: p, dir: dir, allowed: make(map[string]bool), listeners: listeners(h)}
	a.full, a.noRoom = context.WithCancel(context.Background())
	return a
}

// release gives back what the attempt still has.
func (a *attempt) release() {
	a.noRoom()
	if s, ok := a.scope.take(); ok {
		s.Done()
	}
	if c, ok := a.elsewhere.take(); ok {
		c.Close()
	}
}

// A handover holds one value of an attempt until it is taken, and none after that.
type handover[T any] struct {
	mu        sync.Mutex
	value     T
	has, over bool
}

// put keeps a value, and reports whether it did.
func (h *handover[T]) put(v T) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.has {
		return false
	}
	h.value, h.has = v, true
	return true
}

// take returns the value and whether there is one. The caller then owns it.
func (h *handover[T]) take() (v T, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ok = h.has
	v, h.value = h.value, v
	h.has, h.over = false, true
	return v, ok
}

// options returns the attempt as the agent wants it, without what is one role's. relayed is the
// connection that carries the signalling.
func (a *attempt) options(relayed network.Conn) (*holepunch.Options, error) {
	hs, err := a.handshake()
	if err != nil {
		return nil, err
	}
	o := &holepunch.Options{
		Peer:         string(a.peer),
		Handshake:    hs,
		FilterRemote: a.filterRemote,
		Admit:        a.admit,
		Listeners:    a.listeners,
		Elsewhere:    a.connectElsewhere,
		RelayRTT:     a.t.relayRTT(a.h, relayed),
		MaxSegment:   a.t.peers.maxSegment(a.peer),
	}
	if f := a.t.cfg.addrFilter; f != nil {
		o.FilterOwn = func(addrs []netip.AddrPort) []netip.AddrPort {
			return fromMultiaddrs(f.FilterLocal(a.peer, toMultiaddrs(addrs)))
		}
	}
	return o, nil
}

// assemble makes the swarm's connection of the agent's. It owns c.
func (a *attempt) assemble(ctx context.Context, c *holepunch.Conn) (*conn, error) {
	// The scope is there: the agent has asked for each TCP connection.
	if err := a.openScope(netMultiaddr(c.RemoteAddr())); err != nil {
		c.Close()
		return nil, err
	}
	scope, _ := a.scope.take()
	return a.multiplex(ctx, c, scope)
}

// filterRemote returns those of the peer's addresses that this host's user and gater let it connect
// to.
func (a *attempt) filterRemote(addrs []netip.AddrPort) ([]netip.AddrPort, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	ms := toMultiaddrs(addrs)
	if f := a.t.cfg.addrFilter; f != nil {
		if ms = f.FilterRemote(a.peer, ms); len(ms) == 0 {
			return nil, fmt.Errorf("%w: the address filter (WithAddrFilter) leaves none", holepunch.ErrNoCandidate)
		}
	}
	ms, err := a.ungated(ms)
	if err == nil {
		err = a.checkRoom(ms)
	}
	return fromMultiaddrs(ms), err
}

// maxListeners is how many listeners of a host are named, and dialled: one for each family.
const maxListeners = 2

// listeners returns the public addresses at which the host accepts plain TCP connections as far as
// it knows: its own, or ones that a router forwards.
func listeners(h host.Host) (addrs []netip.AddrPort) {
	for _, a := range h.Addrs() {
		// Peers refuse lower ports.
		ap, ok := fromMultiaddr(a)
		if ok && ap.Port() >= ipaddr.MinPort && manet.IsPublicAddr(a) && len(addrs) < maxListeners {
			addrs = append(addrs, ap)
		}
	}
	return addrs
}

// fromMultiaddrs returns the addresses of an IP address and a TCP port among some.
func fromMultiaddrs(ms []ma.Multiaddr) []netip.AddrPort {
	addrs := make([]netip.AddrPort, 0, len(ms))
	for _, m := range ms {
		if a, ok := fromMultiaddr(m); ok && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
