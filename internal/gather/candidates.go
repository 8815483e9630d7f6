package gather

import (
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// maxListeners is how many listeners of the application are named: one for each family.
const maxListeners = 2

// candidates returns the candidates of a host that punches from the local port: the first one of
// s, or a fresh one. Those with Port 1 are of the second one of s.
func candidates(s snapshot, local uint16, fresh bool, ipv6 netip.Addr, o Options) []punch.Candidate {
	l := candidateList{filter: o.Filter}
	first := s.ports[0].reflexive
	addrs := externalAddrs(s)
	predicted := func(port uint16) (as []netip.AddrPort) {
		for _, a := range addrs {
			as = append(as, netip.AddrPortFrom(a, port))
		}
		return as
	}
	pool := isDependent(s.behaviour.Mapping) && len(addrs) > 1
	ports := s.behaviour.Ports
	switch {
	case !fresh:
		l.add(punch.Reflexive, 0, first...)
		// A NAT that preserves ports may have given another one towards a STUN server, because a
		// neighbour used the number already, but will keep it towards the peer. If the NAT does not
		// preserve ports, one SYN is wasted. One to each address of a pool has the peer's NAT let
		// in that address, if it does not filter ports.
		if ports == stun.Preserved || ports == stun.PortsUnknown || pool {
			l.add(punch.Predicted, 0, predicted(local)...)
		}
	case ports == stun.Preserved:
		l.add(punch.Predicted, 0, predicted(local)...)
	case ports == stun.Block: // any port will do to name it
		l.add(punch.Predicted, 0, predicted(first[slices.IndexFunc(first, isIPv4)].Port())...)
	default: // see Description.Following
		l.add(punch.Reflexive, 0, first[slices.IndexFunc(first, isIPv4)])
	}
	if ipv6.IsValid() && !slices.ContainsFunc(l.list, func(c punch.Candidate) bool { return !isIPv4(c.Addr) }) {
		l.add(punch.Reflexive, 0, netip.AddrPortFrom(ipv6, local))
	}
	refused := func(a netip.AddrPort) bool { return a.Port() < ipaddr.MinPort } // by peers
	listeners := slices.DeleteFunc(slices.Clone(o.Listeners), refused)
	l.add(punch.Listener, 0, listeners[:min(len(listeners), maxListeners)]...)
	if !fresh && len(s.ports) > 1 && len(s.ports[1].reflexive) <= punch.MaxCandidates-len(l.list) {
		l.add(punch.Reflexive, 1, s.ports[1].reflexive...)
	}
	return l.list
}

// externalAddrs returns the external IPv4 addresses at which the peer may see the first port: those
// where observers see it, and all that are known of a NAT whose mappings depend on the destination,
// for each of them may have another one (RFC 4787, section 4.1: arbitrary pooling).
func externalAddrs(s snapshot) (addrs []netip.Addr) {
	add := func(a netip.Addr) {
		if a.Is4() && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	for _, a := range s.ports[0].reflexive {
		add(a.Addr())
	}
	if len(addrs) > 0 && isDependent(s.behaviour.Mapping) {
		for _, a := range s.addrs {
			add(a)
		}
	}
	return addrs
}

// PredictsPort reports whether the external port towards a peer has to be predicted, and can be.
func PredictsPort(b stun.Behaviour) bool {
	return isDependent(b.Mapping) && b.Filtering != stun.EIF &&
		(b.Ports == stun.Preserved || b.Ports == stun.Sequential || b.Ports == stun.Block)
}

// A candidateList collects up to [punch.MaxCandidates] candidates, each address once, of those that
// the filter leaves.
type candidateList struct {
	filter func([]netip.AddrPort) []netip.AddrPort
	list   []punch.Candidate
}

func (l *candidateList) add(kind punch.Kind, port int, addrs ...netip.AddrPort) {
	allowed := addrs
	if l.filter != nil && len(addrs) > 0 {
		allowed = l.filter(slices.Clone(addrs))
	}
	for _, a := range addrs { // what the filter adds does not count
		known := slices.ContainsFunc(l.list, func(c punch.Candidate) bool { return c.Addr == a })
		if !known && slices.Contains(allowed, a) && len(l.list) < punch.MaxCandidates {
			l.list = append(l.list, punch.Candidate{Kind: kind, Addr: a, Port: port})
		}
	}
}

// LANCandidates returns where the port can be reached within the host's own network: at the private
// address from which the host sends to others. A host may have more addresses, of virtual networks
// and the like; they are not named. The one address is disclosed to any peer that claims the same
// public address.
func (g *Gatherer) LANCandidates(port uint16) []punch.Candidate {
	a, err := g.sourceAddr(anyIPv4)
	if err != nil || !a.IsPrivate() {
		return nil
	}
	return []punch.Candidate{{Kind: punch.LAN, Addr: netip.AddrPortFrom(a, port)}}
}
