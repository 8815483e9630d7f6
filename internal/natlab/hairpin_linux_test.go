package natlab_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestHairpinOpen: two hosts with one outer address open a connection at once, each towards the
// other's outer endpoint, past a filter that lets in no other endpoint.
func TestHairpinOpen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		outer  string // the NAT that must hairpin
		homes  bool   // whether each host is at a site of its own behind it
		passes bool
	}{
		{"one site", "eim-apdf-hairpin", false, true},
		{"one site without hairpin", "eim-apdf", false, false},
		{"two homes behind a carrier", "eim-apdf-hairpin", true, true},
		{"two homes behind a carrier without hairpin", "eim-apdf", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lab := labtest.New(t, natlab.Config{})
			server := addHost(t, lab, natlab.SiteConfig{Name: "server"})
			at := netip.AddrPortFrom(server.Addr(), 80)
			go serveRemote(listenOn(t, server, at))
			outer, err := lab.AddSite(natlab.SiteConfig{Name: "outer", NAT: behaviour(t, tt.outer)})
			if err != nil {
				t.Fatal(err)
			}
			var hosts [2]*natlab.Host
			var local, remote [2]netip.AddrPort
			for i, name := range []string{"alice", "bob"} {
				if tt.homes {
					// Homes need no hairpin of their own.
					hosts[i] = addHost(t, lab, natlab.SiteConfig{Name: name, NAT: behaviour(t, "eim-apdf"), Behind: outer})
				} else if hosts[i], err = outer.AddHost(name); err != nil {
					t.Fatal(err)
				}
				local[i] = netip.AddrPortFrom(hosts[i].Addr(), 4001)
				remote[1-i] = dialAndRead(t, hosts[i], local[i], at)
				if addr := remote[1-i].Addr(); addr != outer.External() {
					t.Fatalf("%s is seen at %v, want %v", name, addr, outer.External())
				}
			}
			timeout := soon
			if !tt.passes {
				timeout = 200 * time.Millisecond
			}
			conns, err := openBoth(hosts, local, remote, timeout)
			if (err == nil) != tt.passes {
				t.Errorf("passes: %v; %v", tt.passes, err)
			}
			for _, c := range conns {
				if c != nil {
					c.Close()
				}
			}
		})
	}
}
