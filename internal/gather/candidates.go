package gather

import (
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// minPort is the lowest port of a candidate. NATs allocate mappings from 1024 up (RFC 6056,
	// section 3.2; RFC 4787, REQ-3), and peers refuse lower ports.
	minPort = 1024

	// maxListeners is how many listeners of the application are named: one for each family.
	maxListeners = 2
)

// candidates returns the candidates of a host that punches from the local port: the first one of
// s, or a fresh one. Those with Port 1 are of the second one of s.
func candidates(s snapshot, local uint16, fresh bool, ipv6 netip.Addr, o Options) []punch.Candidate {
	l := candidateList{filter: o.Filter}
	first := s.ports[0].reflexive
	var preserved []netip.AddrPort // where the port is if the NAT keeps its number
	for _, a := range first {
		if isIPv4(a) {
			preserved = append(preserved, netip.AddrPortFrom(a.Addr(), local))
		}
	}
	ports := s.behaviour.Ports
	switch {
	case !fresh:
		l.add(punch.Reflexive, 0, first...)
		// A NAT that preserves ports may have had to give another one towards a STUN server, where
		// a neighbour used it already, and will not towards the peer. Where that is not known of a
		// NAT, it is one SYN in vain.
		if ports == stun.Preserved || ports == stun.PortsUnknown {
			l.add(punch.Predicted, 0, preserved...)
		}
	case ports == stun.Preserved:
		l.add(punch.Predicted, 0, preserved...)
	default: // see Description.Following
		l.add(punch.Reflexive, 0, first[slices.IndexFunc(first, isIPv4)])
	}
	if ipv6.IsValid() && !slices.ContainsFunc(l.list, func(c punch.Candidate) bool { return !isIPv4(c.Addr) }) {
		l.add(punch.Reflexive, 0, netip.AddrPortFrom(ipv6, local))
	}
	listeners := slices.DeleteFunc(slices.Clone(o.Listeners), func(a netip.AddrPort) bool { return a.Port() < minPort })
	l.add(punch.Listener, 0, listeners[:min(len(listeners), maxListeners)]...)
	if !fresh && len(s.ports) > 1 && len(s.ports[1].reflexive) <= punch.MaxCandidates-len(l.list) {
		l.add(punch.Reflexive, 1, s.ports[1].reflexive...)
	}
	return l.list
}

// PredictsPort reports whether the external port towards a peer has to be predicted, and can be.
func PredictsPort(b stun.Behaviour) bool {
	return isDependent(b.Mapping) && b.Filtering != stun.EIF && (b.Ports == stun.Preserved || b.Ports == stun.Sequential)
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
