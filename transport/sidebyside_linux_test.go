package transport

import (
	"slices"
	"strings"
	"testing"
)

// listenTCP is a listener of a host's own, which no NAT of these tests lets any SYN through to.
var listenTCP = []string{"/ip4/0.0.0.0/tcp/4001"}

// A sideBySide is a pair of hosts with options beside Enable.
type sideBySide struct {
	dialler, listener peerConfig
	// own checks that the options do their own job, when the connection is direct.
	own func(t *testing.T, dialler, listener *labPeer)
}

// TestSideBySide: a relayed connection becomes direct whatever else the hosts have, and what
// else they have does its own job.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	both := func(cfg peerConfig, own func(t *testing.T, p, other *labPeer)) sideBySide {
		return sideBySide{cfg, cfg, func(t *testing.T, d, l *labPeer) {
			if own != nil {
				own(t, d, l)
				own(t, l, d)
			}
		}}
	}
	dcutr := peerConfig{Listen: listenTCP, HolePunching: true}
	l := newHostLab(t, relayConfig{})
	for name, tc := range map[string]sideBySide{
		"hole punching":                 both(dcutr, nil),
		"hole punching at the dialler":  {dcutr, peerConfig{}, nil},
		"hole punching at the listener": {peerConfig{}, dcutr, nil},
		"behind a NAT, as it is told":   both(peerConfig{Listen: listenTCP, Options: []string{"private"}}, nil),
		"port mapping":                  both(peerConfig{Listen: listenTCP, Options: []string{"port mapping"}}, nil),
		"TCP alone":                     both(peerConfig{Options: []string{"TCP alone"}}, nil),
		"Noise alone":                   both(peerConfig{Options: []string{"Noise alone"}}, wantSecurity("/noise")),
		"TLS alone":                     both(peerConfig{Options: []string{"TLS alone"}}, wantSecurity("/tls/1.0.0")),
		"one has Noise alone":           {peerConfig{Options: []string{"Noise alone"}}, peerConfig{}, nil},
		"one has TLS alone":             {peerConfig{}, peerConfig{Options: []string{"TLS alone"}}, nil},
		"default transports": both(peerConfig{Listen: []string{
			"/ip4/0.0.0.0/tcp/4001",
			"/ip4/0.0.0.0/tcp/4002/ws",
			"/ip4/0.0.0.0/udp/4001/quic-v1",
			"/ip4/0.0.0.0/udp/4001/quic-v1/webtransport",
			"/ip4/0.0.0.0/udp/4002/webrtc-direct",
		}}, wantAdvertised("/tcp/4001", "/ws", "/quic-v1", "/webtransport", "/webrtc-direct")),
		"own addresses": both(peerConfig{Announce: announced}, wantAdvertisedAlone(announced...)),
		"own addresses, before Enable": both(peerConfig{Announce: announced, EnableLast: true},
			wantAdvertisedAlone(announced...)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// NATs that refuse with a RST, for DCUtR waits long for others before it begins.
			home, office := l.site(t, "home, "+name, "eim-apdf-rst"), l.site(t, "office, "+name, "eim-apdf-rst")
			a := l.startPeer(t, addHost(t, home, "alice, "+name), tc.dialler)
			b := l.startPeer(t, addHost(t, office, "bob, "+name), tc.listener)
			ready(t, a, b)
			for p, cfg := range map[*labPeer]peerConfig{a: tc.dialler, b: tc.listener} {
				if p.join(t); cfg.HolePunching {
					p.must(t, "dcutr")
				}
			}
			d, r := punch(t, a, b)
			if !d.Direct || !r.Direct {
				t.Fatalf("the dialler has %v\nthe listener has %v", d, r)
			}
			if tc.dialler.HolePunching && tc.listener.HolePunching && hasDCUtRs(t, a, b) {
				return
			}
			wantOurs(t, a, b)
			if tc.own != nil {
				tc.own(t, a, b)
			}
			if t.Failed() {
				logSteps(t, a, b)
			}
		})
	}
}

// announced is what a host advertises by an AddrsFactory of its own. The name cannot be looked up
// in the lab.
var announced = []string{"/dns4/alice.example.org/tcp/4001"}

// wantOurs wants one direct connection between two peers, from the punching port of each,
// outbound at the dialler; and that there was no other.
func wantOurs(t *testing.T, dialler, listener *labPeer) {
	t.Helper()
	for _, side := range []struct {
		*labPeer
		other     *labPeer
		direction string
	}{{dialler, listener, "Outbound"}, {listener, dialler, "Inbound"}} {
		got := side.conns(t, side.other)
		if len(got.Direct) != 1 || got.Made != 1 {
			t.Errorf("%s has %+v, want one direct connection, ever", side.host.Name(), got)
			continue
		}
		c := got.Direct[0]
		if c.Direction != side.direction || !slices.Contains(side.ports(t), c.Port) {
			t.Errorf("%s has %+v, want ours, %s", side.host.Name(), c, side.direction)
		}
		if got.PingOver != c.Remote {
			t.Errorf("%s opens streams on %s, want %s", side.host.Name(), got.PingOver, c.Remote)
		}
		if len(got.Leaks) > 0 {
			t.Errorf("%s has %v", side.host.Name(), got.Leaks)
		}
	}
}

// hasDCUtRs reports whether DCUtR's connection is there, from the listener's port: on a busy
// machine DCUtR begins before ours is up. The swarm keeps ours besides, unless DCUtR's came first.
func hasDCUtRs(t *testing.T, p, other *labPeer) bool {
	t.Helper()
	var ours, theirs int
	for _, c := range p.conns(t, other).Direct {
		switch {
		case slices.Contains(p.ports(t), c.Port):
			ours++
		case c.Port == "4001":
			theirs++
		}
	}
	return ours <= 1 && theirs == 1
}

func wantSecurity(id string) func(t *testing.T, p, other *labPeer) {
	return func(t *testing.T, p, other *labPeer) {
		if c := p.conns(t, other); len(c.Direct) != 1 || c.Direct[0].Security != id {
			t.Errorf("%s has %+v, want %s", p.host.Name(), c.Direct, id)
		}
	}
}

// wantAdvertised wants an address with each of some parts.
func wantAdvertised(parts ...string) func(t *testing.T, p, _ *labPeer) {
	return func(t *testing.T, p, _ *labPeer) {
		addrs := p.addrs(t, true)
		for _, part := range parts {
			if !slices.ContainsFunc(addrs, func(a string) bool { return strings.Contains(a, part) }) {
				t.Errorf("%s advertises %v, want one with %s", p.host.Name(), addrs, part)
			}
		}
	}
}

func wantAdvertisedAlone(want ...string) func(t *testing.T, p, _ *labPeer) {
	return func(t *testing.T, p, _ *labPeer) {
		if got := p.addrs(t, true); !slices.Equal(got, want) {
			t.Errorf("%s advertises %v, want %v", p.host.Name(), got, want)
		}
	}
}
