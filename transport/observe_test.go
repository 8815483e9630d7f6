package transport

import (
	"testing"
)

// A relay is all that two hosts need.
func TestRelayObserves(t *testing.T) {
	relay := newRelay(t)
	a, b := newPeer(t, Enable()), newPeer(t, Enable())
	connectRelayed(t, relay, a, b)
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
		t.Fatal(err)
	}
}
