package stun

import (
	"net/netip"
	"testing"
	"time"
)

// TestEvict fills a server in several ways, and checks which newcomers it accepts.
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
		newcomer string
		want     bool
	}{
		"four networks":                       {fewNetworks, 0, "198.51.100.1", true},
		"four networks, one of them":          {fewNetworks, 0, "46.0.3.200", false},
		"a /48":                               {oneSite, 0, "2001:db8:2::1", true},
		"a /48, another family":               {oneSite, 0, "198.51.100.1", true},
		"a /48, the same":                     {oneSite, 0, "2001:db8:1:ffff::1", false},
		"a network each":                      {manyNetworks, 0, "198.51.100.1", false},
		"a network each, asked in time":       {manyNetworks, 30 * time.Second, "198.51.100.1", false},
		"a network each, silent":              {manyNetworks, 46 * time.Second, "198.51.100.1", true},
		"a network each, have not asked":      {manyNetworks, never, "198.51.100.1", true},
		"a carrier and others":                {carrier, 30 * time.Second, "198.51.100.1", true},
		"a carrier and others, the carrier's": {carrier, 30 * time.Second, "46.0.0.9", false},
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
			now = now.Add(max(tt.asked, 0))
			c := newServerConn(s, nil, netip.AddrPortFrom(netip.MustParseAddr(tt.newcomer), 1))
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

// TestEvictEndsAtEquality has two networks of a server that is too small for both take each other's
// places: it ends when they have as many.
func TestEvictEndsAtEquality(t *testing.T) {
	s := NewServer(nil)
	table := newConnTable(64, 64)
	conn := func(network byte) *serverConn {
		c := newServerConn(s, nil, netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, network, 1}), 1))
		c.begin(s.begun, s.cfg.IdleTimeout)
		return c
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

// TestEvictOrder: a connection that is silent, or has not asked yet, is evicted before one of a
// network that has many.
func TestEvictOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		others time.Duration // since when they have not asked, of 5 s
		want   string        // the network of those evicted
	}{
		"silent":        {3 * time.Second, "46.1.0.0/16"},
		"yet to ask":    {time.Second, "46.1.0.0/16"},
		"a few of them": {0, "46.0.0.0/16"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(nil)
			table, now := newConnTable(256, 256), s.begun
			for i := range 256 {
				ip, limit := netip.AddrFrom4([4]byte{46, 0, 0, 1}), s.cfg.IdleTimeout
				if i%2 == 1 && (tt.others > 0 || i < 3) {
					ip, limit = netip.AddrFrom4([4]byte{46, 1, byte(i), 1}), s.cfg.RequestTimeout
				}
				c := newServerConn(s, nil, netip.AddrPortFrom(ip, uint16(1+i)))
				c.begin(now, limit)
				table.add(c, now)
			}
			now = now.Add(tt.others)
			for range 8 {
				c := newServerConn(s, nil, netip.MustParseAddrPort("198.51.100.1:1"))
				c.begin(now, s.cfg.IdleTimeout)
				evicted, ok := table.add(c, now)
				if !ok || !netip.MustParsePrefix(tt.want).Contains(evicted.client.Addr()) {
					t.Errorf("let in: %v, evicted %v, want one of %s", ok, evicted, tt.want)
				}
			}
		})
	}
}

// TestEvictInTurn: where connections only come, each stays until nearly all that were there before
// it are gone.
func TestEvictInTurn(t *testing.T) {
	const size = 1024
	s := NewServer(nil)
	table, now := newConnTable(size, 1), s.begun
	came := make(map[*serverConn]int)
	var early int
	for i := range 8 * size {
		c := newServerConn(s, nil, netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, byte(i >> 8), byte(i), 1}), 1))
		now = now.Add(100 * time.Microsecond)
		c.begin(now, s.cfg.RequestTimeout)
		came[c] = i
		evicted, ok := table.add(c, now)
		if !ok {
			t.Fatalf("connection %d was refused", i)
		}
		if evicted != nil && i-came[evicted] < size/2 {
			early++
		}
	}
	if early > size/32 {
		t.Errorf("%d of %d were evicted within %d others", early, 7*size, size/2)
	}
}
