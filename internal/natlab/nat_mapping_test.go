package natlab

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestMapping(t *testing.T) {
	otherPort := netip.AddrPortFrom(remote1.Addr(), 81)
	otherAddr := ap("46.0.3.1:80")
	for _, tt := range []struct {
		mapping              string
		otherPort, otherAddr bool // whether the mapping is used again for these
	}{
		{"eim", true, true},
		{"adm", true, false},
		{"apdm", false, false},
	} {
		for _, filtering := range filteringNames {
			for _, ports := range portNames {
				if ports == "overload" {
					continue // there, mappings of one internal endpoint share a port: see TestPortOverload
				}
				for _, p := range protocols {
					t.Run(fmt.Sprint(tt.mapping, "-", filtering, "-", ports, " ", p.name), func(t *testing.T) {
						n := newNATTest(t, tt.mapping+"-"+filtering+"-"+ports)
						one := n.open(p.proto, inside1, remote1)
						if one.Addr() != natAddr {
							t.Errorf("external endpoint is %v", one)
						}
						if again := n.open(p.proto, inside1, remote1); again != one {
							t.Errorf("the same destination again: %v, before %v", again, one)
						}
						if other := n.open(p.proto, inside1, otherPort); (other == one) != tt.otherPort {
							t.Errorf("other port: %v, before %v", other, one)
						}
						if other := n.open(p.proto, inside1, otherAddr); (other == one) != tt.otherAddr {
							t.Errorf("other address: %v, before %v", other, one)
						}
						if other := n.open(p.proto, inside2, remote1); other == one {
							t.Errorf("two hosts share %v", one)
						}
					})
				}
			}
		}
	}
}

func TestFiltering(t *testing.T) {
	otherPort := netip.AddrPortFrom(remote1.Addr(), 81)
	otherAddr := ap("46.0.3.1:80")
	for _, tt := range []struct {
		filtering            string
		otherPort, otherAddr string // why a packet from there does not come in
	}{
		{"eif", "", ""},
		{"adf", "", "filtered"},
		{"apdf", "filtered", "filtered"},
	} {
		for _, mapping := range mappingNames[EIM:] {
			for _, p := range protocols {
				t.Run(mapping+"-"+tt.filtering+" "+p.name, func(t *testing.T) {
					n := newNATTest(t, mapping+"-"+tt.filtering)
					if _, reason := n.in(first(p.proto, remote1, ap("46.0.1.1:4001"))); reason != "no mapping" {
						t.Errorf("before anything went out: %q", reason)
					}
					external := n.open(p.proto, inside1, remote1)
					for from, want := range map[netip.AddrPort]string{remote1: "", otherPort: tt.otherPort, otherAddr: tt.otherAddr} {
						to, reason := n.in(first(p.proto, from, external))
						if reason != want || reason == "" && to != inside1 {
							t.Errorf("from %v: %v %q, want %q", from, to, reason, want)
						}
					}
					other := netip.AddrPortFrom(natAddr, external.Port()+1)
					if _, reason := n.in(first(p.proto, remote1, other)); reason != "no mapping" {
						t.Errorf("to another port: %q", reason)
					}
				})
			}
		}
	}
}
