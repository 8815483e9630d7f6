package natlab

// newFirewall makes the stateful IPv6 firewall of a NAT with behaviour b. It is a NAT in which
// every flow has a mapping of its own, to the endpoint that it has already. A mapping is then a
// session, and RSTKills ends no more than that. Mapping, Filtering and Ports of b are about IPv4.
func newFirewall(b Behaviour) *NAT {
	n := &NAT{ports: portRange{minPort, numPorts}, behaviour: Behaviour{
		Mapping:     APDM,
		Filtering:   APDF,
		Ports:       PortOverload,
		Unsolicited: b.Unsolicited,
		SYNLimit:    b.SYNLimit,
		RSTKills:    b.RSTKills,
		NoSYN:       b.NoSYN,
		NoUDP:       b.NoUDP,
		Egress:      b.Egress,
	}}
	n.Reset()
	return n
}

// firewall reports whether the NAT translates nothing.
func (n *NAT) firewall() bool { return len(n.pool) == 0 }
