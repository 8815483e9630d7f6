package transport

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// newEnabledRelay is newRelay for a relay that has simopen itself, and relayed connections of
// its own.
func newEnabledRelay(t *testing.T, servers Option) host.Host {
	t.Helper()
	h := newHost(t, Enable(servers))
	r, err := relay.New(h, relay.WithInfiniteLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return h
}

// TestEnabledRelay: relays that have simopen relay as others do, for peers that become direct;
// and they are peers themselves, for hosts that know them through another relay only. All
// hosts are in one process.
func TestEnabledRelay(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	first, second := newEnabledRelay(t, servers), newEnabledRelay(t, servers)
	a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers))
	connectRelayed(t, first, a, b)
	wantBothDirect(t, b, a)
	connectRelayed(t, first, second, a)
	wantBothDirect(t, a, second)
	c := newPeer(t, Enable(servers))
	connectRelayed(t, second, c, a) // through the relay that was dialled through the first
	wantBothDirect(t, a, c)
	wantNoSimopenAddr(t, first, a)
	wantNoSimopenAddr(t, second, a)
}

// wantBothDirect waits for the direct connection at both ends.
func wantBothDirect(t *testing.T, dialler, listener host.Host) {
	t.Helper()
	for _, end := range [][2]host.Host{{dialler, listener}, {listener, dialler}} {
		if _, err := DirectConnect(testContext(t), end[0], end[1].ID()); err != nil {
			t.Fatal(err)
		}
	}
}
