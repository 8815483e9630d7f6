package transport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// testHairpinInside: both peers are behind one NAT, which hairpins, but shows the router's inside
// address as the source. So the peer that accepts sees the connection come from an address that is
// not among the candidates.
func testHairpinInside(t *testing.T) {
	l := newHostLab(t, relayConfig{})
	for _, tt := range []struct{ name, carrier, alice, bob string }{
		{"carrier", "eim-eif-hairpininside", "eim-eif", "eim-eif"},
		{"carrier that filters ports", "eim-apdf-rst-hairpininside", "eim-eif-rst", "eim-eif"},
		// To a filter of ports or addresses the router is a stranger, so that one peer must accept.
		{"one home that filters", "eim-adf-hairpininside", "eim-apdf-rst", "eim-eif"},
	} {
		carrier := l.site(t, tt.name, tt.carrier)
		home := func(name, nat string) *natlab.Host {
			return addHost(t, l.siteBehind(t, name+"'s home", nat, carrier), name)
		}
		a, b := l.newPair(t, home("alice", tt.alice), home("bob", tt.bob), peerConfig{})
		router := fmt.Sprintf("/ip4/10.%d.0.254/", carrier.External().As4()[2])
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := wantDirect(t, a, b)
			for i := 0; i < len(got); i += 2 {
				// One end has connected, and the other has accepted.
				d, l := strings.HasPrefix(got[i].Remote, router), strings.HasPrefix(got[i+1].Remote, router)
				if d == l {
					t.Errorf("connected to %s and %s, want %s at one end", got[i].Remote, got[i+1].Remote, router)
				}
			}
			wantUsualTime(t, got...)
		})
	}
	// Peers in one network have another way, without the NAT.
	home := l.site(t, "home", "eim-apdf-hairpininside")
	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, home, "bob"), peerConfig{})
	t.Run("home", func(t *testing.T) {
		t.Parallel()
		wantUsualTime(t, wantDirect(t, a, b)...)
	})
}

// TestHairpinInsideFiltered: to the filters of both homes behind that NAT the router is a stranger.
func TestHairpinInsideFiltered(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	carrier := l.site(t, "carrier", "eim-eif-hairpininside")
	a, b := l.newPair(t,
		addHost(t, l.siteBehind(t, "alice's home", "eim-apdf-rst", carrier), "alice"),
		addHost(t, l.siteBehind(t, "bob's home", "eim-adf", carrier), "bob"),
		peerConfig{Timeout: briefTimeout})
	wantReason(t, a, b, holepunch.ErrNoHairpin)
}
