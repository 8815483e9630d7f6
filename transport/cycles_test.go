package transport

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// meetings is how often two peers meet in a row: more than any burst of the limits allows.
const meetings = 200

// rememberRelayed keeps the address of h at the relay for good. Identify takes away the addresses
// of a dial whenever it ends, on a connection before as well.
func rememberRelayed(dialler, relay, h host.Host) {
	dialler.Peerstore().AddAddrs(h.ID(), circuitInfo(relay, h).Addrs, peerstore.PermanentAddrTTL)
}

// unlimited takes the resource manager out of the way. go-libp2p v0.51.0 allows eight inbound
// connections of a peer, and loses count of one in some hundred that are closed at once.
var unlimited = libp2p.ResourceManager(&network.NullResourceManager{})

// part closes all connections of two hosts, that of a punch which is just ending included.
func part(t *testing.T, a, b host.Host) {
	t.Helper()
	eventually(t, "the two have parted", func() bool {
		b.Network().ClosePeer(a.ID())
		return a.Network().Connectedness(b.ID()) == network.NotConnected
	})
}

// A host that meets one peer again and again has a direct connection each time.
func TestMeetAgain(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a, b := newPeer(t, Enable(servers), unlimited), newPeer(t, Enable(servers), unlimited)
	reserve(t, relay, a)
	rememberRelayed(b, relay, a)
	for i := range meetings {
		dialRelayed(t, relay, a, b)
		if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
			t.Fatalf("meeting %d: %v", i, err)
		}
		part(t, a, b)
	}
}

// A user's own dials do what they do without simopen, while upgrades begin and end: through the
// relay, and to the peer's listener.
func TestQuickCycles(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	silent := newHost(t, libp2p.EnableRelay(), unlimited)
	holdOffers(t, silent) // so that an attempt is always under way
	for name, a := range map[string]host.Host{
		"peer answers":   newHost(t, libp2p.EnableRelay(), Enable(servers), unlimited),
		"peer is silent": silent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newPeer(t, Enable(servers), unlimited)
			reserve(t, relay, a)
			dial := func(ctx context.Context, i int, where string) {
				t.Helper()
				ctx, cancel := context.WithTimeout(ctx, 3*time.Second) // less than an attempt without an answer takes
				defer cancel()
				c, err := b.Network().DialPeer(ctx, a.ID())
				if err != nil {
					t.Fatalf("cycle %d, %s: %v", i, where, err)
				}
				if c.IsClosed() {
					t.Fatalf("cycle %d, %s: got %v, which is closed", i, where, c)
				}
			}
			for i := range meetings {
				rememberRelayed(b, relay, a)
				dial(testContext(t), i, "through the relay")
				time.Sleep(rand.N(20 * time.Millisecond)) // how far the attempt gets is up to chance
				b.Peerstore().AddAddrs(a.ID(), a.Addrs(), peerstore.PermanentAddrTTL)
				dial(network.WithForceDirectDial(testContext(t), "user"), i, "at the listener")
				part(t, a, b)
				b.Peerstore().ClearAddrs(a.ID())
			}
		})
	}
}
