package holepunch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func addrsOf(cs []punch.Candidate) []netip.AddrPort {
	as := make([]netip.AddrPort, len(cs))
	for i, c := range cs {
		as[i] = c.Addr
	}
	return as
}

// sameSite reports whether both peers have the same public address, by their own account: then they
// are behind the same NAT, or behind the same carrier's.
func sameSite(own, peer []punch.Candidate) bool {
	external := func(c punch.Candidate) bool {
		a := c.Addr.Addr()
		return throughNAT(c) && !ipaddr.IsPrivate(a) && !a.IsLoopback()
	}
	return slices.ContainsFunc(own, func(o punch.Candidate) bool {
		return external(o) && slices.ContainsFunc(peer, func(p punch.Candidate) bool {
			return external(p) && p.Addr.Addr() == o.Addr.Addr()
		})
	})
}

// wholeBlock returns the candidates of a peer's description. If its NAT has a block of ports, all
// of that are in the place of the first predicted candidate: the peer's port is any of them.
func wholeBlock(d description) []punch.Candidate {
	is4 := func(c punch.Candidate) bool { return isPredicted(c) && !isIPv6(c) }
	i := slices.IndexFunc(d.candidates, is4)
	if d.behaviour.Ports != stun.Block || i < 0 {
		return d.candidates
	}
	cs := slices.Clone(d.candidates)
	at := cs[i].Addr
	var block []punch.Candidate
	for n := range uint16(stun.BlockSize) {
		port := at.Port()&^(stun.BlockSize-1) + n
		block = append(block, punch.Candidate{Kind: punch.Predicted, Addr: netip.AddrPortFrom(at.Addr(), port)})
	}
	return slices.Replace(cs, i, i+1, block...)
}

// maxLAN is how many LAN candidates of a peer are dialled: one for a wire and one for a radio.
const maxLAN = 2

// admissible returns those of the peer's candidates that may be dialled, in their order, without
// duplicates. A peer is a stranger and could name anybody's address, so refused are
//
//   - ports below 1024,
//   - multicast, link-local, unspecified and reserved addresses, those which name an IPv4 address
//     in IPv6, and our own: those that are ours in public at any port, for what else listens there
//     may be behind our firewall,
//   - addresses of private networks and the like, and loopback, unless our own reflexive address is
//     of that kind: then the observers that see us, and so the peers, are within such a network,
//   - LAN candidates, unless both peers are at the same site (see sameSite) and the address is a
//     private one on one of our links, but not our own. That the peer is at our site is its own
//     claim, and anybody can make it who learned our address from an ANSWER: two addresses of the
//     link at the most can be had dialled that way.
//
// If none remains the error matches [ErrNoCandidate] and says why of each.
func admissible(own, peer []punch.Candidate, links []netip.Prefix) ([]punch.Candidate, error) {
	var admitted []punch.Candidate
	var refused []error
	lan := 0
	for _, c := range peer {
		err := checkCandidate(c, own, links)
		if c.Kind == punch.LAN {
			if err = checkLAN(c, links); err == nil && !sameSite(own, peer) {
				err = errors.New("private address of another site")
			}
			if lan++; err == nil && lan > maxLAN {
				err = fmt.Errorf("more than %d private addresses", maxLAN)
			}
		}
		known := slices.ContainsFunc(admitted, func(a punch.Candidate) bool { return a.Addr == c.Addr })
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

func checkCandidate(c punch.Candidate, own []punch.Candidate, links []netip.Prefix) error {
	a := c.Addr.Addr()
	ours := func(l netip.Prefix) bool { return l.Addr() == a }
	weAre := func(is func(netip.Addr) bool) bool {
		return slices.ContainsFunc(own, func(o punch.Candidate) bool {
			// Our own LAN candidates say nothing about the network of the observers.
			return throughNAT(o) && is(o.Addr.Addr())
		})
	}
	switch {
	case c.Addr.Port() < ipaddr.MinPort:
		return fmt.Errorf("port below %d", ipaddr.MinPort)
	case notAHost(a):
		return errNotAHost
	case slices.ContainsFunc(own, func(o punch.Candidate) bool { return o.Addr == c.Addr }):
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

func checkLAN(c punch.Candidate, links []netip.Prefix) error {
	a := c.Addr.Addr()
	switch {
	case c.Addr.Port() < ipaddr.MinPort:
		return fmt.Errorf("port below %d", ipaddr.MinPort)
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

// throughNAT reports whether a candidate is an address of its peer's NAT.
func throughNAT(c punch.Candidate) bool {
	return c.Kind == punch.Reflexive || c.Kind == punch.Predicted
}

func isIPv6(c punch.Candidate) bool      { return c.Addr.Addr().Is6() }
func isListener(c punch.Candidate) bool  { return c.Kind == punch.Listener }
func isPredicted(c punch.Candidate) bool { return c.Kind == punch.Predicted }
