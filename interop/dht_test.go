package interop

import (
	"crypto/rand"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

// anyValue is a validator that takes every value for the newest.
type anyValue struct{}

func (anyValue) Validate(string, []byte) error        { return nil }
func (anyValue) Select(string, [][]byte) (int, error) { return 0, nil }

// Records of the DHT flow over the direct connection, and have no address of simopen's.
func TestDHT(t *testing.T) {
	t.Parallel()
	testOverRelays(t, func(t testing.TB, s *stage) *application {
		ctx := testContext(t)
		newDHT := func(h host.Host) *dht.IpfsDHT {
			d, err := dht.New(h, dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/interop"), dht.NamespacedValidator("v", anyValue{}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			return d
		}
		newDHT(s.relay)
		dhts := [2]*dht.IpfsDHT{newDHT(s.peers[0]), newDHT(s.peers[1])}
		return &application{protocol: "/interop/kad/", talk: func() {
			t.Helper()
			for i, d := range dhts {
				self, other, otherID := s.peers[i].ID(), dhts[1-i], s.peers[1-i].ID()
				eventually(t, "the other one is in the routing table", func() bool {
					d.RoutingTable().TryAddPeer(otherID, true, false) // identify may have come before
					return slices.Contains(d.RoutingTable().ListPeers(), otherID)
				})
				if err := d.Ping(ctx, otherID); err != nil {
					t.Fatal(err)
				}
				value := make([]byte, 1<<10)
				rand.Read(value)
				key := "/v/" + self.String()
				if err := d.PutValue(ctx, key, value); err != nil {
					t.Fatal(err)
				}
				if got, err := other.GetValue(ctx, key); err != nil || string(got) != string(value) {
					t.Fatalf("got %d bytes, %v, want those that were put", len(got), err)
				}
				sum, err := multihash.Sum(value, multihash.SHA2_256, -1)
				if err != nil {
					t.Fatal(err)
				}
				id := cid.NewCidV1(cid.Raw, sum)
				if err := d.Provide(ctx, id, true); err != nil {
					t.Fatal(err)
				}
				providers, err := other.FindProviders(ctx, id)
				if err != nil || !slices.ContainsFunc(providers, func(p peer.AddrInfo) bool { return p.ID == self }) {
					t.Fatalf("the providers are %v, %v, want %s", providers, err, self)
				}
				found, err := other.FindPeer(ctx, self)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range append(providers, found) {
					wantNone(t, "record", p.Addrs)
				}
			}
		}}
	})
}
