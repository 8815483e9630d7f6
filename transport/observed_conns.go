package transport

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// observedConns are the host's own connections to peers that it has dialled, and those that it has
// punched, with where identify says that the peer sees them. Another peer that has dialled the host
// is a stranger.
type observedConns map[network.Conn]observedConn

type observedConn struct {
	stun.ObservedConn
	conn           network.Conn
	peer           peer.ID
	opened         time.Time
	relay, punched bool
	public         bool // the peer's end
}

// compare sorts relays' connections first, and the older ones of each kind.
func (c observedConn) compare(other observedConn) int {
	if c.relay != other.relay {
		if c.relay {
			return -1
		}
		return 1
	}
	return cmp.Or(c.opened.Compare(other.opened), c.Server.Compare(other.Server))
}

// maxPunched is how many punched connections are reported to the agent: one that shows that the NAT
// keeps a port's mapping is enough.
const maxPunched = 8

// add takes the end of an identify, and reports whether it has an address that is of use.
func (o observedConns) add(e event.EvtPeerIdentificationCompleted) bool {
	c := e.Conn
	punched := tcpOf(c) != nil
	if c.IsClosed() || c.Stat().Direction != network.DirOutbound && !punched || e.ObservedAddr == nil {
		return false
	}
	local, ok := endpoint(c.LocalMultiaddr())
	server, ok2 := endpoint(c.RemoteMultiaddr())
	mapped, ok3 := endpoint(e.ObservedAddr)
	if !ok || !ok2 || !ok3 || mapped.Addr().IsUnspecified() || mapped.Addr().IsMulticast() || stun.CheckMapped(server.Addr(), mapped.Addr()) != nil {
		return false
	}
	if _, tcp := fromMultiaddr(c.LocalMultiaddr()); !tcp {
		local = netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port())
	}
	o[c] = observedConn{
		ObservedConn: stun.ObservedConn{Local: local, Server: server, Mapped: mapped},
		conn:         c,
		peer:         e.Peer,
		opened:       c.Stat().Opened,
		relay:        slices.Contains(e.Protocols, proto.ProtoIDv2Hop),
		punched:      punched,
		public:       manet.IsPublicAddr(c.RemoteMultiaddr()),
	}
	return true
}

// remove takes the end of a connection, and reports whether it was there.
func (o observedConns) remove(c network.Conn) bool {
	_, ok := o[c]
	delete(o, c)
	return ok
}

// best returns the connections that are reported to the agent, by the rules for observers. These
// are the connections to the observers that the host's user has chosen, if any. Otherwise they are
// those to up to three relays and, where there are fewer than two, to other public peers, the
// oldest first. best also returns the oldest punched connections.
func (o observedConns) best(t *Transport, h host.Host) (best, punched []stun.ObservedConn) {
	peers := make(map[peer.ID]bool)
	for _, c := range slices.SortedFunc(maps.Values(o), observedConn.compare) {
		if c.punched {
			if len(punched) < maxPunched && c.public {
				punched = append(punched, c.ObservedConn)
			}
			continue
		}
		chosen := slices.ContainsFunc(t.cfg.observers, func(o observerAddr) bool { return o.id == c.peer })
		switch {
		case peers[c.peer], chosen:
		case t.cfg.pinned:
			continue
		case len(peers) == maxRelays || !c.relay && (len(peers) >= minObservers || publicAddr(h, c.peer, []network.Conn{c.conn}) == nil):
			continue
		}
		peers[c.peer] = true
		best = append(best, c.ObservedConn)
	}
	return best, punched
}

// endpoint reads the address of a TCP or QUIC connection. What goes through WebSocket may come from
// a proxy.
func endpoint(a ma.Multiaddr) (netip.AddrPort, bool) {
	if tcp, ok := fromMultiaddr(a); ok {
		return tcp, true
	}
	if len(a) != 3 || a[0].Code() != ma.P_IP4 && a[0].Code() != ma.P_IP6 || a[1].Code() != ma.P_UDP || a[2].Code() != ma.P_QUIC_V1 {
		return netip.AddrPort{}, false
	}
	ip, ok := netip.AddrFromSlice(a[0].RawValue())
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(a[1].RawValue())), ok
}
