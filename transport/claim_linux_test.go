package transport

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// An ipClaim is a host's place, and a peer whose address another peer claims.
type ipClaim struct {
	home, office    string
	guess, listener bool
}

// TestIPClaim: a peer that has offered another one's IP address as its own does not get in the way
// of that one, by whatever way there is to it, and whichever part it plays.
func TestIPClaim(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]ipClaim{
		"from a port that nobody could name": {home: "eim-eif", office: "apdm-apdf-random"},
		"that has to be guessed":             {home: "eim-apdf", office: "apdm-apdf-random", guess: true},
		"to a listener of the host's":        {home: "apdm-apdf-random", office: "apdm-apdf-random", listener: true},
	} {
		for role, initiates := range map[string]bool{"initiator": true, "responder": false} {
			t.Run(name+"/"+role, func(t *testing.T) {
				t.Parallel()
				tries := 1
				if tc.guess {
					tries = guessingTries
				}
				for range tries {
					if tc.punch(t, initiates) {
						return
					}
				}
				t.Error("no direct connection")
			})
		}
	}
}

// punch makes the claim, and reports whether the peers become direct nevertheless.
func (tc ipClaim) punch(t *testing.T, initiates bool) bool {
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
	o := dialler.dial(t, listener)
	if o.Direct {
		dialler.ping(t, listener.id, "direct")
	} else {
		t.Logf("%s: %v", dialler.host.Name(), o)
		logSteps(t, h, v)
	}
	return o.Direct
}
