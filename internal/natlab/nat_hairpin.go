package natlab

import (
	"net/netip"
	"time"
)

// hairpins reports whether a packet from inside goes back inside, and the reason if it is dropped.
func (n *NAT) hairpins(p Packet) (back bool, reason string) {
	switch {
	case n.toRouter(p):
		return true, ""
	case !n.external(p.Dst().Addr()):
		return false, ""
	case n.behaviour.Hairpin || n.behaviour.HairpinInside:
		return true, ""
	}
	return true, "no hairpin"
}

// toRouter reports whether a packet goes to the inside address that a host has seen in place of
// another host's external address. Only an answer can, as no host listens there.
func (n *NAT) toRouter(p Packet) bool {
	return n.behaviour.HairpinInside && p.Dst().Addr() == n.router
}

// hairpin sends a packet back inside. Its source is the sender's external endpoint.
func (n *NAT) hairpin(now time.Time, p Packet) Verdict {
	v := n.loop(now, p)
	if v.Fate != Forwarded {
		return drop("hairpin: " + v.Reason)
	}
	v.Hairpin = true
	return v
}

func (n *NAT) loop(now time.Time, p Packet) Verdict {
	switch {
	case !n.behaviour.HairpinInside:
		return n.Inbound(now, p.b)
	case n.toRouter(p): // an answer to a packet of the kind below
		p.setDst(netip.AddrPortFrom(n.pool[0], p.Dst().Port()))
		return n.Inbound(now, p.b)
	}
	// The receiver sees the router's inside address instead of the external one. Its answers come
	// back to there; what it sends to the external endpoint is of another session. The filter is
	// the same for both.
	external := p.Src()
	inside := netip.AddrPortFrom(n.router, external.Port())
	p.setSrc(inside)
	m, reason := n.admit(now, p)
	if reason == "filtered" {
		p.setSrc(external)
		m, reason = n.admit(now, p)
		p.setSrc(inside)
	}
	if reason != "" {
		return drop(reason)
	}
	return n.deliver(now, m, p)
}
