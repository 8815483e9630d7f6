package stun

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ErrDissent means that an observer sees the local port at another address than
// the others do: it lies, or the NATs in front use several addresses.
var ErrDissent = errors.New("observers disagree about the address")

// Observed is what one observer, a STUN server or another host, says about a
// local port.
type Observed struct {
	Observer string         // by name: who says the same twice has one vote
	Mapped   netip.AddrPort // the reflexive address
}

// A DissentError tells of an observer that stands against others. It wraps
// [ErrDissent].
type DissentError struct {
	Observed
	// Majority is the address that most observers see, against which this one's
	// answer does not count. It is invalid if there is no majority; all the
	// answers count then.
	Majority netip.Addr
}

// Error names the observer, what it sees, and what most others do.
func (e *DissentError) Error() string {
	if !e.Majority.IsValid() {
		return fmt.Sprintf("%v: %s says %s, others say otherwise", ErrDissent, e.Observer, e.Mapped)
	}
	return fmt.Sprintf("%v: %s says %s, most say %s", ErrDissent, e.Observer, e.Mapped, e.Majority)
}

// Unwrap is [ErrDissent].
func (e *DissentError) Unwrap() error { return ErrDissent }

// Agree returns what the observers of one local port agree on, each address once
// and in order, and a [*DissentError] for each that dissents. The order of seen
// does not matter.
//
// IP addresses decide, for a NAT may give every observer another port, and IPv4
// and IPv6 each for itself. What more than half of the observers say is agreed
// on, so that one liar among three does not win. Where no address has a majority,
// as when two disagree, all are kept, for a carrier's NAT may use several; and
// all who say so dissent.
func Agree(seen []Observed) (agreed []netip.AddrPort, dissent []error) {
	var v4, v6 []Observed
	for _, o := range seen {
		if o.Mapped.Addr().Is4() {
			v4 = append(v4, o)
		} else {
			v6 = append(v6, o)
		}
	}
	for _, family := range [][]Observed{v4, v6} {
		as, errs := agree(family)
		agreed, dissent = append(agreed, as...), append(dissent, errs...)
	}
	return agreed, dissent
}

// agree is [Agree] for one family.
func agree(seen []Observed) (agreed []netip.AddrPort, dissent []error) {
	seen = slices.Clone(seen)
	slices.SortFunc(seen, func(a, b Observed) int {
		if c := a.Mapped.Compare(b.Mapped); c != 0 {
			return c
		}
		return strings.Compare(a.Observer, b.Observer)
	})
	// A vote is an observer's for an address; observers who name several have
	// as many.
	votes := make(map[netip.Addr]map[string]bool)
	total := 0
	for _, o := range seen {
		a := o.Mapped.Addr()
		if votes[a] == nil {
			votes[a] = make(map[string]bool)
		}
		if !votes[a][o.Observer] {
			votes[a][o.Observer] = true
			total++
		}
	}
	var majority netip.Addr
	for a, v := range votes {
		if 2*len(v) > total {
			majority = a
		}
	}
	for _, o := range slices.Compact(seen) {
		if o.Mapped.Addr() != majority {
			dissent = append(dissent, &DissentError{o, majority})
			if majority.IsValid() {
				continue
			}
		}
		agreed = append(agreed, o.Mapped)
	}
	return slices.Compact(agreed), dissent
}
