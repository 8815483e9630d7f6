package natlab

// newFirewall makes the stateful IPv6 firewall that goes with a NAT of a behaviour. It is a NAT
// that gives every flow a mapping of its own, to the endpoint that it has already; a mapping
// is then a session, and RSTKills ends no more than that. What the behaviour says of
// mapping, filtering and ports is about IPv4.
func newFirewall(b Behaviour) *NAT {
	n := &NAT{behaviour: Behaviour{
		Mapping:     APDM,
		Filtering:   APDF,
		Ports:       PortOverload,
		Unsolicited: b.Unsolicited,
		RSTKills:    b.RSTKills,
		NoSYN:       b.NoSYN,
		NoUDP:       b.NoUDP,
	}}
	n.Reset()
	return n
}

// firewall reports whether the NAT translates nothing.
func (n *NAT) firewall() bool { return len(n.pool) == 0 }
