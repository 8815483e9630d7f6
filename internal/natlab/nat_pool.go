package natlab

import "net/netip"

// poolSize is how many external addresses a NAT with [Behaviour.Pool4] has: so many that a
// mapping's address says little of the next one's, and few enough for the lab's address plan.
const poolSize = 4

// poolFrom returns the external addresses of a NAT, the first of which is given.
func poolFrom(first netip.Addr, b Behaviour) []netip.Addr {
	pool := []netip.Addr{first}
	if b.Pool4 {
		for len(pool) < poolSize {
			pool = append(pool, pool[len(pool)-1].Next())
		}
	}
	return pool
}

// external reports whether an address is one of the NAT's external addresses.
func (n *NAT) external(addr netip.Addr) bool {
	for _, a := range n.pool {
		if a == addr {
			return true
		}
	}
	return false
}

// chooseAddr returns the external address of a new mapping. A firewall's is the inside host's own.
func (n *NAT) chooseAddr(f flow) netip.Addr {
	switch len(n.pool) {
	case 0:
		return f.internal.Addr()
	case 1:
		return n.pool[0]
	}
	return n.pool[n.rng.IntN(len(n.pool))]
}
