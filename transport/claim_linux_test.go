package transport

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// TestIPClaim: a peer that has offered another one's IP address as its own does not get in the way of that one, by
// whatever way there is to it, and whichever part it plays.
func TestIPClaim(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		home, office    string // where the host is, and the peer
		guess, listener bool
	}{
		"from a port that nobody could name": {home: "eim-eif", office: "apdm-apdf-random"},
		"that has to be guessed":             {home: "eim-apdf", office: "apdm-apdf-random", guess: true},
		"to a listener of the host's":        {home: "apdm-apdf-random", office: "apdm-apdf-random", listener: true},
	} {
		for role, initiates := range map[string]bool{"initiator": true, "responder": false} {
			t.Run(name+"/"+role, func(t *testing.T) {
				t.Parallel()
				l := newHostLab(t, relayConfig{})
				home, office := l.site(t, "home", tc.home), l.site(t, "office", tc.office)
				at, cfg := addHost(t, home, "alice"), peerConfig{Guess: tc.guess}
				v := l.startPeer(t, addHost(t, office, "bob"), cfg)
				if tc.listener {
					if err := home.Forward(forwarded, netip.AddrPortFrom(at.Addr(), listening)); err != nil {
						t.Fatal(err)
					}
					cfg.Listen = []string{fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", listening)}
					cfg.Announce = []string{fmt.Sprintf("/ip4/%s/tcp/%d", home.External(), forwarded)}
				}
				h := l.startPeer(t, at, cfg)
				ready(t, h, v)
				for _, p := range []*labPeer{h, v} {
					p.join(t)
					p.learn(t)
					p.reserve(t)
				}
				claim := scannerConfig{Relay: l.relay, Victim: h.id, Identities: 2, Offers: 4, Targets: []string{office.External().String() + ":4001"}}
				mallory := addHost(t, l.site(t, "elsewhere", "public"), "mallory")
				var got scanned
				labtest.Start(t, mallory, "scanner", claim).Next(t, &got)
				if got.Err != "" || got.Statuses["OK"] == 0 {
					t.Fatalf("%+v", got)
				}
				dialler, listener := h, v
				if !initiates {
					dialler, listener = v, h
				}
				if o := dialler.dial(t, listener); o.Direct {
					dialler.ping(t, listener.id, "direct")
				} else {
					t.Errorf("%s: %v", dialler.host.Name(), o)
					logSteps(t, h, v)
				}
			})
		}
	}
}
