package stun

import (
	"net/netip"
	"slices"
)

// observations is what Discover has observed of the NAT's behaviour.
type observations struct {
	// shared are connections from one local port. All have the same mapped IP address, or all are
	// to one server.
	shared []ObservedConn
	// fresh are connections from a local port each to one endpoint, in the order in which the NAT
	// made their mappings.
	fresh []ObservedConn
	// scattered says that connections from one port have several mapped addresses, although shared
	// ones do not.
	scattered bool

	again     Fact // whether the same connection had the same mapping after a reset
	hairpin   Fact // whether two ports reached each other at their mappings
	fromOther outcome
	fromOwn   outcome
	bareSYN   outcome // of a connect from an endpoint that was sent a SYN
}

// An ObservedConn is a connection from a local port, as seen from both ends.
type ObservedConn struct {
	Local  netip.AddrPort // invalid if it is not known
	Server netip.AddrPort // the observer's own address
	Mapped netip.AddrPort // where the observer sees the local port
}

// translated reports whether a NAT is on the path, as far as is known.
func (c ObservedConn) translated() bool { return c.Local != c.Mapped }

// classify returns the Behaviour that explains o. What was not observed is unknown, apart from what
// InferMapping assumes.
func classify(o observations) Behaviour {
	b := Behaviour{
		Mapping:    inferMapping(o.shared),
		Filtering:  classifyFiltering(o.fromOther, o.fromOwn),
		Persistent: o.again,
	}
	if o.scattered { // to a peer, ADM and APDM are the same
		b.Mapping = APDM
	}
	b.Ports, b.Step = classifyPorts(o.fresh)
	for _, answer := range []outcome{o.fromOwn, o.fromOther} {
		switch {
		case answer == refused:
			b.Unsolicited = RST
		case answer == refusedICMP:
			b.Unsolicited = ICMP
		case answer == noAnswer && b.Unsolicited == UnsolicitedUnknown:
			// A refusal from elsewhere says more: silence may be a limit on the rate of refusals.
			b.Unsolicited = Drop
		}
	}
	b.BareSYN = classifyBareSYN(b, o)
	if b.Hairpin = o.hairpin; o.hairpin == No && b.Mapping != EIM && b.Filtering != EIF {
		// Neither port knew the other's mapping towards it. Their not meeting says nothing.
		b.Hairpin = Unknown
	}
	return b
}

// InferMapping infers how NATs map a local port from where observers see its connections, all in
// IPv4 or all in IPv6. It returns MappingUnknown where too few were asked, and where they report
// different IP addresses: one of them may lie, or the NAT uses several.
//
// A NAT that keeps the port for every destination, as Linux does while no other host uses the same
// port, cannot be distinguished from EIM from inside and is taken for EIM. If the port differs
// between addresses, and no address was asked at two ports, the mapping may be ADM or APDM. APDM is
// assumed: it is far more common, and to a peer at an address of its own the two are the same.
func InferMapping(seen []ObservedConn) Mapping {
	for _, c := range seen {
		if c.Mapped.Addr() != seen[0].Mapped.Addr() {
			return MappingUnknown
		}
	}
	return inferMapping(seen)
}

// inferMapping is InferMapping for what a single server reports. Different IP addresses are then
// those of a NAT that gives each connection one of several.
func inferMapping(seen []ObservedConn) Mapping {
	var direct, ports, addrs, portsDiffer, addrsDiffer bool
	for i, a := range seen {
		direct = direct || !a.translated()
		for _, b := range seen[:i] {
			differ := a.Mapped != b.Mapped
			switch {
			case a.Server.Addr() != b.Server.Addr():
				addrs, addrsDiffer = true, addrsDiffer || differ
			case a.Server.Port() != b.Server.Port():
				ports, portsDiffer = true, portsDiffer || differ
			}
		}
	}
	switch {
	case direct:
		return EIM
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
	// minFresh is the fewest mappings in which a pattern of ports is recognised. At random ports,
	// three differences that are all at most maxGap, and all up or all down, occur once in 10^8.
	minFresh = 4

	// maxGap is the largest difference between the ports of two mappings in a sequence. In the
	// round trip between them, other hosts behind the same NAT make some mappings. Behind a
	// carrier's NAT, with thousands of hosts, ports cannot be predicted anyway.
	maxGap = 64

	// BlockSize is how many ports a [Block] has, from a multiple of it on: blocks of ports have a
	// power of two of them (RFC 7597, section 5.1), and 16 can all be tried. At random ports, four
	// are in one block once in 10^11.
	BlockSize = 16
)

// classifyPorts looks for a pattern in the ports of mappings made one after another.
func classifyPorts(fresh []ObservedConn) (Ports, int) {
	preserved := 0
	distinct := make(map[netip.AddrPort]bool)
	for _, c := range fresh {
		distinct[c.Mapped] = true
		if c.Local.Port() == c.Mapped.Port() {
			preserved++
		}
	}
	switch {
	case preserved >= 2 && 2*preserved > len(fresh): // the other ports may have been taken
		return Preserved, 0
	case len(fresh) < minFresh:
		return PortsUnknown, 0
	case len(distinct) < len(fresh):
		// The server lies: two ports have no common mapping while both are connected to it.
		return PortsUnknown, 0
	}
	if step := step(fresh); step != 0 {
		return Sequential, step
	}
	first := fresh[0].Mapped.Port() / BlockSize
	if slices.ContainsFunc(fresh, func(c ObservedConn) bool { return c.Mapped.Port()/BlockSize != first }) {
		return Random, 0
	}
	return Block, 0
}

// step returns the greatest common divisor of the differences between successive ports: each
// mapping that another host made in between was a step, too. It is negative if the ports count
// down, and 0 if there is no sequence. The sequence may wrap around once.
func step(fresh []ObservedConn) int {
	step, wraps, up := 0, 0, 0
	for i, c := range fresh[1:] {
		last, next := int(fresh[i].Mapped.Port()), int(c.Mapped.Port())
		d := next - last
		gap := max(d, -d)
		switch {
		case gap <= maxGap:
			step = gcd(step, gap)
			if d > 0 {
				up++
			} else {
				up--
			}
		case last > 65535-maxGap && d < 0, next > 65535-maxGap && d > 0:
			wraps++ // each NAT has a lowest port of its own
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

// classifyFiltering judges by whether SYNs reached a mapping that had sent to one endpoint only,
// from another address and from another port of the same address. A server with one address cannot
// distinguish EIF from ADF.
func classifyFiltering(fromOther, fromOwn outcome) Filtering {
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

// testsBareSYN reports whether the mapping towards another port of the server is the same, so that
// the test of bareSYN says something if nothing comes in.
func testsBareSYN(m Mapping) bool { return m == EIM || m == ADM }

// classifyBareSYN judges by the test of bareSYN if that says something. The test uses the mapping
// towards another port, and does not where that is another mapping, or may be one at another of the
// NAT's addresses. A host may let strangers in and refuse a SYN that answers its own. Without the
// test, any SYN that was admitted was bare.
func classifyBareSYN(b Behaviour, o observations) Fact {
	same := testsBareSYN(b.Mapping)
	for _, c := range o.fresh {
		same = same && c.Mapped.Addr() == o.fresh[0].Mapped.Addr()
	}
	switch {
	case same && o.bareSYN.refuses():
		return No
	case o.fromOther == connected || o.fromOwn == connected || o.bareSYN == connected:
		return Yes
	default:
		return Unknown
	}
}
