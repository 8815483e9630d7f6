package gather

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// An answer is what an observer reported of a port.
type answer struct {
	observer  string         // by name
	remote    netip.AddrPort // the observer's own address
	reflexive netip.AddrPort
}

// A view is what several observers of a port agree on.
type view struct {
	reflexive []netip.AddrPort // each once, IPv4 before IPv6
	mapping   stun.Mapping     // how the NATs in front map the port
}

// newView returns the view that answers make, and what they disagree about.
func newView(answers []answer) (view, error) {
	// An observer within the host's own network does not know where others see the port.
	answers = slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		return !isPublic(a.reflexive.Addr()) && slices.ContainsFunc(answers, func(b answer) bool {
			return isPublic(b.reflexive.Addr()) && isIPv4(a.reflexive) == isIPv4(b.reflexive)
		})
	})
	var seen []stun.Observed
	for _, a := range answers {
		seen = append(seen, stun.Observed{Observer: a.observer, Mapped: a.reflexive})
	}
	agreed, dissent := stun.Agree(seen)
	answers = slices.DeleteFunc(answers, func(a answer) bool {
		return !slices.Contains(agreed, a.reflexive) || isIPv4(a.reflexive) != isIPv4(agreed[0])
	})
	return view{agreed, inferMapping(answers)}, errors.Join(dissent...)
}

// inferMapping infers how NATs map a port from where observers see it, all in one family. The
// mapping is endpoint-independent if observers at different addresses report the same. If they
// report different ports, a peer will meet none of those, whatever the NAT's rule; that is called
// APDM, for only two ports of one observer tell ADM from it. If they report different addresses,
// one of them may lie.
func inferMapping(answers []answer) stun.Mapping {
	m := stun.MappingUnknown
	for i, a := range answers {
		for _, b := range answers[:i] {
			switch {
			case a.reflexive.Addr() != b.reflexive.Addr():
				return stun.MappingUnknown
			case a.reflexive.Port() != b.reflexive.Port():
				m = stun.APDM
			case a.remote.Addr() != b.remote.Addr() && m == stun.MappingUnknown:
				m = stun.EIM
			}
		}
	}
	return m
}

// isDependent reports whether a mapping depends on the destination, so that a peer will meet
// another port than observers.
func isDependent(m stun.Mapping) bool { return m == stun.ADM || m == stun.APDM }
