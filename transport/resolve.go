package transport

import (
	"context"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
)

// A resolver leaves out the names in dials of ours. The swarm looks up every name among
// the addresses that it has of a peer, its relays' for one, before it dials any; a name
// server that does not answer takes 10 s of the 15 that a dial has. What we dial has no
// name in it.
type resolver struct{ network.MultiaddrDNSResolver }

func (r resolver) ResolveDNSAddr(ctx context.Context, p peer.ID, a ma.Multiaddr, depth, limit int) ([]ma.Multiaddr, error) {
	if isOurs(ctx) {
		return nil, nil
	}
	return r.MultiaddrDNSResolver.ResolveDNSAddr(ctx, p, a, depth, limit)
}

func (r resolver) ResolveDNSComponent(ctx context.Context, a ma.Multiaddr, limit int) ([]ma.Multiaddr, error) {
	if isOurs(ctx) {
		return nil, nil
	}
	return r.MultiaddrDNSResolver.ResolveDNSComponent(ctx, a, limit)
}

// isOurs tells a dial of ours by its reason, which is all that the swarm hands on of a
// context.
func isOurs(ctx context.Context) bool {
	_, reason := network.GetForceDirectDial(ctx)
	return reason == serviceName
}

// leaveNamesOut puts a resolver before that of c. Like a ranker's, a swarm.Option of the
// user's for it is kept.
func leaveNamesOut(c *libp2p.Config) {
	if c.MultiaddrResolver != nil {
		c.MultiaddrResolver = resolver{c.MultiaddrResolver}
		return
	}
	ours := swarm.WithMultiaddrResolver(resolver{swarm.ResolverFromMaDNS{Resolver: madns.DefaultResolver}})
	c.SwarmOpts = append([]swarm.Option{ours}, c.SwarmOpts...)
}
