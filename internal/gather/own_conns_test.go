package gather

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestOwnConns: the application's connections show where the ports are seen, and what is asked
// beside them.
func TestOwnConns(t *testing.T) {
	t.Parallel()
	const local, relay, relay2 = "10.0.0.7:4001", "46.0.2.1:4001", "46.0.2.2:4001"
	for name, tc := range map[string]struct {
		conns []stun.ObservedConn
		sees  string // the observer; "" for nothing
		asked int
		addrs []string // of the first two attempts; see wantAddrs
		later []string // of an attempt after that
		again int      // how often it was asked then
		maps  stun.Mapping
		doubt bool
	}{
		"nothing is known": {sees: "46.0.0.1:5000", asked: 1, addrs: []string{"46.0.0.1:5000", "46.0.0.1:0"}, later: []string{"46.0.0.1:5000", "46.0.0.1:0"}, again: 2},
		"the number is kept": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.0.1:4001")}, sees: "46.0.0.1:0",
			asked: 1, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, again: 1,
		},
		"it is kept towards two": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.0.1:4001"), seen(local, relay2, "46.0.0.1:4001")}, sees: "46.0.0.1:0",
			asked: 1, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, again: 1, maps: stun.EIM,
		},
		"the host has a public address": {
			conns: []stun.ObservedConn{seen("46.0.0.1:4001", relay, "46.0.0.1:4001")},
			addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, maps: stun.EIM,
		},
		"it only seems to be kept, as where it is forwarded": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.0.1:4001")}, sees: "46.0.0.1:5000",
			asked: 1, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:5000", "46.0.0.1:0"}, again: 2,
		},
		"it only seems not to be kept, as where a neighbour has it": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.0.1:4002")}, sees: "46.0.0.1:0",
			asked: 1, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, again: 1,
		},
		"TCP has another address than UDP": {
			conns: []stun.ObservedConn{seen("0.0.0.0:4001", relay, "46.0.0.1:4001")}, sees: "46.0.0.2:5000",
			asked: 1, addrs: []string{"46.0.0.2:5000", "46.0.0.2:0"}, later: []string{"46.0.0.2:5000", "46.0.0.2:0"}, again: 2,
		},
		"UDP shows the address, and TCP has it as well": {
			conns: []stun.ObservedConn{seen("0.0.0.0:4001", relay, "46.0.0.1:5001")}, sees: "46.0.0.1:0",
			asked: 1, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, again: 1,
		},
		"UDP shows the address, and nobody answers": {
			conns: []stun.ObservedConn{seen("0.0.0.0:4001", relay, "46.0.0.1:4001")},
			asked: 2, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, again: 4, doubt: true,
		},
		"every destination has another port": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.0.1:5001"), seen(local, relay2, "46.0.0.1:5002")},
			sees:  "46.0.0.1:5000", addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, maps: stun.APDM,
		},
		"one port": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.0.1:5001"), seen(local, relay2, "46.0.0.1:5001")},
			sees:  "46.0.0.1:5000", asked: 1, addrs: []string{"46.0.0.1:5000", "46.0.0.1:0"}, later: []string{"46.0.0.1:5000", "46.0.0.1:0"}, again: 2, maps: stun.EIM,
		},
		"UDP shows no mapping": {
			conns: []stun.ObservedConn{seen("0.0.0.0:4001", relay, "46.0.0.1:5001"), seen("0.0.0.0:4001", relay2, "46.0.0.1:5002")},
			sees:  "46.0.0.1:5000", asked: 1, addrs: []string{"46.0.0.1:5000", "46.0.0.1:0"}, later: []string{"46.0.0.1:5000", "46.0.0.1:0"}, again: 2,
		},
		"nobody answers": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.0.1:5001")},
			asked: 2, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.0.1:0"}, again: 4, doubt: true,
		},
		"one relay lies": {
			conns: []stun.ObservedConn{seen(local, relay, "46.0.9.9:7"), seen(local, relay2, "46.0.0.1:4001")}, sees: "46.0.9.9:7",
			asked: 1, addrs: []string{"46.0.0.1:0"}, later: []string{"46.0.9.9:7", "46.0.0.1:0", "46.0.9.9:0"}, again: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ports := openPorts(t)
			synctest.Test(t, func(t *testing.T) {
				o := failing(relay)
				if tc.sees != "" {
					o = newFake(relay, own(ports, tc.sees).String())
				}
				o.delay = 10 * time.Millisecond
				g := newNeighbourhood(t, ports, o)
				g.SetConns(tc.conns, nil)
				var ds []*Description
				for range 2 {
					d, _ := mustGather(t, g.Gatherer)
					ds = append(ds, d)
				}
				for _, d := range ds {
					wantAddrs(t, "at first", d, tc.addrs)
					if (d.Doubt != nil) != tc.doubt || d.Behaviour.Mapping != tc.maps {
						t.Errorf("%v, doubt: %v; want %v, %v", d.Behaviour.Mapping, d.Doubt, tc.maps, tc.doubt)
					}
				}
				time.Sleep(time.Second / 2)
				if asked, _ := o.state(); asked != tc.asked {
					t.Errorf("asked %d times, want %d", asked, tc.asked)
				}
				for _, d := range ds {
					d.Release()
				}
				time.Sleep(linger)
				wantConns(t, "afterwards", 0, o)
				d, _ := mustGather(t, g.Gatherer)
				defer d.Release()
				wantAddrs(t, "later", d, tc.later)
				if asked, _ := o.state(); asked != tc.again {
					t.Errorf("asked %d times, want %d", asked, tc.again)
				}
			})
		})
	}
}

// wantAddrs compares the addresses at which the first port is named. Port 0 is its own number.
func wantAddrs(t *testing.T, when string, d *Description, addrs []string) {
	t.Helper()
	var got, want []netip.AddrPort
	for _, c := range d.Candidates {
		if c.Port == 0 {
			got = append(got, c.Addr)
		}
	}
	for _, a := range addrs {
		want = append(want, own(d.Ports, a))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: named at %v, want %v", when, got, want)
	}
}

// TestOwnConnsElsewhere: what was learned of the NATs does not hold at another external address.
func TestOwnConnsElsewhere(t *testing.T) {
	t.Parallel()
	ports := openPorts(t)
	synctest.Test(t, func(t *testing.T) {
		const local, relay = "10.0.0.7:4001", "46.0.2.1:4001"
		o := newFake(relay, "46.0.0.1:5000")
		o.delay = time.Millisecond
		g := newNeighbourhood(t, ports, o)
		attempt := func(when string, named ...string) {
			t.Helper()
			d, _ := mustGather(t, g.Gatherer)
			wantAddrs(t, when, d, named)
			time.Sleep(o.delay)
			synctest.Wait()
			d.Release()
			time.Sleep(linger)
		}
		here, there := []stun.ObservedConn{seen(local, relay, "46.0.0.1:4001")}, []stun.ObservedConn{seen(local, relay, "46.0.7.7:4001")}
		g.SetConns(here, nil)
		attempt("at first", "46.0.0.1:0")
		attempt("when an observer was asked", "46.0.0.1:5000", "46.0.0.1:0")
		g.SetConns(nil, nil)
		g.SetConns(there, nil)
		o.setAnswer(own(ports, "46.0.7.7:0").String())
		attempt("elsewhere", "46.0.7.7:0")
		asked, _ := o.state()
		attempt("when it was asked there", "46.0.7.7:0")
		if again, _ := o.state(); again != asked {
			t.Error("it was asked again")
		}
		g.SetConns(here, nil)
		attempt("back", "46.0.0.1:0")
	})
}

// TestOwnConnsAfterSleep: after the host has slept, or its clock was set forward, the application's
// own connections count again if it has reported no end of one within a minute. In another network
// they do not.
func TestOwnConnsAfterSleep(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ ends, moves bool }{
		"they live":          {},
		"they have ended":    {ends: true},
		"in another network": {moves: true},
	} {
		t.Run(name, func(t *testing.T) {
			ports := openPorts(t)
			synctest.Test(t, func(t *testing.T) {
				const relay = "46.0.2.1:4001"
				local := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.7"), 4001).String()
				o := newFake(relay, own(ports, "46.0.0.1:0").String())
				g := newNeighbourhood(t, ports, o)
				n := new(fakeNetwork)
				g.wall = n.wall
				g.SetWarm(true)
				g.SetConns([]stun.ObservedConn{seen(local, relay, "46.0.0.1:4001")}, nil)
				attempt := func() (asked int) {
					before, _ := o.state()
					d, _ := mustGather(t, g.Gatherer)
					time.Sleep(time.Second)
					d.Release()
					time.Sleep(2 * linger)
					asked, _ = o.state()
					return asked - before
				}
				attempt() // which checks that the port keeps its number
				time.Sleep(time.Minute)
				n.sleep(time.Minute)
				time.Sleep(networkCheck)
				if tc.ends {
					g.SetConns(nil, nil)
				}
				if tc.moves {
					g.enqueue(func() { g.renew("it sends from another address") })
				}
				if asked := attempt(); asked != 1 {
					t.Errorf("the observer was asked %d times after sleep", asked)
				}
				time.Sleep(doubtOwn)
				attempt() // a new place, and the same check
				want := 0
				if tc.ends || tc.moves {
					want = 1
				}
				if asked := attempt(); asked != want {
					t.Errorf("the observer was asked %d times a minute later, want %d", asked, want)
				}
			})
		})
	}
}

// TestContradiction: an observer that most of the application's peers contradict is not believed,
// and another one is asked.
func TestContradiction(t *testing.T) {
	t.Parallel()
	ports := openPorts(t)
	synctest.Test(t, func(t *testing.T) {
		liar, honest := newFake("46.0.2.1:4001", "46.0.9.9:5000"), newFake("46.0.2.2:4001", "46.0.0.1:5000")
		g := newNeighbourhood(t, ports, liar)
		var conns []stun.ObservedConn
		for i, relay := range []string{"46.0.2.1:4001", "46.0.2.2:4001", "46.0.2.3:4001"} {
			local := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.7"), uint16(4001+i)).String()
			conns = append(conns, seen(local, relay, "46.0.0.1:6001"))
		}
		g.SetConns(conns, nil)
		d, _ := mustGather(t, g.Gatherer)
		wantAddrs(t, "the liar alone", d, []string{"46.0.0.1:0"})
		if !errors.Is(d.Doubt, stun.ErrDissent) || !strings.Contains(d.Doubt.Error(), "46.0.9.9") {
			t.Errorf("doubt: %v", d.Doubt)
		}
		g.set(liar, honest)
		g.SetConns(conns, nil)
		synctest.Wait()
		second, _ := mustGather(t, g.Gatherer)
		wantAddrs(t, "another", second, []string{"46.0.0.1:5000", "46.0.0.1:0"})
		d.Release()
		second.Release()
	})
}

// TestMappingIsKept: while a connection to a peer keeps the mapping of the first port, as that peer
// sees, no observer is asked for it again.
func TestMappingIsKept(t *testing.T) {
	t.Parallel()
	ports := openPorts(t)
	synctest.Test(t, func(t *testing.T) {
		const relay = "46.0.2.1:4001"
		o := newFake(relay, "46.0.0.1:5000")
		g := newNeighbourhood(t, ports, o)
		own := seen("10.0.0.7:4001", relay, "46.0.0.1:6001")
		local := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.7"), ports[0].Number()).String()
		second := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.7"), ports[1].Number()).String()
		for i, tc := range []struct {
			conns []stun.ObservedConn
			asked int
		}{
			{nil, 1},
			{[]stun.ObservedConn{seen(local, "46.0.5.5:7000", "46.0.0.1:5000")}, 1},
			{[]stun.ObservedConn{seen(local, "46.0.6.6:7000", "46.0.9.9:5000"), seen(local, "46.0.5.5:7000", "46.0.0.1:5000")}, 1},
			{[]stun.ObservedConn{seen(second, "46.0.5.5:7000", "46.0.0.1:5000")}, 2},
			{[]stun.ObservedConn{seen(local, "46.0.5.5:7000", "46.0.0.1:5001")}, 3},
			{nil, 4},
		} {
			g.SetConns([]stun.ObservedConn{own}, tc.conns)
			d, took := mustGather(t, g.Gatherer)
			if wantAddrs(t, fmt.Sprint("attempt ", i), d, []string{"46.0.0.1:5000", "46.0.0.1:0"}); took != 0 || d.Doubt != nil {
				t.Errorf("attempt %d: after %v, doubt %v", i, took, d.Doubt)
			}
			d.Release()
			time.Sleep(linger)
			wantConns(t, "afterwards", 0, o)
			if asked, _ := o.state(); asked != tc.asked {
				t.Errorf("attempt %d: asked %d times, want %d", i, asked, tc.asked)
			}
		}
	})
}

// TestPunchedPeersHaveNoVote: strangers at the other ends of punched connections, from whatever
// port, do not choose the address that the host names, nor how its NATs map ports.
func TestPunchedPeersHaveNoVote(t *testing.T) {
	t.Parallel()
	for name, local := range map[string]string{"first port": "10.0.0.7:0", "fresh port": "10.0.0.7:50000"} {
		t.Run(name, func(t *testing.T) {
			ports := openPorts(t)
			local := own(ports, local).String()
			synctest.Test(t, func(t *testing.T) {
				g := newNeighbourhood(t, ports)
				g.SetConns(
					[]stun.ObservedConn{seen("10.0.0.7:4001", "46.0.2.1:4001", "46.0.0.1:4001")},
					[]stun.ObservedConn{seen(local, "46.0.5.5:7000", "46.0.9.9:5000"), seen(local, "46.0.6.6:7000", "46.0.9.9:5001")},
				)
				d, _ := mustGather(t, g.Gatherer)
				defer d.Release()
				wantAddrs(t, "punched", d, []string{"46.0.0.1:0"})
				if d.Behaviour.Mapping != stun.MappingUnknown {
					t.Errorf("mapping: %v", d.Behaviour.Mapping)
				}
			})
		})
	}
}
