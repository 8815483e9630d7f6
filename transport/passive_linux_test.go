package transport

import (
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestPassive: bob's NAT lets anybody in, at every port, and gives each destination another.
// His own SYNs would be refused, as they come from a port that alice does not know, and his NAT
// would have a session with her that her SYN has no part in. They would be
// there first, for she learns late that he is ready.
func TestPassive(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	home, office := l.site(t, "home", "eim-apdf-rst"), l.site(t, "office", "apdm-eif-random")
	l.SetExtraDelay(l.relaySite, home, 100*time.Millisecond)
	a, b := l.newPair(t, addHost(t, home, "alice"), addHost(t, office, "bob"), peerConfig{})
	a.join(t)
	b.join(t)
	a.learn(t)
	b.learn(t)
	if d, _ := punch(t, a, b); !d.Direct {
		t.Error(d)
	}
	for _, s := range b.steps(t) {
		if s.Kind == holepunch.Connecting {
			t.Errorf("bob connects: %v", s)
		}
	}
	a.leave(t)
	b.leave(t)
	wantDirect(t, a, b)
}
