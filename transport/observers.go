package transport

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// maxRelays is how many relays are asked side by side: with three, one that
	// lies is found out.
	maxRelays = 3
	// minObservers is how many it takes to see whether the NAT has another mapping
	// for each. With fewer relays other public peers are asked, too.
	minObservers = 2
)

// observers returns those of the host's peers that may be asked for the reflexive
// address of a port, each at one address of each family at most: relays first, and
// the longest connected first. The host's user may have said who, see [WithObservers].
func (t *Transport) observers(port uint16) []source {
	var sources []source
	for _, o := range t.cfg.observers {
		sources = append(sources, libp2pPeer{t, o.id, o.addr})
	}
	t.mu.Lock()
	h := t.host
	t.mu.Unlock()
	if h == nil || t.cfg.pinned {
		return sources
	}
	type candidate struct {
		id    peer.ID
		other int // 0 for a relay
		since time.Time
		addrs []netip.AddrPort
	}
	var candidates []candidate
	for _, p := range h.Network().Peers() {
		conns := directConns(h, p, port)
		if len(conns) == 0 {
			continue
		}
		c := candidate{id: p, since: conns[0].Stat().Opened}
		if isRelay(h, p) {
			c.addrs = relayAddrs(h, p, conns)
		} else {
			c.other, c.addrs = 1, publicAddr(h, p, conns)
		}
		if len(c.addrs) > 0 {
			candidates = append(candidates, c)
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(a.other-b.other, a.since.Compare(b.since), cmp.Compare(a.id, b.id))
	})
	for i, c := range candidates {
		if i == maxRelays || c.other == 1 && i >= minObservers {
			break
		}
		for _, a := range c.addrs {
			sources = append(sources, libp2pPeer{t, c.id, a})
		}
	}
	return sources
}

// The spare port has one observer: the host's own tells which NAT there is, and every connection is a
// burden to those who hold it. If that one fails, it is done without.

// oneOf is one of several servers, at random, so that each has its part.
func oneOf(servers []string) []string {
	if len(servers) == 0 {
		return nil
	}
	return []string{servers[rand.IntN(len(servers))]}
}

// observer is the first of the observers.
func (t *Transport) observer(port uint16) []source {
	all := t.observers(port)
	return all[:min(len(all), 1)]
}

func isRelay(h host.Host, p peer.ID) bool {
	hop, err := h.Peerstore().SupportsProtocols(p, proto.ProtoIDv2Hop)
	return err == nil && len(hop) > 0
}

// directConns returns the direct connections to p, oldest first, but for those
// that a punch made from the port: they are no way to where p listens.
func directConns(h host.Host, p peer.ID, port uint16) []network.Conn {
	return slices.DeleteFunc(h.Network().ConnsToPeer(p), func(c network.Conn) bool {
		local, ok := fromMultiaddr(c.LocalMultiaddr())
		return c.IsClosed() || isRelayed(c) || ok && local.Port() == port
	})
}

// minAddrPort is the lowest port that a peer's word is taken for.
const minAddrPort = 1024

// relayAddrs returns the addresses at which a relay is asked: where it was
// connected to, or else one that it says it listens at, of a host that was connected
// to. The relay could name anybody's, and one that has connected to us may be anywhere.
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
		if a, ok := fromMultiaddr(m); ok && a.Port() >= minAddrPort && slices.Contains(ips, a.Addr()) {
			addrs = append(addrs, a)
		}
	}
	isIPv4 := func(a netip.AddrPort) bool { return a.Addr().Is4() }
	var found []netip.AddrPort
	if i := slices.IndexFunc(addrs, isIPv4); i >= 0 {
		found = append(found, addrs[i])
	}
	if i := slices.IndexFunc(addrs, func(a netip.AddrPort) bool { return !isIPv4(a) }); i >= 0 {
		found = append(found, addrs[i])
	}
	return found
}

// publicAddr returns the address at which a peer was dialled, if it is public and
// the peer is not known to be behind a NAT: no relay leads to it.
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
