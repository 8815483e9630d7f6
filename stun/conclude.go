package stun

import "net/netip"

// observations is what Discover has seen, as far as it bears on the behaviour.
type observations struct {
	// shared are connections from one local port.
	shared []sighting
	// fresh are connections from a local port each to one endpoint, in the order
	// in which the NAT made their mappings.
	fresh []sighting

	again     Fact // after a reset, the same mapping was there for the same connection
	hairpin   Fact // two ports reached each other at their mappings
	fromOther outcome
	fromOwn   outcome
	bareSYN   outcome // of a connect from an endpoint that was sent a SYN
}

// sighting is one connection, as seen from both ends.
type sighting struct {
	local  netip.AddrPort
	server netip.AddrPort
	mapped netip.AddrPort
}

// translated reports whether there is a NAT in between.
func (s sighting) translated() bool { return s.local != s.mapped }

// conclude makes a Behaviour of what was observed. What was not found out is
// unknown, save for what is said at concludeMapping.
func conclude(o observations) Behaviour {
	b := Behaviour{
		Mapping:    concludeMapping(o.shared),
		Persistent: o.again,
	}
	b.Ports, b.Step = concludePorts(o.fresh)
	b.Filtering = concludeFiltering(o.fromOther, o.fromOwn)
	for _, refusal := range []outcome{o.fromOwn, o.fromOther} {
		switch refusal {
		case refused:
			b.Unsolicited = RST
		case refusedICMP:
			b.Unsolicited = ICMP
		case noAnswer:
			b.Unsolicited = Drop
		}
	}
	b.BareSYN = concludeBareSYN(b, o)
	b.Hairpin = concludeHairpin(b, o.hairpin)
	return b
}

// concludeMapping compares what several endpoints see of one local port.
//
// A NAT that keeps the port for every destination, as Linux does while no other
// host uses the same, has EIM to go by what can be seen from inside, and it is
// passed as one. If the mapping differs between addresses, and none was asked at
// two ports, it may be ADM or APDM, and APDM is concluded: far more have it, and to
// a peer at an address of its own it is the same.
func concludeMapping(seen []sighting) Mapping {
	var ports, addrs, portsDiffer, addrsDiffer bool
	for i, a := range seen {
		if !a.translated() {
			return EIM
		}
		for _, b := range seen[:i] {
			differ := a.mapped != b.mapped
			switch {
			case a.server.Addr() != b.server.Addr():
				addrs, addrsDiffer = true, addrsDiffer || differ
			case a.server.Port() != b.server.Port():
				ports, portsDiffer = true, portsDiffer || differ
			}
		}
	}
	switch {
	case portsDiffer, addrsDiffer && !ports:
		return APDM
	case addrsDiffer:
		return ADM
	case addrs:
		return EIM
	default:
		return MappingUnknown // not APDM, if two ports were asked
	}
}

const (
	// minFresh is how many mappings a pattern of ports is seen in, at least. Three
	// differences that all are as small as maxGap, and all up or all down, come by
	// chance once in 10^8 at random ports.
	minFresh = 4

	// maxGap is how far apart the ports of two mappings may be in a sequence. In
	// the round trip between them, others behind the same NAT make some mappings;
	// behind a carrier's, with thousands of hosts, nothing can be foretold anyway.
	maxGap = 64
)

// concludePorts looks for a pattern in the ports of mappings made one after
// another.
func concludePorts(fresh []sighting) (Ports, int) {
	preserved := 0
	for _, s := range fresh {
		if s.local.Port() == s.mapped.Port() {
			preserved++
		}
	}
	switch {
	case preserved >= 2 && 2*preserved > len(fresh): // others may have been taken
		return Preserved, 0
	case len(fresh) < minFresh, alike(fresh):
		return PortsUnknown, 0
	}
	if step := step(fresh); step != 0 {
		return Sequential, step
	}
	return Random, 0
}

// alike reports whether a server claims to see two ports at one mapping, which cannot
// be as long as both have a connection to it.
func alike(fresh []sighting) bool {
	seen := make(map[netip.AddrPort]bool)
	for _, s := range fresh {
		if seen[s.mapped] {
			return true
		}
		seen[s.mapped] = true
	}
	return false
}

// step is the greatest common divisor of the differences between successive ports,
// since whatever mappings others have made in between, each was a step; negative if
// the ports count down, and 0 if there is no sequence. Once it may wrap around.
func step(fresh []sighting) int {
	step, wraps, up := 0, 0, 0
	for i, s := range fresh[1:] {
		last, next := int(fresh[i].mapped.Port()), int(s.mapped.Port())
		d := next - last
		switch {
		case abs(d) <= maxGap:
			step = gcd(step, abs(d))
			if d > 0 {
				up++
			} else {
				up--
			}
		case last > 65535-maxGap && d < 0, next > 65535-maxGap && d > 0:
			// Where a NAT begins and, counting down, ends is its own choice.
			wraps++
		default:
			return 0
		}
	}
	switch steps := len(fresh) - 1 - wraps; {
	case wraps > 1 || steps < minFresh-2:
		return 0
	case up == steps:
		return step
	case up == -steps:
		return -step
	default:
		return 0
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func abs(n int) int { return max(n, -n) }

// concludeFiltering goes by whether SYNs came in at a mapping that had sent to one
// endpoint only, from another address and from another port of the same. With a
// server of one address EIF and ADF cannot be told apart.
func concludeFiltering(fromOther, fromOwn outcome) Filtering {
	switch {
	case fromOther == connected:
		return EIF
	case fromOwn.refuses():
		return APDF
	case fromOther.refuses() && fromOwn == connected:
		return ADF
	default:
		return FilteringUnknown
	}
}

// concludeBareSYN: any SYN that came in was bare. The test for it goes by the
// mapping towards another port, so that it fails for another reason if that is
// another mapping.
func concludeBareSYN(b Behaviour, o observations) Fact {
	switch {
	case o.fromOther == connected || o.fromOwn == connected || o.bareSYN == connected:
		return Yes
	case o.bareSYN.refuses() && (b.Mapping == EIM || b.Mapping == ADM):
		return No
	default:
		return Unknown
	}
}

// concludeHairpin: the two ports reach each other if there is a hairpin, and each
// knows the other's mapping towards it, or lets in anybody.
func concludeHairpin(b Behaviour, met Fact) Fact {
	if met == No && b.Mapping != EIM && b.Filtering != EIF {
		return Unknown
	}
	return met
}
