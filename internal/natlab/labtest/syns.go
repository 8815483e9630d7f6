package labtest

import (
	"maps"
	"net/netip"
	"sync"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// SYNs counts the SYNs, without ACK, that leave a site's hosts, by destination.
type SYNs struct {
	mu sync.Mutex
	to map[netip.AddrPort]int
}

// CountSYNs counts the SYNs of a site from now on.
func CountSYNs(s *natlab.Site) *SYNs {
	c := &SYNs{to: make(map[netip.AddrPort]int)}
	s.Tap(func(e natlab.Event) {
		p, err := natlab.Parse(e.Packet)
		if err != nil || e.Place != natlab.Inside || e.Direction != natlab.Outbound || p.Flags()&(natlab.SYN|natlab.ACK) != natlab.SYN {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.to[p.Dst()]++
	})
	return c
}

// Sum returns the number of SYNs to the destinations that satisfy is.
func (c *SYNs) Sum(is func(netip.AddrPort) bool) (n int) {
	for a, k := range c.To() {
		if is(a) {
			n += k
		}
	}
	return n
}

// To returns the number of SYNs to each destination.
func (c *SYNs) To() map[netip.AddrPort]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.to)
}
