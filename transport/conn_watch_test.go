package transport

import (
	"net/netip"
	"testing"
)

// TestOwnAddrs: an IPv4 address has gone when the host has it no more, an IPv6 address when it had
// time to come back, and one that the host never had does not go.
func TestOwnAddrs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		addr string
		has  []bool
		gone int // the look at which it has gone; -1 for none
	}{
		"IPv4":           {"192.0.2.1", []bool{true, true, false}, 2},
		"IPv4 never had": {"192.0.2.1", []bool{false, false, false, false}, -1},
		"IPv6":           {"2001:db8::1", []bool{true, false, false, false}, 3},
		"IPv6 came back": {"2001:db8::1", []bool{true, false, false, true, false, false}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, gone := netip.MustParseAddr(test.addr), -1
			var before ownAddrs
			for i, has := range test.has {
				now := make(ownAddrs)
				now.look(a, has, before)
				if now.gone(a) && gone < 0 {
					gone = i
				}
				before = now
			}
			if gone != test.gone {
				t.Errorf("gone at look %d, want %d", gone, test.gone)
			}
		})
	}
}
