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
			a, b := newPeer(t), newPeer(t, Enable(WithOnRequestOnly()))
			relayed := connectRelayed(t, r, a, b)
			tr := find(b)
			eventually(t, "the round trip was measured", func() bool { return tr.relayRTT(b, relayed) > 0 })
			if rtt := tr.relayRTT(b, relayed); rtt > time.Minute {
				t.Errorf("%v over loopback", rtt)
			}
			if got := tr.relayRTT(b, b.Network().ConnsToPeer(r.ID())[0]); got != 0 {
				t.Errorf("%v of a connection without a relay", got)
			}
			ownRTT := func() (rtt time.Duration) {
				tr.peers.with(r.ID(), func(s *peerState) { rtt = s.relayRTT })
				return rtt
			}
			if name == "TCP" {
				eventually(t, "the host has measured it as well", func() bool { return ownRTT() > 0 })
			}
			if err := b.Network().ClosePeer(r.ID()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is forgotten", func() bool { return ownRTT() == 0 })
		})
	}
}

// TestShortestRTT: of several measurements the shortest counts, since the ends add to it.
func TestShortestRTT(t *testing.T) {
	t.Parallel()
	pt := newPeerTable()
	for _, rtt := range []time.Duration{100, 60, 80} {
		pt.measured("relay", rtt*time.Millisecond)
	}
	if got := pt.states["relay"].relayRTT; got != 60*time.Millisecond {
		t.Errorf("got %v, want the shortest", got)
	}
	pt.unmeasured("relay")
	if len(pt.states) != 0 {
		t.Error("the relay is still remembered")
	}
}
