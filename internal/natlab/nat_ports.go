package natlab

import (
	"net/netip"
	"time"
)

// External ports are not taken from the well-known ones (RFC 4787, REQ-3), unless an internal one
// is preserved.
const (
	minPort  = 1024
	numPorts = 65536 - minPort
)

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

// choosePort chooses a port of an external address.
func (n *NAT) choosePort(now time.Time, f flow, addr netip.Addr, remote netip.AddrPort) (number uint16, ok bool) {
	free := func(number uint16) bool {
		for _, m := range n.mappings(now, port{f.proto, netip.AddrPortFrom(addr, number)}) {
			if n.behaviour.Ports != PortOverload || m.flow.remote == remote {
				return false
			}
		}
		return true
	}
	switch n.behaviour.Ports {
	case PortPreserve, PortOverload:
		if want := f.internal.Port(); free(want) {
			return want, true
		}
	case PortSequential, PortSequential2:
		step := 1
		if n.behaviour.Ports == PortSequential2 {
			step = 2
		}
		for range numPorts {
			number = n.nextPort
			n.nextPort = countUp(number, step)
			if free(number) {
				return number, true
			}
		}
		return 0, false
	}
	number = minPort + uint16(n.rng.IntN(numPorts))
	for range numPorts {
		if free(number) {
			return number, true
		}
		number = countUp(number, 1)
	}
	return 0, false
}

// countUp counts up, and round.
func countUp(number uint16, step int) uint16 {
	return minPort + uint16((int(number)-minPort+step)%numPorts)
}
