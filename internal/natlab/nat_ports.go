package natlab

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// External ports are not taken from the well-known ones (RFC 4787, REQ-3), unless an internal one
// is preserved.
const (
	minPort  = 1024
	numPorts = 65536 - minPort
)

// blockSize is how many external ports a NAT with [Behaviour.Blocks16] has.
const blockSize = 16

// A portRange is the external ports that a NAT has.
type portRange struct{ first, count int }

// portsFor returns the ports of a NAT.
func portsFor(b Behaviour, rng *rand.Rand) portRange {
	if b.Blocks16 {
		return portRange{minPort + blockSize*rng.IntN(numPorts/blockSize), blockSize}
	}
	return portRange{minPort, numPorts}
}

// draw returns any of the ports.
func (r portRange) draw(rng *rand.Rand) uint16 { return uint16(r.first + rng.IntN(r.count)) }

// after returns the port that is a step further, and goes round.
func (r portRange) after(number uint16, step int) uint16 {
	return uint16(r.first + ((int(number)-r.first+step)%r.count+r.count)%r.count)
}

// preserves reports whether a NAT with these ports can keep an internal one.
func (r portRange) preserves(number uint16) bool {
	return r.count == numPorts || int(number) >= r.first && int(number) < r.first+r.count
}

// allocate makes a mapping for a flow, whose first packet goes to remote. It returns nil if the
// ports are used up.
func (n *NAT) allocate(now time.Time, f flow, remote netip.AddrPort) *mapping {
	addr := n.chooseAddr(f)
	number, ok := n.choosePort(now, f, addr, remote)
	if !ok {
		return nil
	}
	return n.addMapping(f, netip.AddrPortFrom(addr, number))
}

// overloads reports whether a port may have several mappings, each to another remote endpoint.
func (n *NAT) overloads() bool {
	return n.behaviour.Ports == PortOverload || n.behaviour.Blocks16 && n.behaviour.Mapping == APDM
}

// choosePort chooses a port of an external address.
func (n *NAT) choosePort(now time.Time, f flow, addr netip.Addr, remote netip.AddrPort) (number uint16, ok bool) {
	free := func(number uint16) bool {
		if f.proto == protoTCP && now.Before(n.own[ownSession{netip.AddrPortFrom(addr, number), remote}]) {
			return false
		}
		for _, m := range n.mappings(now, port{f.proto, netip.AddrPortFrom(addr, number)}) {
			if !n.overloads() || m.flow.remote == remote {
				return false
			}
		}
		return true
	}
	switch n.behaviour.Ports {
	case PortPreserve, PortOverload:
		if want := f.internal.Port(); n.ports.preserves(want) && free(want) {
			return want, true
		}
	case PortSequential, PortSequential2, PortDescending, PortDescending2:
		step := map[Ports]int{PortSequential: 1, PortSequential2: 2, PortDescending: -1, PortDescending2: -2}[n.behaviour.Ports]
		for range n.ports.count {
			number = n.nextPort
			n.nextPort = n.ports.after(number, step)
			if free(number) {
				return number, true
			}
		}
		return 0, false
	}
	number = n.ports.draw(n.rng)
	for range n.ports.count {
		if free(number) {
			return number, true
		}
		number = n.ports.after(number, 1)
	}
	return 0, false
}
