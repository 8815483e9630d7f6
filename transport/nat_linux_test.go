package transport

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// newPair starts a peer in each of two hosts.
func (l *hostLab) newPair(t *testing.T, a, b *natlab.Host, cfg peerConfig) (_, _ *labPeer) {
	t.Helper()
	pa, pb := l.startPeer(t, a, cfg), l.startPeer(t, b, cfg)
	ready(t, pa, pb)
	return pa, pb
}

// wantDirect has each peer dial the other, and wants a direct connection.
func wantDirect(t *testing.T, a, b *labPeer) (got []outcome) {
	t.Helper()
	for range 2 {
		d, l := wantDirectFrom(t, a, b)
		got = append(got, d, l)
		a, b = b, a
	}
	return got
}

// wantDirectFrom has a dial b, and wants a direct connection.
func wantDirectFrom(t *testing.T, a, b *labPeer) (d, l outcome) {
	t.Helper()
	d, l = punch(t, a, b)
	t.Logf("%s, which dials, has %v; %s has %v", a.host.Name(), d, b.host.Name(), l)
	if !d.Direct || !l.Direct {
		t.Error("want direct connections")
		logSteps(t, a, b)
	}
	a.leave(t)
	b.leave(t)
	return d, l
}

// wantReason has a dial b, and wants both to get the same reason why there is no direct
// connection.
func wantReason(t *testing.T, a, b *labPeer, reason holepunch.Reason) {
	t.Helper()
	d, l := punch(t, a, b)
	if d.Direct || d.Reason != reason || l.Reason != reason {
		t.Errorf("%s has %v; %s has %v; want %q", a.host.Name(), d, b.host.Name(), l, reason)
		logSteps(t, a, b)
	}
}

// TestMasqueradeCollision: another host behind Linux masquerading has the peer's local port
// towards the STUN server, so that the mapping to the server gets a port at random, but
// those to other peers get the local one.
func TestMasqueradeCollision(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"eim-eif", "eim-apdf", "apdm-apdf-overload"} {
		t.Run(other, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{})
			office := l.site(t, "office", "apdm-apdf-overload")
			a, b := l.newPair(t, addHost(t, office, "alice"), addHost(t, l.site(t, "home", other), "bob"), peerConfig{})
			port := a.stats(t).Port
			carol := labtest.Start(t, addHost(t, office, "carol"), "socket", socketConfig{Port: port, Remote: l.stun[0]})
			carol.Next(t, &port)
			wantDirect(t, a, b)
		})
	}
}

// TestCarrierNAT: homes behind the NATs of carriers.
func TestCarrierNAT(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	home := func(name, nat, carrier string) *natlab.Host {
		outer := l.site(t, name+"'s carrier", carrier)
		return addHost(t, l.siteBehind(t, name+"'s home", nat, outer), name)
	}
	a, b := l.newPair(t, home("alice", "eim-apdf-rst", "eim-apdf"), home("bob", "eim-adf", "eim-apdf-icmp"), peerConfig{})
	wantDirect(t, a, b)
}

// TestSameSite: both peers are behind one NAT.
func TestSameSite(t *testing.T) {
	t.Parallel()
	for name, nat := range map[string]string{
		"hairpin":           "eim-apdf-rst-hairpin",
		"no hairpin":        "eim-apdf-rst",
		"ports in sequence": "adm-apdf-sequential",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{})
			home := l.site(t, "home", nat)
			a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, home, "bob"), peerConfig{})
			if strings.HasPrefix(nat, "adm") {
				a.join(t)
				b.join(t)
				t.Log(a.learn(t), b.learn(t))
			}
			wantDirect(t, a, b)
		})
	}
}

// TestSameCarrier: both peers' homes are behind one carrier's NAT.
func TestSameCarrier(t *testing.T) {
	t.Parallel()
	newPair := func(t *testing.T, nat string, cfg peerConfig) (_, _ *labPeer) {
		l := newHostLab(t, relayConfig{})
		carrier := l.site(t, "carrier", nat)
		home := func(name string) *natlab.Host {
			return addHost(t, l.siteBehind(t, name+"'s home", "eim-apdf", carrier), name)
		}
		return l.newPair(t, home("alice"), home("bob"), cfg)
	}
	t.Run("hairpin", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t, "eim-apdf-hairpin", peerConfig{})
		wantDirect(t, a, b)
	})
	t.Run("no hairpin", func(t *testing.T) {
		t.Parallel()
		a, b := newPair(t, "eim-apdf", peerConfig{Timeout: briefTimeout})
		wantReason(t, a, b, holepunch.ErrNoHairpin)
	})
}

// TestNoNetlink: the hosts cannot list their interfaces.
func TestNoNetlink(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	a, b := l.newPair(t,
		addHost(t, l.site6(t, "home", "eim-apdf"), "alice"),
		addHost(t, l.site6(t, "office", "eim-apdf-rst"), "bob"),
		peerConfig{NoNetlink: true})
	wantDirect(t, a, b)
}

// TestUDPBlocked: QUIC has no way out, and nothing else changes.
func TestUDPBlocked(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	a, b := l.newPair(t,
		addHost(t, l.site(t, "office", "eim-apdf-rst-noudp"), "alice"),
		addHost(t, l.site(t, "hotel", "eim-apdf-noudp"), "bob"),
		peerConfig{
			Listen:  []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"},
			Private: true,
		})
	wantDirect(t, a, b)
}

// TestForwardedPort: a peer listens behind a NAT, which forwards a port to it. It could not
// be reached otherwise.
func TestForwardedPort(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	home := l.site(t, "home", "apdm-apdf-random")
	host := addHost(t, home, "alice")
	if err := home.Forward(forwarded, netip.AddrPortFrom(host.Addr(), listening)); err != nil {
		t.Fatal(err)
	}
	a := l.startPeer(t, host, peerConfig{
		Listen:   []string{fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", listening)},
		Announce: []string{fmt.Sprintf("/ip4/%s/tcp/%d", home.External(), forwarded)},
	})
	b := l.startPeer(t, addHost(t, l.site(t, "office", "apdm-apdf-random"), "bob"), peerConfig{})
	ready(t, a, b)
	// The peer that listens has not made the connection, and yet its attempt is none that failed.
	punch(t, a, b)
	for _, p := range []struct{ of, with *labPeer }{{a, b}, {b, a}} {
		p.of.look(t, p.with, false)
		for _, s := range p.of.steps(t) {
			if s.Kind == Finished && s.Err != "" {
				t.Errorf("%s's attempt as %s ended with %q", p.of.host.Name(), s.Direction, s.Err)
			}
		}
	}
	a.leave(t)
	b.leave(t)
	wantDirect(t, a, b)
}

// Ports of TestForwardedPort.
const (
	listening = 4001
	forwarded = 14001
)

// TestIPv6: hosts behind stateful firewalls, and NATs that allow no connection in IPv4.
func TestIPv6(t *testing.T) {
	t.Parallel()
	for name, nats := range map[string][2]string{
		"drop":  {"apdm-apdf-random", "apdm-apdf-random"},
		"reset": {"apdm-apdf-rst-random", "apdm-apdf-rst-random"},
		"mixed": {"apdm-apdf-icmp-random", "apdm-apdf-random"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{})
			a, b := l.newPair(t, addHost(t, l.site6(t, "home", nats[0]), "alice"), addHost(t, l.site6(t, "office", nats[1]), "bob"), peerConfig{})
			a.join(t)
			b.join(t)
			a.learn(t)
			b.learn(t)
			for _, p := range wantDirect(t, a, b) {
				if !strings.HasPrefix(p.Remote, "/ip6/") {
					t.Errorf("%v, want one in IPv6", p)
				}
			}
		})
	}
	t.Run("another address", func(t *testing.T) {
		t.Parallel()
		l := newHostLab(t, relayConfig{})
		a, b := l.newPair(t, addHost(t, l.site6(t, "home", "apdm-apdf-random"), "alice"), addHost(t, l.site6(t, "office", "apdm-apdf-random"), "bob"), peerConfig{})
		a.join(t)
		b.join(t)
		for range 2 {
			for _, p := range []*labPeer{a, b} {
				if err := p.host.RotateAddr6(); err != nil {
					t.Fatal(err)
				}
			}
			wantDirect(t, a, b)
		}
	})
	t.Run("raced with IPv4", func(t *testing.T) {
		t.Parallel()
		l := newHostLab(t, relayConfig{})
		a, b := l.newPair(t, addHost(t, l.site6(t, "home", "eim-apdf"), "alice"), addHost(t, l.site6(t, "office", "eim-apdf-rst"), "bob"), peerConfig{})
		wantDirect(t, a, b)
	})
	t.Run("of one side", func(t *testing.T) {
		t.Parallel()
		l := newHostLab(t, relayConfig{})
		a, b := l.newPair(t, addHost(t, l.site6(t, "home", "eim-apdf"), "alice"), addHost(t, l.site(t, "office", "eim-apdf-rst"), "bob"), peerConfig{})
		wantDirect(t, a, b)
	})
}

// TestPublicHost: one peer listens at a public address.
func TestPublicHost(t *testing.T) {
	t.Parallel()
	for _, nat := range []string{"eim-apdf", "apdm-apdf-random"} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{})
			host := addHost(t, l.site(t, "data centre", "public"), "alice")
			a := l.startPeer(t, host, peerConfig{Listen: []string{"/ip4/" + host.Addr().String() + "/tcp/4001"}})
			b := l.startPeer(t, addHost(t, l.site(t, "home", nat), "bob"), peerConfig{})
			ready(t, a, b)
			wantDirect(t, a, b)
		})
	}
}

// TestPredictedPorts: other hosts of the site open connections while ports are predicted. A few are
// predicted at a time, and again as long as these are not right.
func TestPredictedPorts(t *testing.T) {
	t.Parallel()
	for name, nats := range map[string][2]string{
		"one side":                {"apdm-apdf-sequential", "eim-apdf"},
		"one side, RST":           {"apdm-apdf-rst-sequential2", "eim-apdf-rst"},
		"both sides":              {"apdm-apdf-sequential", "apdm-apdf-sequential2"},
		"both sides, RST, busier": {"adm-apdf-rst-sequential", "apdm-apdf-rst-sequential"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{})
			office := l.site(t, "office", nats[0])
			a, b := l.newPair(t, addHost(t, office, "alice"), addHost(t, l.site(t, "home", nats[1]), "bob"), peerConfig{})
			a.join(t)
			b.join(t)
			for _, p := range []*labPeer{a, b} {
				if got := p.learn(t); got.Ports != stun.Sequential {
					t.Fatalf("%s knows %s, want sequential ports", p.host.Name(), got)
				}
				if nats[1][0] == 'e' {
					break // the other one has none
				}
			}
			var yes bool
			carol := labtest.Start(t, addHost(t, office, "carol"), "traffic", trafficConfig{Remote: l.stun[0], Pause: 20 * time.Millisecond})
			carol.Next(t, &yes)
			// Of the rounds one at least is made in peace.
			quiet := time.AfterFunc(3*time.Second, carol.Kill)
			defer quiet.Stop()
			wantDirect(t, a, b)
		})
	}
}

// guessingTries is how often guessing is tried. The odds are 98 % each time.
const guessingTries = 4

// TestPortGuessing: one side's ports cannot be predicted, and the other's filter depends on them.
func TestPortGuessing(t *testing.T) {
	t.Parallel()
	for name, nats := range map[string][2]string{
		"dialler guesses":  {"eim-apdf", "apdm-apdf-random"},
		"listener guesses": {"apdm-apdf-rst-random", "eim-apdf-rst"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostLab(t, relayConfig{})
			office, home := l.site(t, "office", nats[0]), l.site(t, "home", nats[1])
			// The hosts are others each time: one that has guessed does not for a minute.
			for i := range guessingTries {
				a, b := l.newPair(t, addHost(t, office, fmt.Sprint("alice ", i)), addHost(t, home, fmt.Sprint("bob ", i)), peerConfig{Guess: true})
				a.join(t)
				b.join(t)
				a.learn(t)
				b.learn(t)
				d, _ := punch(t, a, b)
				t.Log(d)
				if d.Direct {
					return
				}
				logSteps(t, a, b)
			}
			t.Errorf("no direct connection in %d attempts", guessingTries)
		})
	}
}
