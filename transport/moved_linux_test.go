package transport

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// When a host's address has gone, it closes at once what is bound to it: the direct connection, and
// the one to the relay, so that it can come back through that.
func TestOwnAddressGone(t *testing.T) {
	t.Parallel()
	l := newHostLab(t, relayConfig{})
	a, b := l.newPair(t, addHost(t, l.site(t, "home", "eim-apdf"), "alice"), addHost(t, l.site(t, "office", "eim-apdf"), "bob"), peerConfig{})
	if d, _ := punch(t, a, b); !d.Direct {
		t.Fatal(d)
	}
	moved := time.Now()
	if err := a.host.Move(); err != nil {
		t.Fatal(err)
	}
	for _, other := range []peer.ID{b.id, l.relay.ID} {
		var m moment
		a.do(t, &m, command{Do: "lost", Peer: other})
		took := m.At.Sub(moved)
		t.Logf("noticed after %v", took)
		if m.Err != "" || took > 2*watchInterval {
			t.Errorf("the connection to %v is there for %v, %s", other, took, m.Err)
		}
	}
}
