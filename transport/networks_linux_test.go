package transport

import (
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestAutoRelay: the listener gets its reservation by itself, and is dialled where it says.
func TestAutoRelay(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	a := l.startPeer(t, addHost(t, l.site(t, "home", "eim-apdf"), "alice"), peerConfig{})
	b := l.startPeer(t, addHost(t, l.site(t, "office", "eim-apdf-rst"), "bob"), peerConfig{
		Listen: listenTCP, Options: []string{"private", "static relays"},
	})
	ready(t, a, b)
	var through []string
	for _, addr := range b.addrs(t, false) {
		if strings.Contains(addr, "p2p-circuit") {
			through = append(through, addr)
		}
	}
	if len(through) == 0 {
		t.Fatal("no address through a relay")
	}
	a.join(t)
	var d outcome
	a.do(t, &d, command{Do: "dial", Peer: b.id, At: peer.AddrInfo{ID: b.id, Addrs: multiaddrs(through)}})
	if r := b.look(t, a, d.Direct); !d.Direct || !r.Direct {
		t.Fatalf("the dialler has %v\nthe listener has %v", d, r)
	}
	wantOurs(t, a, b)
}

// TestPrivateNetwork: all hosts have a pre-shared key, or have no part in it.
func TestPrivateNetwork(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{PSK: ourPSK})
	ours := peerConfig{Options: []string{"our network"}}
	home := l.site(t, "home", "eim-apdf")
	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, l.site(t, "office", "eim-apdf-rst"), "bob"), ours)
	theirs := l.startPeer(t, addHost(t, home, "carol"), peerConfig{Options: []string{"their network", "impatient"}})
	none := l.startPeer(t, addHost(t, home, "dave"), peerConfig{Options: []string{"impatient"}})
	ready(t, theirs, none)
	for _, p := range []*labPeer{theirs, none} {
		p.proc.Send(t, command{Do: "join"}) // which takes its time
	}
	if d, r := punch(t, a, b); !d.Direct {
		t.Errorf("the dialler has %v\nthe listener has %v", d, r)
		logSteps(t, a, b)
	}
	wantOurs(t, a, b)
	for _, p := range []*labPeer{theirs, none} {
		var o outcome
		if p.proc.Next(t, &o); o.Err == "" {
			t.Errorf("%s has connected to the relay of another network", p.host.Name())
		}
	}
}
