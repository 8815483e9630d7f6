package stun

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// nat64 contains the addresses at which an IPv6 connection becomes one over IPv4 at its far end
// (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// CheckMapped checks whether a server can have seen the mapped address that it reports. The error
// wraps ErrFamily or ErrPrivateMapped.
func CheckMapped(server, mapped netip.Addr) error {
	switch {
	case server.Is4() != mapped.Is4() && !nat64.Contains(server):
		return fmt.Errorf("%w: %s from %s", ErrFamily, mapped, server)
	case ipaddr.IsPublic(server) && !ipaddr.IsPublic(mapped), mapped.IsLoopback() && !server.IsLoopback():
		return fmt.Errorf("%w: %s from %s", ErrPrivateMapped, mapped, server)
	}
	return nil
}

// possible reports whether a server can see a local port at a mapped address. Where the address is
// the host's own, the port must be the local one.
func possible(server netip.Addr, local, mapped netip.AddrPort) bool {
	a := mapped.Addr()
	own := a == local.Addr() || a.IsLoopback()
	return mapped.IsValid() && CheckMapped(server, a) == nil && mapped.Port() >= ipaddr.MinPort && (!own || mapped == local)
}

// credible is possible, given the host's external addresses.
func credible(server netip.Addr, local, mapped netip.AddrPort, external []netip.Addr) bool {
	return possible(server, local, mapped) && slices.Contains(external, mapped.Addr())
}

// An Observed is the address that one observer, a STUN server or another host, reports of a local
// port.
type Observed struct {
	Observer string         // its name: repeated reports under one name have one vote
	Mapped   netip.AddrPort // the reflexive address
}

// Agree returns the addresses on which the observers of one local port agree, each once and in
// order, and a [*DissentError] for each observer that dissents. The order of seen does not matter.
//
// Votes are for IP addresses, since a NAT may give every observer another port. IPv4 and IPv6 are
// counted apart. An address with more than half of the votes is agreed on, so that one liar among
// three does not win. Where no address has a majority, as when two disagree, all are kept, since a
// carrier's NAT may use several, and all observers dissent.
func Agree(seen []Observed) (agreed []netip.AddrPort, dissent []error) {
	for _, is4 := range []bool{true, false} {
		family := slices.DeleteFunc(slices.Clone(seen), func(o Observed) bool { return o.Mapped.Addr().Is4() != is4 })
		as, errs := agree(family)
		agreed, dissent = append(agreed, as...), append(dissent, errs...)
	}
	return agreed, dissent
}

// agree is [Agree] for one family. It reorders seen.
func agree(seen []Observed) (agreed []netip.AddrPort, dissent []error) {
	slices.SortFunc(seen, func(a, b Observed) int {
		if c := a.Mapped.Compare(b.Mapped); c != 0 {
			return c
		}
		return strings.Compare(a.Observer, b.Observer)
	})
	// Each observer has one vote for every address that it reports.
	type vote struct {
		observer string
		addr     netip.Addr
	}
	votes := make(map[vote]bool)
	for _, o := range seen {
		votes[vote{o.Observer, o.Mapped.Addr()}] = true
	}
	count := make(map[netip.Addr]int)
	var majority netip.Addr
	for v := range votes {
		if count[v.addr]++; 2*count[v.addr] > len(votes) {
			majority = v.addr
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
