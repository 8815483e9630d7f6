package transport

import (
	"fmt"
	"testing"
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
