package transport

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestClaimedAddress: a peer that has offered another one's addresses as its own, as often as it may, does not get in
// the way of that one, whichever part the host plays.
func TestClaimedAddress(t *testing.T) {
	for name, initiates := range map[string]bool{"initiator": true, "responder": false} {
		t.Run(name, func(t *testing.T) {
			servers := WithSTUNServers(newSTUNServer(t))
			relay := newRelay(t)
			h, v, mallory := newPeer(t, Enable(servers, WithOnRequestOnly())), newPeer(t, Enable(servers, WithOnRequestOnly())), newPeer(t)
			connectRelayed(t, relay, h, mallory)
			if initiates {
				connectRelayed(t, relay, v, h)
			} else {
				dialRelayed(t, relay, h, v)
			}
			var claimed []string
			for _, p := range []*warmPort{find(v).port, find(v).port.spare} {
				claimed = append(claimed, fmt.Sprintf("127.0.0.1:%d", p.Number()))
			}
			for range 16 {
				if _, answer, err := offerTargets(mallory, h.ID(), claimed); err != nil {
					t.Fatalf("%v, %v", answer, err)
				}
			}
			dialler, listener := h, v
			if !initiates {
				dialler, listener = v, h
			}
			c, err := DirectConnect(testContext(t), dialler, listener.ID())
			if err != nil {
				t.Fatal(err)
			}
			if err := pingOver(testContext(t), c); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestIsClaimed: others' ports of an address that somebody has named matter to who may come from there.
func TestIsClaimed(t *testing.T) {
	terms := func(m stun.Mapping, addr string) holepunch.Terms {
		return holepunch.Terms{Candidates: holepunch.Reflexive(addrPorts(addr)...), Behaviour: stun.Behaviour{Mapping: m}}
	}
	for name, tc := range map[string]struct {
		taken  string
		theirs holepunch.Terms
		want   bool
	}{
		"the very port":         {"46.0.0.2:4000", terms(stun.EIM, "46.0.0.2:4000"), true},
		"another port":          {"46.0.0.2:0", terms(stun.EIM, "46.0.0.2:4000"), false},
		"of a peer with more":   {"46.0.0.2:0", terms(stun.APDM, "46.0.0.2:4000"), true},
		"of one that may have":  {"46.0.0.2:0", terms(stun.MappingUnknown, "46.0.0.2:4000"), true},
		"of one at our own NAT": {"46.0.0.1:0", terms(stun.EIM, "46.0.0.1:4000"), true},
	} {
		a := &attempt{own: &stance{terms: terms(stun.EIM, "46.0.0.1:5000")}, theirs: tc.theirs}
		if got := a.isClaimed(netip.MustParseAddrPort(tc.taken)); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
