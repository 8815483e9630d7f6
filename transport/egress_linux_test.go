package transport

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// farRelay is how much longer the way from the relay is: so long that a refusal which a busy
// machine notices late is still sooner than an answer from there.
const farRelay = 150 * time.Millisecond

// newEgressPair starts a peer behind a filter for what goes out, and another one, with two relays
// far from both. The STUN server is behind the filter: only the relays can be asked.
func newEgressPair(t *testing.T, filtered, other string) (l *hostLab, a, b *labPeer) {
	t.Helper()
	l = newHostLab(t, relayConfig{})
	sites := [2]*natlab.Site{l.site(t, "filtered", filtered), l.site(t, "other", other)}
	for _, s := range sites {
		l.SetExtraDelay(l.relaySite, s, farRelay)
	}
	a, b = l.newPair(t, addHost(t, sites[0], "alice"), addHost(t, sites[1], "bob"), peerConfig{})
	second := labtest.AddSite(t, l.Lab, natlab.SiteConfig{Name: "second relay", Delay: relayDelay})
	for _, s := range sites {
		l.SetExtraDelay(second, s, farRelay)
	}
	host := addHost(t, second, "second relay")
	cfg := relayConfig{NoSTUN: true}
	cfg.Addrs[0] = host.Addr()
	var relay peer.AddrInfo
	labtest.Start(t, host, "relay", cfg).Next(t, &relay)
	for _, p := range []*labPeer{a, b} {
		if o := p.connect(t, relay); o.Err != "" {
			t.Fatal(o.Err)
		}
	}
	return l, a, b
}

// connects counts a peer's connects since the last call.
func (p *labPeer) connects(t *testing.T) (n int) {
	t.Helper()
	for _, s := range p.steps(t) {
		if s.Kind == holepunch.Connecting {
			n++
		}
	}
	return n
}

// TestEgressFiltered: a network refuses connections to all ports but some. Both sides have that
// reason early, and after few connects; the next attempt makes none from there.
func TestEgressFiltered(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"eim-apdf-egressrst", "eim-apdf-egressicmp", "eim-apdf, with a firewall"} {
		for _, initiates := range []bool{true, false} {
			name := nat + ", responder"
			if initiates {
				name = nat + ", initiator"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				words, own := strings.CutSuffix(nat, ", with a firewall")
				_, a, b := newEgressPair(t, words, "eim-apdf")
				if own {
					if err := a.host.FilterEgress(); err != nil {
						t.Fatal(err)
					}
				}
				d, r := b, a
				if initiates {
					d, r = a, b
				}
				for attempt := range 2 {
					wantReason(t, d, r, holepunch.ErrEgressFiltered)
					n := a.connects(t)
					t.Logf("attempt %d: %d connects", attempt, n)
					if most := []int{300, 0}[attempt]; n > most { // a peer's SYNs, with those that come back meanwhile
						t.Errorf("%d connects, want %d at most", n, most)
					}
					d.forget(t, r)
					r.forget(t, d)
				}
			})
		}
	}
}

// TestNoRouteToPeer: a host that cannot send to its peer reports that early.
func TestNoRouteToPeer(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]int{"unreachable": unix.RTN_UNREACHABLE, "prohibited": unix.RTN_PROHIBIT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, a, b := newEgressPair(t, "eim-apdf", "eim-apdf")
			err := a.host.Do(func() error {
				to := &net.IPNet{IP: b.host.Site().External().AsSlice(), Mask: net.CIDRMask(32, 32)}
				return netlink.RouteAdd(&netlink.Route{Dst: to, Type: kind})
			})
			if err != nil {
				t.Fatal(err)
			}
			d, r := punch(t, a, b)
			t.Logf("%v; %v", d, r)
			if d.Reason != holepunch.ErrEgressFiltered || !strings.Contains(d.Err, "no route to the peer") {
				t.Errorf("the side without a route has %v", d)
			}
			if r.Reason != holepunch.ErrNoConnection {
				t.Errorf("the other side has %v", r)
			}
		})
	}
}

// TestEgressFilteredIsReached: a host whose NAT lets anybody in needs no connection out.
func TestEgressFilteredIsReached(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"eim-eif-egressrst", "eim-eif-egressdrop"} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			_, a, b := newEgressPair(t, nat, "eim-apdf-rst")
			wantDirect(t, a, b)
		})
	}
}

// TestEgressDropped: where SYNs are dropped the host cannot distinguish its own network from the
// peer's. But a SYN to the relay without an answer is a hint.
func TestEgressDropped(t *testing.T) {
	t.Parallel()
	_, a, b := newEgressPair(t, "eim-apdf-egressdrop", "eim-apdf")
	d, r := punch(t, a, b)
	const hint = "this host's network may let out some ports only: no answer from "
	if d.Reason != holepunch.ErrNoConnection || !strings.Contains(d.Err, hint) {
		t.Errorf("the filtered side has %v", d)
	}
	if r.Reason != holepunch.ErrNoConnection || strings.Contains(r.Err, hint) {
		t.Errorf("the other side has %v", r)
	}
}

// TestNearRefusalIsNoFilter: two networks next to each other refuse SYNs at once, while the relay
// is far. That is no filter for what goes out.
func TestNearRefusalIsNoFilter(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	var hosts [2]*natlab.Host
	for i, name := range []string{"alice", "bob"} {
		s, err := l.AddSite(natlab.SiteConfig{Name: name, NAT: natlab.Behaviour{Mapping: natlab.EIM, Filtering: natlab.APDF, Unsolicited: natlab.UnsolicitedRST}})
		if err != nil {
			t.Fatal(err)
		}
		l.SetExtraDelay(l.relaySite, s, farRelay)
		hosts[i] = addHost(t, s, name)
	}
	a, b := l.newPair(t, hosts[0], hosts[1], peerConfig{})
	for range 2 {
		d, r := punch(t, a, b)
		t.Logf("%v; %v", d, r)
		if d.Reason == holepunch.ErrEgressFiltered || r.Reason == holepunch.ErrEgressFiltered {
			t.Error("a filter is to blame, and there is none")
		}
		a.leave(t)
		b.leave(t)
	}
}
