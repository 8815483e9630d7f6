package transport

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// A household is a lab with a stock relay, and hosts behind one address. There is no STUN server.
type household struct {
	*hostLab
	relay relayConfig
	proc  *labtest.Proc
	host  *natlab.Host
	home  *natlab.Site
}

func newHousehold(t *testing.T, nat string, perIP int) *household {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &household{hostLab: &hostLab{Lab: labtest.New(t, natlab.Config{Seed: 1})}}
	site, err := d.AddSite(natlab.SiteConfig{Name: "relay", Delay: relayDelay})
	if err != nil {
		t.Fatal(err)
	}
	d.host = addHost(t, site, "relay")
	d.relay = relayConfig{NoSTUN: true, Stock: true, PerIP: perIP, Limited: true}
	d.relay.Addrs[0] = d.host.Addr()
	if d.relay.Key, err = crypto.MarshalPrivateKey(key); err != nil {
		t.Fatal(err)
	}
	d.startRelay(t)
	d.home = d.site(t, "home", nat)
	return d
}

func (d *household) startRelay(t *testing.T) {
	t.Helper()
	d.proc = labtest.Start(t, d.host, "relay", d.relay)
	d.proc.Next(t, &d.hostLab.relay)
}

// conns is what the relay has had of connections since it was last asked.
func (d *household) conns(t *testing.T) (n relayConns) {
	t.Helper()
	d.proc.Send(t, "conns")
	d.proc.Next(t, &n)
	return n
}

// move starts a peer in the household, which keeps a reservation by AutoRelay.
func (d *household) move(t *testing.T, name string, cfg peerConfig) *labPeer {
	t.Helper()
	cfg.Options = append(cfg.Options, "private", "keeps a reservation")
	return d.startPeer(t, addHost(t, d.home, name), cfg)
}

// wantReservations wants peers to have their reservations, or to get them.
func (d *household) wantReservations(t *testing.T, when string, peers ...*labPeer) {
	t.Helper()
	for _, p := range peers {
		if len(p.addrs(t, false)) == 0 {
			t.Errorf("%s, %s has no reservation", when, p.host.Name())
		}
	}
}

// TestHouseholdReservations: a stock relay lets eight hosts behind one address connect and reserve.
// Each has its reservation, in any order, and again after the relay has restarted, while hosts with
// a reservation punch.
func TestHouseholdReservations(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, nat string
		stock     func(i int) bool
	}{
		{"simopen first, random ports", "eim-apdf-random", func(i int) bool { return i > 4 }},
		{"stock first, ports are kept", "eim-apdf", func(i int) bool { return i < 3 }},
		{"mixed, random ports", "eim-apdf-random", func(i int) bool { return i%3 == 1 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := newHousehold(t, tc.nat, 0)
			bob := d.startPeer(t, addHost(t, d.site(t, "office", "eim-apdf"), "bob"), peerConfig{Options: []string{"private", "keeps a reservation"}})
			ready(t, bob)
			d.wantReservations(t, "at first", bob)
			var peers, simopen []*labPeer
			cfg := peerConfig{}
			if tc.nat == "eim-apdf-random" {
				// Most attempts go on to their end: the relay cannot be asked.
				cfg.Timeout = briefTimeout
			}
			for i := range 8 {
				cfg.Stock = tc.stock(i)
				p := d.move(t, fmt.Sprintf("host%d", i), cfg)
				peers = append(peers, p)
				if ready(t, p); !tc.stock(i) {
					simopen = append(simopen, p)
				}
				d.wantReservations(t, "at first", p)
			}
			for _, p := range simopen {
				p.proc.Send(t, command{Do: "dial", Peer: bob.id})
			}
			for _, p := range simopen {
				var o outcome
				if p.proc.Next(t, &o); !o.Direct && tc.nat == "eim-apdf" {
					t.Errorf("%s and bob: %v", p.host.Name(), o)
				}
				p.forget(t, bob)
			}
			d.proc.Kill()
			for _, p := range append(peers, bob) {
				p.must(t, "lose")
			}
			d.startRelay(t)
			d.wantReservations(t, "after a restart", bob)
			for _, p := range peers {
				d.wantReservations(t, "after a restart", p)
				if slices.Contains(simopen, p) {
					p.proc.Send(t, command{Do: "dial", Peer: bob.id})
				}
			}
			for _, p := range simopen {
				p.proc.Next(t, new(outcome))
			}
			d.wantReservations(t, "after the punches", peers...)
			t.Logf("connections of the relay: %+v", d.conns(t))
		})
	}
}

// TestHouseholdPairs: every pair of six hosts behind one address becomes direct, and each host with
// a peer elsewhere, with a stock relay as the observer. Two stock hosts move in, and get their
// reservations. They get them before that if no observer needs to be asked, and otherwise soon
// after.
func TestHouseholdPairs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ home, office, listen string }{
		"keeps ports":              {"eim-apdf-rst", "eim-apdf", ""},
		"keeps ports, all listen":  {"eim-apdf-rst", "eim-apdf", "/ip4/0.0.0.0/tcp/4001"},
		"random ports":             {"eim-apdf-rst-random", "eim-apdf-random", ""},
		"random ports, all listen": {"eim-apdf-random", "eim-apdf-rst-random", "/ip4/0.0.0.0/tcp/4001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newHousehold(t, tc.home, 0)
			// Where the relay has no place for a question, an attempt goes on to its end.
			cfg := peerConfig{Options: []string{"tries again soon"}, Timeout: briefTimeout}
			if tc.listen != "" {
				cfg.Listen = []string{tc.listen}
			}
			bob := d.startPeer(t, addHost(t, d.site(t, "office", tc.office), "bob"), cfg)
			var peers []*labPeer
			for i := range 6 {
				peers = append(peers, d.move(t, fmt.Sprintf("host%d", i), cfg))
			}
			ready(t, append(peers, bob)...)
			bob.reserve(t)
			d.wantReservations(t, "at first", peers...)
			var late []*labPeer
			moveIn := func() {
				for i := range 2 {
					late = append(late, d.move(t, fmt.Sprintf("late%d", i), peerConfig{Stock: true}))
				}
				ready(t, late...)
			}
			if !strings.Contains(tc.home, "random") {
				moveIn()
			}
			for i, p := range peers {
				for _, q := range append(peers[:i:i], bob) {
					d.wantDirect(t, p, q)
				}
			}
			if len(late) == 0 {
				moveIn()
			}
			d.wantReservations(t, "at the end", append(peers, late...)...)
			t.Logf("connections of the relay: %+v", d.conns(t))
		})
	}
}

// wantDirect has a peer dial another one until there is a direct connection.
func (d *household) wantDirect(t *testing.T, p, q *labPeer) {
	t.Helper()
	var o outcome
	for n := range 8 {
		if o = p.dial(t, q); o.Direct {
			t.Logf("%s and %s: attempt %d, %v", p.host.Name(), q.host.Name(), n+1, o.Took)
			return
		}
		t.Logf("%s and %s: attempt %d: %s", p.host.Name(), q.host.Name(), n+1, o.Err)
	}
	t.Errorf("%s and %s: %v", p.host.Name(), q.host.Name(), o)
}

// TestHouseholdFullRelay: a relay that has room for the hosts' own connections alone is the reason
// if they have to ask it, and another public peer that they are connected to is asked instead.
func TestHouseholdFullRelay(t *testing.T) {
	t.Parallel()
	d := newHousehold(t, "eim-apdf-random", 1)
	public := addHost(t, d.site(t, "public", "public"), "carol")
	carol := labtest.Start(t, public, "observer", observerConfig{Addr: public.Addr()})
	var at peer.AddrInfo
	carol.Next(t, &at)
	alice, bob := d.newPair(t, addHost(t, d.home, "alice"), addHost(t, d.site(t, "office", "eim-apdf-random"), "bob"), peerConfig{Timeout: briefTimeout})
	bob.reserve(t)
	alice.join(t)
	o := alice.dial(t, bob)
	if o.Direct || o.Reason != holepunch.ErrNoAddress || !strings.Contains(o.Err, d.hostLab.relay.ID.String()) || !strings.Contains(o.Err, "8 connections") {
		t.Errorf("got %v (reason %q), want that the relay takes no more connections", o, o.Reason)
	}
	for _, p := range []*labPeer{alice, bob} {
		p.connect(t, at)
	}
	if o := alice.upgrade(t, bob.id); !o.Direct {
		t.Errorf("with another public peer: %v", o)
	}
	if n := d.conns(t); n.Made != 2 {
		t.Errorf("the relay had %+v, want the hosts' own two connections", n)
	}
}

// TestHouseholdAsksOnce: while a punched connection keeps the mapping of a port, the relay is not
// asked for it again.
func TestHouseholdAsksOnce(t *testing.T) {
	t.Parallel()
	d := newHousehold(t, "eim-apdf-random", 0)
	alice := d.startPeer(t, addHost(t, d.home, "alice"), peerConfig{})
	bob, carol := d.newPair(t, addHost(t, d.site(t, "office", "eim-apdf"), "bob"), addHost(t, d.site(t, "shop", "eim-apdf"), "carol"), peerConfig{})
	ready(t, alice)
	alice.join(t)
	made := 0
	for i, p := range []*labPeer{bob, carol} {
		p.reserve(t)
		if o := alice.dial(t, p); !o.Direct {
			t.Errorf("alice and %s: %v", p.host.Name(), o)
		}
		own := 2 + i
		eventually(t, "the relay has the hosts' own connections alone", func() bool {
			n := d.conns(t)
			made += n.Made
			return n.Now == own
		})
	}
	// Each of the three has its own, and asks once: the others to check that their NATs keep ports,
	// unless the punch is sooner.
	if made > 6 {
		t.Errorf("the relay had %d connections, want 6 at most", made)
	}
}
