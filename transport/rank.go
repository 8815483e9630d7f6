package transport

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/fx"
)

// A ranker makes a dial that includes /simopen a dial of nothing else. The swarm
// would dial every other address that it knows of the peer as well: addresses
// that a stranger named, any number of them, in the peer's share of the
// resource manager's connections, so that eight that do not answer leave none for
// ours.
//
// It is part of a swarm's configuration, so that only [Enable] can bring it in,
// and not where the user's swarm.Options have a ranker: that one is kept. The
// ranker finds out, and without it the swarm is asked to dial all addresses at
// once instead, for by its own ranking ours would come last.
type ranker struct {
	asked   atomic.Bool // for a dial that includes /simopen
	missing atomic.Bool
}

func newRanker(enabled bool) *ranker {
	r := &ranker{}
	r.missing.Store(!enabled)
	return r
}

func (r *ranker) before(next network.DialRanker) network.DialRanker {
	return func(addrs []ma.Multiaddr) []network.AddrDelay {
		if slices.ContainsFunc(addrs, simopenAddr.Equal) {
			r.asked.Store(true)
			return []network.AddrDelay{{Addr: simopenAddr}}
		}
		return next(addrs)
	}
}

// dials is told of every dial, and notices when the swarm has not asked us.
func (r *ranker) dials(ctx context.Context) {
	if atOnce, _, _ := network.GetSimultaneousConnect(ctx); !atOnce && !r.asked.Load() {
		r.missing.Store(true)
	}
}

// context prepares a context for a dial of the swarm.
func (r *ranker) context(ctx context.Context) context.Context {
	ctx = network.WithForceDirectDial(ctx, serviceName)
	if r.missing.Load() {
		ctx = network.WithSimultaneousConnect(ctx, true, serviceName)
	}
	return ctx
}

// option brings the ranker in. Options come in any order, so it has to wait until
// all were applied: the swarm is made after the event bus that it asks for.
func (r *ranker) option(c *libp2p.Config) fx.Option {
	return fx.Decorate(func(bus event.Bus) event.Bus {
		if c.DialRanker != nil {
			c.DialRanker = r.before(c.DialRanker)
		} else {
			// Before what the user gave: of several, the last one counts.
			ours := swarm.WithDialRanker(r.before(swarm.DefaultDialRanker))
			c.SwarmOpts = append([]swarm.Option{ours}, c.SwarmOpts...)
		}
		return bus
	})
}
