package gather

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// An answer is what an observer reported of a port.
type answer struct {
	observer  string         // by name
	remote    netip.AddrPort // the observer's own address
	reflexive netip.AddrPort
	local     netip.Addr // of the connection, if it was dialled; without the port
}

// A view is what several observers of a port agree on.
type view struct {
	reflexive []netip.AddrPort // each once, IPv4 before IPv6
	mapping   stun.Mapping     // how the NATs in front map the port
	local6    netip.Addr       // the host's own address of the first one in IPv6
}

// newView returns the view that answers make, and what they disagree about.
func newView(answers []answer) (view, error) {
	// An observer within the host's own network does not know where others see the port.
	answers = slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		return !ipaddr.IsPublic(a.reflexive.Addr()) && slices.ContainsFunc(answers, func(b answer) bool {
			return ipaddr.IsPublic(b.reflexive.Addr()) && isIPv4(a.reflexive) == isIPv4(b.reflexive)
		})
	})
	var seen []stun.Observed
	for _, a := range answers {
		seen = append(seen, stun.Observed{Observer: a.observer, Mapped: a.reflexive})
	}
	agreed, dissent := stun.Agree(seen)
	var conns []stun.ObservedConn
	for _, a := range answers {
		if slices.Contains(agreed, a.reflexive) && isIPv4(a.reflexive) == isIPv4(agreed[0]) {
			conns = append(conns, stun.ObservedConn{Server: a.remote, Mapped: a.reflexive})
		}
	}
	v := view{reflexive: agreed, mapping: stun.InferMapping(conns)}
	for _, a := range agreed {
		if !isIPv4(a) {
			v.local6 = answers[slices.IndexFunc(answers, func(b answer) bool { return b.reflexive == a })].local
			break
		}
	}
	return v, errors.Join(dissent...)
}

// with returns the view with the IP addresses of another one that it lacks.
func (v view) with(o view) view {
	had := v.reflexive
	for _, a := range o.reflexive {
		if !slices.ContainsFunc(had, func(b netip.AddrPort) bool { return a.Addr() == b.Addr() }) {
			v.reflexive = append(slices.Clip(v.reflexive), a)
		}
	}
	if v.mapping == stun.MappingUnknown {
		v.mapping = o.mapping
	}
	if !v.local6.IsValid() {
		v.local6 = o.local6
	}
	return v
}

// isDependent reports whether a mapping depends on the destination, so that a peer will meet
// another port than observers.
func isDependent(m stun.Mapping) bool { return m == stun.ADM || m == stun.APDM }
