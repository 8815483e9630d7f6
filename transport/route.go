package transport

import (
	"net"
	"net/netip"
	"time"
)

// routeCheck is how often a warm port looks whether the machine has moved to another
// network. go-libp2p looks at the machine's addresses as often.
const routeCheck = 5 * time.Second

// A route is the address from which the machine reaches another one. When it changes, connections
// hang, mappings are those of another NAT, and neither says so for a long time.
type route struct {
	to   netip.AddrPort
	from netip.Addr // invalid while nothing leads there
}

func routeTo(to netip.AddrPort) route { return route{to, sourceAddr(to)} }

// changed tells whether the machine reaches it from another address than it did before, or
// again.
func (r *route) changed() bool {
	if !r.to.IsValid() {
		return false
	}
	before := r.from
	r.from = sourceAddr(r.to)
	return r.from != before && r.from.IsValid()
}

// sourceAddr is the address that the kernel would send from. To connect a UDP socket sends nothing.
func sourceAddr(to netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
