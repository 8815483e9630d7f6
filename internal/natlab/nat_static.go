package natlab

import (
	"fmt"
	"net/netip"
)

// Forward makes a mapping that stays, as a user's rule or UPnP does: TCP for the external port
// comes to the inside endpoint from anybody, whatever the [Behaviour] says of filtering and SYNs,
// and is answered from there. With EIM all that the endpoint sends leaves by it; with ADM and APDM,
// connections that the endpoint opens have mappings of their own.
//
// It is an error if the port is taken, or the endpoint has another port.
func (n *NAT) Forward(external uint16, to netip.AddrPort) error {
	f := flow{proto: protoTCP, internal: to}
	at := netip.AddrPortFrom(n.pool[0], external)
	switch {
	case external == 0 || to.Port() == 0:
		return fmt.Errorf("port %d to %v: there is no port 0", external, to)
	case n.byFlow[f] != nil || len(n.byPort[port{f.proto, at}]) > 0:
		return fmt.Errorf("port %d to %v: one of them is mapped already", external, to)
	}
	m := n.addMapping(f, at)
	m.static = true
	n.static = append(n.static, m)
	return nil
}
