package stun

import (
	"net/netip"
	"testing"
	"time"
)

// TestEvict fills a server in several ways, and tells who gets in then.
func TestEvict(t *testing.T) {
	const size = 512
	var (
		fewNetworks  = func(i int) netip.Addr { return netip.AddrFrom4([4]byte{46, 0, byte(i % 4), byte(i / 4)}) }
		manyNetworks = func(i int) netip.Addr { return netip.AddrFrom4([4]byte{46, byte(i >> 8), byte(i), 1}) }
		oneSite      = func(i int) netip.Addr { // a /64 for each connection, all of one /48
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(i >> 8), byte(i), 15: 1})
		}
		// half of one network, and the others one each
		carrier = func(i int) netip.Addr {
			if i%2 == 0 {
				return fewNetworks(0)
			}
			return manyNetworks(256 + i)
		}
	)
	const never = -1
	for name, tt := range map[string]struct {
		from     func(i int) netip.Addr
		asked    time.Duration // before the newcomer comes; never: they have not
		age      time.Duration // of those who never asked
		newcomer string
		want     bool
	}{
		"four networks":                         {fewNetworks, 0, 0, "198.51.100.1", true},
		"four networks, one of them":            {fewNetworks, 0, 0, "46.0.3.200", false},
		"a /48":                                 {oneSite, 0, 0, "2001:db8:2::1", true},
		"a /48, another family":                 {oneSite, 0, 0, "198.51.100.1", true},
		"a /48, the same":                       {oneSite, 0, 0, "2001:db8:1:ffff::1", false},
		"a network each":                        {manyNetworks, 0, 0, "198.51.100.1", false},
		"a network each, asked in time":         {manyNetworks, 30 * time.Second, 0, "198.51.100.1", false},
		"a network each, silent":                {manyNetworks, 46 * time.Second, 0, "198.51.100.1", true},
		"a network each, just connected":        {manyNetworks, never, 2 * time.Second, "198.51.100.1", false},
		"a network each, connected a while ago": {manyNetworks, never, 3 * time.Second, "198.51.100.1", true},
		"a carrier and others":                  {carrier, 30 * time.Second, 0, "198.51.100.1", true},
		"a carrier and others, the carrier's":   {carrier, 30 * time.Second, 0, "46.0.0.9", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(nil)
			table, now := newConnTable(size, size), s.begun
			for i := range size {
				c := newServerConn(s, nil, netip.AddrPortFrom(tt.from(i), uint16(1+i)))
				c.begin(now, s.cfg.RequestTimeout)
				if tt.asked != never {
					c.begin(now, s.cfg.IdleTimeout)
				}
				if _, ok := table.add(c, now); !ok {
					t.Fatalf("connection %d was refused", i)
				}
			}
			now = now.Add(max(tt.asked, 0) + tt.age)
			c := newServerConn(s, nil, netip.AddrPortFrom(netip.MustParseAddr(tt.newcomer), 1))
			c.begin(now, s.cfg.RequestTimeout)
			evicted, ok := table.add(c, now)
			if ok != tt.want || (evicted != nil) != tt.want || len(table.conns) != size {
				t.Errorf("let in: %v, want %v; evicted %v; %d connections", ok, tt.want, evicted, len(table.conns))
			}
			if evicted != nil && evicted.place >= 0 {
				t.Error("the evicted connection has a place")
			}
		})
	}
}

// TestEvictEndsAtEquality has two networks of a server that is too small for both take
// each other's places: it ends when they have as many.
func TestEvictEndsAtEquality(t *testing.T) {
	s := NewServer(nil)
	table := newConnTable(64, 64)
	conn := func(network byte) *serverConn {
		return newServerConn(s, nil, netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, network, 1}), 1))
	}
	for range 64 {
		table.add(conn(0), s.begun)
	}
	let := 0
	for i := range 1000 {
		if _, ok := table.add(conn(byte(i%2)), s.begun); ok {
			let++
		}
	}
	if let != 32 {
		t.Errorf("%d were let in, want 32", let)
	}
}

// TestEvictPrefersTheSilent: who is silent goes before a network that has many.
func TestEvictPrefersTheSilent(t *testing.T) {
	s := NewServer(nil)
	table, now := newConnTable(64, 64), s.begun
	for i := range byte(64) {
		network := byte(0)
		if i%2 == 1 {
			network = i
		}
		c := newServerConn(s, nil, netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, network, 1}), 1))
		if network == 0 {
			c.begin(now.Add(3*time.Second), s.cfg.IdleTimeout)
		}
		table.add(c, now)
	}
	now = now.Add(3 * time.Second)
	for range 8 {
		c := newServerConn(s, nil, netip.MustParseAddrPort("198.51.100.1:1"))
		c.begin(now, s.cfg.IdleTimeout)
		if evicted, ok := table.add(c, now); !ok || networkKey(evicted.client.Addr()).String() == "46.0.0.0/24" {
			t.Errorf("let in: %v, evicted %v", ok, evicted)
		}
	}
}
