package transport

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// A silentResolver gets no answer.
type silentResolver struct{}

func (silentResolver) ResolveDNSAddr(ctx context.Context, _ peer.ID, _ ma.Multiaddr, _, _ int) ([]ma.Multiaddr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (r silentResolver) ResolveDNSComponent(ctx context.Context, a ma.Multiaddr, limit int) ([]ma.Multiaddr, error) {
	return r.ResolveDNSAddr(ctx, "", a, 0, limit)
}

// TestSilentNameServer: a peer has names among its addresses, and nobody tells what they mean.
func TestSilentNameServer(t *testing.T) {
	servers, own := WithSTUNServers(newSTUNServer(t)), libp2p.MultiaddrResolver(silentResolver{})
	for name, opts := range map[string][]libp2p.Option{
		"before Enable": {own, Enable(servers)},
		"after Enable":  {Enable(servers), own},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			a, b := newPeer(t, Enable(servers)), newPeer(t, opts...)
			connectRelayed(t, relay, a, b)
			for _, addr := range []string{"/dns4/alice.example.org/tcp/4001", "/dnsaddr/alice.example.org"} {
				b.Peerstore().AddAddr(a.ID(), ma.StringCast(addr), time.Hour)
			}
			if c := directConn(b, a.ID()); c != nil {
				c.Close() // the upgrade was quicker than this test
			}
			if _, err := DirectConnect(testContext(t), b, a.ID()); err != nil {
				t.Fatal(err)
			}
		})
	}
}
