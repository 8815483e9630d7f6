package transport

import (
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestClaimedIP: a peer that has offered another one's IP address as its own does not get in the way of that one, which
// comes from a port that nobody could name, whichever part it plays.
func TestClaimedIP(t *testing.T) {
	t.Parallel() // it waits, for the most part
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", "eim-eif"), l.site(t, "office", "apdm-apdf-random")
	h, v := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
	for _, p := range []*labPeer{h, v} {
		p.join(t)
		p.learn(t)
		p.reserve(t)
	}
	cfg := scannerConfig{Relay: l.relay, Victim: h.id, Identities: 2, Offers: 4, Targets: []string{office.External().String() + ":4001"}}
	mallory := addHost(t, l.site(t, "elsewhere", "public"), "mallory")
	for _, dialler := range []*labPeer{h, v} {
		var got scanned
		labtest.Start(t, mallory, "scanner", cfg).Next(t, &got)
		if got.Err != "" || got.Statuses["OK"] == 0 {
			t.Fatalf("%+v", got)
		}
		listener := v
		if dialler == v {
			listener = h
		}
		if o := dialler.dial(t, listener); !o.Direct {
			t.Errorf("%s: %v", dialler.host.Name(), o)
		} else {
			dialler.ping(t, listener.id, "direct")
		}
		h.leave(t)
		v.leave(t)
		h.join(t)
		v.join(t)
		h.reserve(t)
		v.reserve(t)
	}
}
