package holepunch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// MaxCandidates is how many candidates one message may name. A peer has one
// reflexive address for each family and each carrier's NAT address that its
// servers saw; eight is more than any, and bounds the SYNs that a message can
// cause.
const MaxCandidates = 8

// minPort is the lowest candidate port that is dialled. NATs allocate mappings
// from 1024 up (RFC 6056, section 3.2; RFC 4787, REQ-3), and services that
// would mind a stray SYN listen below.
const minPort = 1024

// A Candidate is an address at which a peer may be reached through its punching
// port.
type Candidate struct {
	Kind pb.Candidate_Kind
	Addr netip.AddrPort
}

// Reflexive makes candidates of addresses that STUN servers saw, the first
// [MaxCandidates] of them.
func Reflexive(addrs ...netip.AddrPort) []Candidate {
	addrs = addrs[:min(len(addrs), MaxCandidates)]
	cs := make([]Candidate, len(addrs))
	for i, a := range addrs {
		cs[i] = Candidate{Kind: pb.Candidate_REFLEXIVE, Addr: a}
	}
	return cs
}

// sharedAddressSpace is what carriers number their customers with (RFC 6598).
var sharedAddressSpace = netip.MustParsePrefix("100.64.0.0/10")

// private tells an address that means something only within one network.
func private(a netip.Addr) bool { return a.IsPrivate() || sharedAddressSpace.Contains(a) }

// neverDialled holds what is no host's address: "this network" and the reserved
// class E with the broadcast address (RFC 6890).
var neverDialled = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// Admissible returns those of the peer's candidates that may be dialled, in
// their order, without duplicates. A peer is a stranger and could name anybody's
// address, so refused are
//
//   - ports below 1024,
//   - multicast, link-local, unspecified and reserved addresses, and our own,
//   - addresses of private networks, shared address space and loopback, unless
//     our own reflexive address is of that kind: then the servers that see
//     us, and so the peers, are within such a network. That a peer claims to
//     be in ours is no reason, for it learns our address from our answer.
//
// If none remains the error matches [ErrNoCandidate] and says why of each.
func Admissible(own, peer []Candidate) ([]netip.AddrPort, error) {
	var admitted []netip.AddrPort
	var refused []error
	for _, c := range peer {
		if err := admissible(c, own); err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", c.Addr, err))
		} else if !slices.Contains(admitted, c.Addr) {
			admitted = append(admitted, c.Addr)
		}
	}
	if len(admitted) == 0 {
		return nil, errors.Join(append([]error{ErrNoCandidate}, refused...)...)
	}
	return admitted, nil
}

func admissible(c Candidate, own []Candidate) error {
	a := c.Addr.Addr()
	weAre := func(is func(netip.Addr) bool) bool {
		return slices.ContainsFunc(own, func(o Candidate) bool { return is(o.Addr.Addr()) })
	}
	switch {
	case c.Addr.Port() < minPort:
		return fmt.Errorf("port below %d", minPort)
	case !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		slices.ContainsFunc(neverDialled, func(p netip.Prefix) bool { return p.Contains(a) }):
		return errors.New("not an address of a host")
	case slices.ContainsFunc(own, func(o Candidate) bool { return o.Addr == c.Addr }):
		return errors.New("our own address")
	case a.IsLoopback() && !weAre(netip.Addr.IsLoopback):
		return errors.New("loopback address")
	case private(a) && !weAre(private):
		return errors.New("private address")
	}
	return nil
}
