package transport

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
)

// TestRelayRTT: a host that is connected to a relay knows how far the relay is.
func TestRelayRTT(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"TCP": "/ip4/127.0.0.1/tcp/0", "QUIC": "/ip4/127.0.0.1/udp/0/quic-v1"} {
		t.Run(name, func(t *testing.T) {
			r := newHost(t, libp2p.NoListenAddrs, libp2p.ListenAddrStrings(addr))
			service, err := relay.New(r, relay.WithInfiniteLimits())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { service.Close() })
			a, b := newPeer(t), newPeer(t)
			relayed := connectRelayed(t, r, a, b)
			eventually(t, "the round trip was measured", func() bool { return relayRTT(b, relayed) > 0 })
			if rtt := relayRTT(b, relayed); rtt > time.Minute {
				t.Errorf("%v over loopback", rtt)
			}
			if got := relayRTT(b, b.Network().ConnsToPeer(r.ID())[0]); got != 0 {
				t.Errorf("%v of a connection without a relay", got)
			}
		})
	}
}
