package transport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// TestHairpinInside: both peers are behind one NAT, which hairpins, but shows the router's inside
// address as the source. So the peer that accepts sees the connection come from an address that is
// not among the candidates.
func TestHairpinInside(t *testing.T) {
	t.Parallel() // it waits, for the most part
	l := newHostLab(t, relayConfig{})
	for name, nat := range map[string]string{
		"carrier":                    "eim-eif-hairpininside",
		"carrier that filters ports": "eim-apdf-rst-hairpininside",
	} {
		carrier := l.site(t, name, nat)
		home := func(name string) *natlab.Host {
			return addHost(t, l.siteBehind(t, name+"'s home", "eim-eif", carrier), name)
		}
		a, b := l.newPair(t, home("alice"), home("bob"), peerConfig{})
		router := fmt.Sprintf("/ip4/10.%d.0.254/", carrier.External().As4()[2])
		t.Run(name, func(t *testing.T) {
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
	// Peers in one network connect without the NAT.
	home := l.site(t, "home", "eim-apdf-hairpininside")
	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, home, "bob"), peerConfig{})
	t.Run("home", func(t *testing.T) {
		t.Parallel()
		wantUsualTime(t, wantDirect(t, a, b)...)
	})
}
