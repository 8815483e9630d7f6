package transport

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// A lateGater refuses dials when the relayed connection is there: of any peer, or of
// any address, /simopen included.
type lateGater struct {
	gater
	closed *atomic.Bool
	peers  bool
}

func (g lateGater) InterceptPeerDial(peer.ID) bool { return !g.peers || !g.closed.Load() }
func (g lateGater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool {
	return g.peers || !g.closed.Load()
}

// TestGaterRefusesDials: a host that is not to dial the peer does not, as initiator or as
// responder, and says why.
func TestGaterRefusesDials(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	for _, side := range []string{"responder", "initiator"} {
		for _, what := range []string{"the peer", "every address"} {
			t.Run(side+"/"+what, func(t *testing.T) {
				relay := newRelay(t)
				var closed, connected atomic.Bool
				gater := lateGater{closed: &closed, peers: what == "the peer"}
				traced := Enable(servers, WithTracer(func(e Event) {
					if e.Kind == holepunch.Connecting {
						connected.Store(true)
					}
				}))
				opts := map[string][]libp2p.Option{side: {libp2p.ConnectionGater(gater)}}
				a := newPeer(t, append(opts["responder"], traced)...)
				b := newPeer(t, append(opts["initiator"], Enable(servers))...)
				relayed := connectRelayed(t, relay, a, b)
				if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the attempt has ended on both sides", func() bool { return !attempting(a, b) && !attempting(b, a) })
				closed.Store(true)
				closeDirect(t, a, b)
				connected.Store(false)
				_, err := DirectConnect(testContext(t), b, a.ID())
				var remote *holepunch.RemoteError
				switch {
				case side == "initiator" && !errors.Is(err, ErrGated):
					t.Errorf("got %v, want ErrGated", err)
				case side == "responder" && (!errors.As(err, &remote) || !strings.Contains(remote.Detail, "gater")):
					t.Errorf("got %v, want the responder's reason", err)
				}
				if connected.Load() {
					t.Error("a SYN was sent")
				}
				wantUntouched(t, relayed)
			})
		}
	}
}

// attempting reports whether h has an attempt with other under way.
func attempting(h, other host.Host) (yes bool) {
	find(h).peers.with(other.ID(), func(s *peerState) { yes = s.offers > 0 || s.answers.underWay > 0 })
	return yes
}

// closeDirect closes the direct connection between two hosts.
func closeDirect(t *testing.T, a, b host.Host) {
	t.Helper()
	for _, end := range []struct{ h, peer host.Host }{{b, a}, {a, b}} {
		c := find(end.h).awaitDirect(testContext(t), end.h, end.peer.ID(), nil)
		if c == nil {
			t.Fatal("no direct connection")
		}
		defer c.Close()
	}
}
