package holepunch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// MaxCandidates is how many candidates one message may name. A peer has one
// reflexive address for each family and each carrier's NAT address that its
// servers saw; eight is more than any, and bounds the SYNs that a message can
// cause.
const MaxCandidates = 8

// MaxRounds is how often one attempt may be retried with fresh candidates. A
// round takes a second and more, and libp2p gives a dial 15 s.
const MaxRounds = 8

// minPort is the lowest candidate port that is dialled. NATs allocate mappings
// from 1024 up (RFC 6056, section 3.2; RFC 4787, REQ-3), and services that
// would mind a stray SYN listen below.
const minPort = 1024

// A Candidate is an address at which a peer may be reached, nearly always
// through its punching port.
type Candidate struct {
	Kind  pb.Candidate_Kind
	Addr  netip.AddrPort
	Local int // of a reflexive address: which of the peer's ports it leads to, from 0 to MaxLocals-1
}

// MaxLocals is how many ports a peer punches from at most. With 5 % of the packets lost at each
// of two sites, the first SYNs of one port get through in 81 % of the cases, and of
// one of two in 96 %; a lost SYN costs a second. Of three ports the third gained nothing.
const MaxLocals = 2

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

func addrsOf(cs []Candidate) []netip.AddrPort {
	as := make([]netip.AddrPort, len(cs))
	for i, c := range cs {
		as[i] = c.Addr
	}
	return as
}

// SameSite tells whether both peers have the same public address, by their own
// account: then they are behind the same NAT, or behind the same carrier's.
func SameSite(own, peer []Candidate) bool {
	external := func(c Candidate) bool {
		a := c.Addr.Addr()
		return (c.Kind == pb.Candidate_REFLEXIVE || c.Kind == pb.Candidate_PREDICTED) && !ipaddr.IsPrivate(a) && !a.IsLoopback()
	}
	return slices.ContainsFunc(own, func(o Candidate) bool {
		return external(o) && slices.ContainsFunc(peer, func(p Candidate) bool {
			return external(p) && p.Addr.Addr() == o.Addr.Addr()
		})
	})
}

// maxLAN is how many LAN candidates of a peer are dialled: one for a wire and one
// for a radio.
const maxLAN = 2

// Admissible returns those of the peer's candidates that may be dialled, in
// their order, without duplicates. A peer is a stranger and could name anybody's
// address, so refused are
//
//   - ports below 1024,
//   - multicast, link-local, unspecified and reserved addresses, those which name
//     an IPv4 address in IPv6, and our own: those that are ours in public at any
//     port, for what else listens there may be behind our firewall,
//   - addresses of private networks and the like, and loopback, unless
//     our own reflexive address is of that kind: then the servers that see
//     us, and so the peers, are within such a network;
//   - LAN candidates, unless both peers are at the same site (see [SameSite])
//     and the address is a private one on one of our links, but not our own.
//     That the peer is at our site is its own claim, and anybody can make it who
//     learned our address from an ANSWER: two addresses of the link at the
//     most can be had dialled that way.
//
// If none remains the error matches [ErrNoCandidate] and says why of each.
func Admissible(own, peer []Candidate, links []netip.Prefix) ([]Candidate, error) {
	var admitted []Candidate
	var refused []error
	lan := 0
	for _, c := range peer {
		err := admissible(c, own, links)
		if c.Kind == pb.Candidate_LAN {
			if err = admissibleLAN(c, links); err == nil && !SameSite(own, peer) {
				err = errors.New("private address of another site")
			}
			if lan++; err == nil && lan > maxLAN {
				err = fmt.Errorf("more than %d private addresses", maxLAN)
			}
		}
		known := slices.ContainsFunc(admitted, func(a Candidate) bool { return a.Addr == c.Addr })
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", c.Addr, err))
		} else if !known {
			admitted = append(admitted, c)
		}
	}
	if len(admitted) == 0 {
		return nil, errors.Join(append([]error{ErrNoCandidate}, refused...)...)
	}
	return admitted, nil
}

func admissible(c Candidate, own []Candidate, links []netip.Prefix) error {
	a := c.Addr.Addr()
	ours := func(l netip.Prefix) bool { return l.Addr() == a }
	weAre := func(is func(netip.Addr) bool) bool {
		return slices.ContainsFunc(own, func(o Candidate) bool {
			// What we told of our site says nothing of those who see us.
			return (o.Kind == pb.Candidate_REFLEXIVE || o.Kind == pb.Candidate_PREDICTED) && is(o.Addr.Addr())
		})
	}
	switch {
	case c.Addr.Port() < minPort:
		return fmt.Errorf("port below %d", minPort)
	case notAHost(a):
		return errNotAHost
	case slices.ContainsFunc(own, func(o Candidate) bool { return o.Addr == c.Addr }):
		return errors.New("our own address")
	case a.IsLoopback() && !weAre(netip.Addr.IsLoopback):
		return errors.New("loopback address")
	case ipaddr.IsPrivate(a) && !weAre(ipaddr.IsPrivate):
		return errors.New("private address")
	case !a.IsLoopback() && !ipaddr.IsPrivate(a) && slices.ContainsFunc(links, ours):
		return errors.New("our own address")
	}
	return nil
}

func admissibleLAN(c Candidate, links []netip.Prefix) error {
	a := c.Addr.Addr()
	switch {
	case c.Addr.Port() < minPort:
		return fmt.Errorf("port below %d", minPort)
	case notAHost(a) || !ipaddr.IsPrivate(a):
		return errNotAHost
	case slices.ContainsFunc(links, func(l netip.Prefix) bool { return l.Addr() == a }):
		return errors.New("our own address")
	case !slices.ContainsFunc(links, func(l netip.Prefix) bool { return l.Masked().Contains(a) }):
		return errors.New("not on a link of ours")
	}
	return nil
}

var errNotAHost = errors.New("not an address of a host")

func notAHost(a netip.Addr) bool {
	return !ipaddr.IsHost(a) || a.Zone() != "" || a.Is4In6() || a.IsLinkLocalUnicast()
}
