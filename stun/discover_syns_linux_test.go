package stun_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestDiscoverSYNs counts the SYNs that servers have a host send to others than themselves, by what
// they claim.
func TestDiscoverSYNs(t *testing.T) {
	t.Parallel()
	const victim = "46.0.3.1"                        // answers with a RST
	const silent, silent2 = "46.0.77.1", "46.0.77.2" // there is no host
	other := func(addr string) faultyServer {
		return faultyServer{Other: netip.MustParseAddrPort(addr), Silent: 50000}
	}
	lie := func(addr string) faultyServer { return faultyServer{Lie: netip.MustParseAddrPort(addr), Silent: 50000} }
	for name, tt := range map[string]struct {
		port    uint16 // of the servers
		servers []faultyServer
		syns    int // to others than the servers and the own NAT, at most
		own     int // to the own NAT, if more than the 6 of the hairpin
	}{
		"the truth": {3478, []faultyServer{{Silent: 50000}}, 0, 0},
		// To two ports, where the host thinks that it is itself: three times, or the SYN again
		// after a second.
		"a mapped address of another host": {3478, []faultyServer{lie(victim + ":0"), {How: "echo"}}, 6, 0},
		"one for all":                      {3478, []faultyServer{lie(victim + ":6000")}, 0, 0},
		// Two endpoints besides, and SYNs again after 1 and 2 s.
		"all at once":                       {3478, []faultyServer{{Lie: netip.MustParseAddrPort(silent + ":0"), Other: netip.MustParseAddrPort(victim + ":6000"), Silent: 50000}}, 12, 0},
		"all at once, no answer":            {3478, []faultyServer{{Lie: netip.MustParseAddrPort(silent + ":0"), Other: netip.MustParseAddrPort(silent2 + ":6000"), Silent: 50000}}, 12, 0},
		"a mapped port of another customer": {3478, []faultyServer{lie("46.0.2.1:6000")}, 0, 0},
		"two mapped addresses":              {3478, []faultyServer{lie(victim + ":0"), {Silent: 50000}}, 0, 0},
		// Two endpoints, and SYNs again after 1 and 2 s.
		"another host for itself":    {3478, []faultyServer{other(victim + ":6000")}, 6, 0},
		"many":                       {3478, []faultyServer{other(victim + ":6000"), other(victim + ":6001"), other(victim + ":6002"), other(victim + ":6003"), other(victim + ":6004"), other(victim + ":6005")}, 12, 0},
		"a service":                  {3478, []faultyServer{other(victim + ":22")}, 0, 0},
		"a service at its own port":  {443, []faultyServer{other(victim + ":6000")}, 3, 0},
		"the asking host":            {3478, []faultyServer{other("46.0.2.1:6000")}, 0, 0},
		"the asking host, twice":     {3478, []faultyServer{{Lie: netip.MustParseAddrPort(victim + ":0"), Other: netip.MustParseAddrPort("46.0.2.1:6000")}, {}}, 0, 6},
		"a neighbour":                {3478, []faultyServer{other("192.168.1.1:6000")}, 0, 0},
		"multicast":                  {3478, []faultyServer{other("224.0.0.1:6000")}, 0, 0},
		"a silent port at a service": {3478, []faultyServer{{Silent: 22}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, server := newHome(t, "eim-apdf-rst")
			l.add(t, "victim", "public")
			var at []netip.Addr
			var names []string
			for i := range tt.servers {
				addr := server.Addr()
				if i > 0 {
					var err error
					if addr, err = server.AddAddr(); err != nil {
						t.Fatal(err)
					}
				}
				tt.servers[i].At = netip.AddrPortFrom(addr, tt.port)
				at, names = append(at, addr), append(names, tt.servers[i].At.String())
			}
			labtest.Start(t, server, "faulty", tt.servers).Next(t, new(string))
			syns := labtest.CountSYNs(l.home)
			l.discover(t, names...)
			others, own := 0, 0
			for to, n := range syns.To() {
				known := slices.Contains(at, to.Addr())
				switch {
				case known && (to.Port() >= 1024 || to.Port() == tt.port):
					continue
				case to.Addr() == l.home.External():
					own += n
				default:
					others += n
				}
				if to.Port() < 1024 {
					t.Errorf("%d SYNs to %s", n, to)
				}
			}
			t.Logf("%d SYNs to others, %d to the own NAT: %v", others, own, syns.To())
			if others > tt.syns || own > 6+tt.own {
				t.Errorf("want %d to others at most, and %d to the own NAT", tt.syns, 6+tt.own)
			}
		})
	}
}
