package natlab

import (
	"net/netip"
	"testing"
)

// A mapping of a pool has one address and keeps it, and the next mapping has any.
func TestPool(t *testing.T) {
	for _, tt := range []struct {
		nat           string
		perConnection bool // whether the connections of one port have mappings of their own
	}{
		{"eim-eif-pool4", false},
		{"eim-adf-random-pool4", false},
		{"apdm-apdf-pool4", true},
		{"apdm-apdf-overload-pool4", true},
		{"apdm-eif-sequential-pool4", true},
	} {
		for _, p := range protocols {
			n := newNATTest(t, tt.nat)
			seen := make(map[netip.Addr]bool)
			used := make(map[netip.AddrPort]bool)
			for i := range uint16(40) {
				from, to := inside1, netip.AddrPortFrom(remote1.Addr(), 80+i)
				if !tt.perConnection {
					from = netip.AddrPortFrom(inside1.Addr(), 4001+i)
				}
				external := n.open(p.proto, from, to)
				if !n.nat.external(external.Addr()) {
					t.Fatalf("%s: %v is none of its addresses, %v", tt.nat, external, n.nat.pool)
				}
				if used[external] && tt.nat != "apdm-apdf-overload-pool4" {
					t.Errorf("%s: %v is used twice", tt.nat, external)
				}
				seen[external.Addr()], used[external] = true, true
				if again := n.open(p.proto, from, to); again != external {
					t.Errorf("%s: the same connection from %v, before %v", tt.nat, again, external)
				}
				if other := n.open(p.proto, from, ap("46.0.9.1:9000")); !tt.perConnection && other != external {
					t.Errorf("%s: another connection from %v, want %v", tt.nat, other, external)
				}
				if got, reason := n.in(first(p.proto, to, external)); got != from {
					t.Errorf("%s: back to %v: %v %s", tt.nat, external, got, reason)
				}
			}
			if len(seen) != poolSize {
				t.Errorf("%s: the addresses of 40 mappings are %v", tt.nat, seen)
			}
			n.consistent()
		}
	}
}

// An endpoint whose mapping is over gets another address.
func TestPoolKeepsNothing(t *testing.T) {
	n := newNATTest(t, "eim-eif-pool4")
	seen := make(map[netip.Addr]bool)
	for range 40 {
		seen[n.open(protoUDP, inside1, remote1).Addr()] = true
		n.now = n.now.Add(udpIdle)
	}
	if len(seen) != poolSize {
		t.Errorf("40 mappings of one endpoint are at %v", seen)
	}
}

// The filter is that of a NAT with one address: it depends on the destinations of packets, not on
// their source.
func TestPoolFilters(t *testing.T) {
	n := newNATTest(t, "eim-apdf-pool4")
	external := n.open(protoTCP, inside1, remote1)
	for _, addr := range n.nat.pool {
		at := netip.AddrPortFrom(addr, external.Port())
		want := "no mapping"
		if at == external {
			want = ""
		}
		if _, reason := n.in(tcpPacket(remote1, at, SYN, "")); reason != want {
			t.Errorf("at %v: %q, want %q", at, reason, want)
		}
		if _, reason := n.in(tcpPacket(ap("46.0.9.1:9000"), at, SYN, "")); reason == "" {
			t.Errorf("somebody comes in at %v", at)
		}
	}
}

// All addresses of a pool lead to the site, also behind another one, and no other site's do.
func TestPoolIsRouted(t *testing.T) {
	for _, behind := range []bool{false, true} {
		inLab(t, func(t *testing.T, l *Lab) {
			server := addStation(t, l, "public", SiteConfig{})
			var cfg SiteConfig
			if behind {
				cfg.Behind = addStation(t, l, "eim-eif", SiteConfig{}).site
			}
			home := addStation(t, l, "apdm-apdf-pool4", cfg)
			seen := make(map[netip.Addr]bool)
			for i := range uint16(40) {
				home.send(netip.AddrPortFrom(server.addr, 80+i))
			}
			rest(ms)
			for _, a := range server.got {
				seen[a.pkt.Src().Addr()] = true
				server.site.fromHost(udpPacket(a.pkt.Dst(), a.pkt.Src(), ""))
			}
			rest(ms)
			if len(server.got) != 40 || len(home.got) != 40 {
				t.Errorf("%d packets have arrived, and %d answers; want 40", len(server.got), len(home.got))
			}
			want := poolSize
			if behind {
				want = 1 // of the site on the core
			}
			if len(seen) != want {
				t.Errorf("behind another site %v: seen at %v", behind, seen)
			}
		})
	}
}
