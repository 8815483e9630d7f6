package transport

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestPeerClosesAtOnce: a peer that closes each direct connection as soon as it is there has the
// host make some attempts, and not as many as it likes.
func TestPeerClosesAtOnce(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	var attempts atomic.Int32
	relayPort, _ := relay.Addrs()[0].ValueForProtocol(ma.P_TCP)
	a := newPeer(t, libp2p.ConnectionGater(gater{"InterceptUpgraded", relayPort}), Enable(servers))
	b := newPeer(t, Enable(servers, WithOnRequestOnly(), countStarted(&attempts)))
	connectRelayed(t, relay, a, b)
	// The first connection may be closed a moment later.
	if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil && !errors.Is(err, holepunch.ErrNoConnection) {
		t.Errorf("got %v, want %v", err, holepunch.ErrNoConnection)
	}
	if n := attempts.Load(); n < 1 || n > maxAttempts {
		t.Errorf("%d attempts, want %d at most", n, maxAttempts)
	}
}
