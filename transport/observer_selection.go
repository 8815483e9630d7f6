package transport

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

const (
	// maxRelays is how many relays are believed, or asked one after another: with three, one that
	// lies is outvoted.
	maxRelays = 3
	// minObservers is how many it takes to see whether the NAT has another mapping for each. With
	// fewer relays other public peers count, too.
	minObservers = 2
)

// observers returns those of the host's peers that may be asked for the reflexive address of a
// local port, each at one address of each family at most: relays first, and the longest connected
// first, and last those that have refused lately. The host's user may have chosen others, see
// [WithObservers].
func (t *Transport) observers(port uint16) []holepunch.Observer {
	found := t.observersInTurn(port)
	slices.SortStableFunc(found, func(a, b holepunch.Observer) int {
		refusedA, refusedB := t.peers.mayAsk(a.(observer).id) != nil, t.peers.mayAsk(b.(observer).id) != nil
		switch {
		case refusedA == refusedB:
			return 0
		case refusedA:
			return 1
		default:
			return -1
		}
	})
	return found
}

func (t *Transport) observersInTurn(port uint16) []holepunch.Observer {
	var found []holepunch.Observer
	for _, o := range t.cfg.observers {
		found = append(found, observer{t, o.id, o.addr})
	}
	t.mu.Lock()
	h := t.host
	t.mu.Unlock()
	if h == nil || t.cfg.pinned {
		return found
	}
	for i, c := range askable(h, port) {
		if i == maxRelays || !c.relay && i >= minObservers {
			break
		}
		for _, a := range c.addrs {
			found = append(found, observer{t, c.id, a})
		}
	}
	return found
}

// An askablePeer is a peer that can be asked.
type askablePeer struct {
	id    peer.ID
	relay bool
	since time.Time
	addrs []netip.AddrPort
}

// askable returns the peers that can be asked, the best first.
func askable(h host.Host, port uint16) []askablePeer {
	var peers []askablePeer
	for _, p := range h.Network().Peers() {
		conns := directConns(h, p, port)
		if len(conns) == 0 {
			continue
		}
		c := askablePeer{id: p, relay: isRelay(h, p), since: conns[0].Stat().Opened}
		if c.relay {
			c.addrs = relayAddrs(h, p, conns)
		} else {
			c.addrs = publicAddr(h, p, conns)
		}
		if len(c.addrs) > 0 {
			peers = append(peers, c)
		}
	}
	slices.SortFunc(peers, func(a, b askablePeer) int {
		if a.relay != b.relay {
			if a.relay {
				return -1
			}
			return 1
		}
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id))
	})
	return peers
}

// isRelay reports whether a peer relays for others, as far as identify has shown.
func isRelay(h host.Host, p peer.ID) bool {
	hop, err := h.Peerstore().SupportsProtocols(p, proto.ProtoIDv2Hop)
	return err == nil && len(hop) > 0
}

// directConns returns the direct connections to p, oldest first, but for those of this transport
// and those from the port: they do not lead to where p listens.
func directConns(h host.Host, p peer.ID, port uint16) []network.Conn {
	return slices.DeleteFunc(h.Network().ConnsToPeer(p), func(c network.Conn) bool {
		var own *conn
		local, ok := fromMultiaddr(c.LocalMultiaddr())
		return c.IsClosed() || isRelayed(c) || c.As(&own) || ok && local.Port() == port
	})
}

// relayAddrs returns the addresses at which a relay is asked: where the host connected to it, or
// else one at which the relay says it listens, if the host connected to that IP address. The relay
// could name anybody's, and one that has connected to the host may be anywhere.
func relayAddrs(h host.Host, p peer.ID, conns []network.Conn) []netip.AddrPort {
	var addrs []netip.AddrPort
	var ips []netip.Addr
	for _, c := range conns {
		if c.Stat().Direction != network.DirOutbound {
			continue
		}
		if a, ok := fromMultiaddr(c.RemoteMultiaddr()); ok {
			addrs = append(addrs, a)
		}
		if ip, err := manet.ToIP(c.RemoteMultiaddr()); err == nil {
			a, _ := netip.AddrFromSlice(ip)
			ips = append(ips, a.Unmap())
		}
	}
	for _, m := range h.Peerstore().Addrs(p) {
		if a, ok := fromMultiaddr(m); ok && a.Port() >= ipaddr.MinPort && slices.Contains(ips, a.Addr()) {
			addrs = append(addrs, a)
		}
	}
	var found []netip.AddrPort
	for _, ipv4 := range []bool{true, false} {
		if i := slices.IndexFunc(addrs, func(a netip.AddrPort) bool { return a.Addr().Is4() == ipv4 }); i >= 0 {
			found = append(found, addrs[i])
		}
	}
	return found
}

// publicAddr returns the address at which the host connected to a peer, if it is public and the
// peer is not known to be behind a NAT: no relay leads to it.
func publicAddr(h host.Host, p peer.ID, conns []network.Conn) []netip.AddrPort {
	behindNAT := slices.ContainsFunc(h.Peerstore().Addrs(p), func(a ma.Multiaddr) bool {
		_, err := a.ValueForProtocol(ma.P_CIRCUIT)
		return err == nil
	})
	if behindNAT {
		return nil
	}
	for _, c := range conns {
		a, ok := fromMultiaddr(c.RemoteMultiaddr())
		if ok && c.Stat().Direction == network.DirOutbound && manet.IsPublicAddr(c.RemoteMultiaddr()) {
			return []netip.AddrPort{a}
		}
	}
	return nil
}
