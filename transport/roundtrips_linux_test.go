package transport

import (
	"testing"
	"time"
)

// TestRoundTrips: a direct connection takes one round trip over the relay and two
// of its own: for the signalling, for TCP, and for security and muxer together.
func TestRoundTrips(t *testing.T) {
	const (
		// Much longer than what a slow machine adds, and under the second after which
		// TCP takes a SYN for lost.
		direct  = 600 * time.Millisecond
		relayed = 600 * time.Millisecond

		// Those of the lab's sites as they are.
		directBefore  = 4 * siteDelay
		relayedBefore = 4 * (siteDelay + relayDelay)
	)
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", "eim-apdf"), l.site(t, "office", "eim-apdf")
	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
	b.reserve(t)
	a.join(t)
	a.learn(t)
	b.learn(t)
	l.SetExtraDelay(home, office, (direct-directBefore)/2)
	l.SetExtraDelay(office, home, (direct-directBefore)/2)
	l.SetExtraDelay(home, l.relaySite, (relayed-relayedBefore)/2)
	l.SetExtraDelay(l.relaySite, home, (relayed-relayedBefore)/2)
	got, _ := punch(t, a, b)
	const want = relayed + 2*direct
	if !got.Direct || got.Took < want || got.Took >= want+direct/2 {
		t.Errorf("got %v, want one after %v", got, want)
		logSteps(t, a, b)
	}
}
