package transport

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestSystemLimit: a host that allows two connections in all, or none with a file descriptor
// more, has them: to the relay, and through it. It keeps both when there is no room for ours.
func TestSystemLimit(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for name, system := range map[string]rcmgr.ResourceLimits{
		"connections":      {Conns: 2},
		"outbound":         {ConnsOutbound: 2},
		"file descriptors": {FD: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := rcmgr.PartialLimitConfig{System: system}
			m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)))
			if err != nil {
				t.Fatal(err)
			}
			relay := newRelay(t)
			a, b := newPeer(t, Enable(servers)), newPeer(t, Enable(servers), libp2p.ResourceManager(m))
			relayed := connectRelayed(t, relay, a, b)
			if _, err := DirectConnect(testContext(t), b, a.ID()); !errors.Is(err, network.ErrResourceLimitExceeded) {
				t.Errorf("got %v, want ErrResourceLimitExceeded", err)
			}
			if got := peerStat(t, b, a.ID()); got.NumFD != 0 || got.NumConnsOutbound != 1 {
				t.Errorf("%+v is left, want the relayed connection", got)
			}
			wantUntouched(t, relayed)
		})
	}
}
