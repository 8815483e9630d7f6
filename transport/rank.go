package transport

import (
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/fx"
)

// rankAlone makes a dial that includes /simopen a dial of nothing else. The swarm
// would dial every other address that it knows of the peer as well: addresses
// that a stranger named, any number of them, in the peer's share of the
// resource manager's connections, so that eight that do not answer leave none for
// ours.
func rankAlone(next network.DialRanker) network.DialRanker {
	return func(addrs []ma.Multiaddr) []network.AddrDelay {
		if slices.ContainsFunc(addrs, simopenAddr.Equal) {
			return []network.AddrDelay{{Addr: simopenAddr}}
		}
		return next(addrs)
	}
}

// withRankAlone puts rankAlone before the host's own ranker. Options come in any
// order, so it has to wait until all were applied: the swarm, which takes the
// ranker from the configuration, is made after the event bus that it asks for.
func withRankAlone(c *libp2p.Config) fx.Option {
	return fx.Decorate(func(bus event.Bus) event.Bus {
		if c.DialRanker != nil {
			c.DialRanker = rankAlone(c.DialRanker)
		} else {
			// Before what the user gave: a ranker of theirs among it wins.
			c.SwarmOpts = append([]swarm.Option{swarm.WithDialRanker(rankAlone(swarm.DefaultDialRanker))}, c.SwarmOpts...)
		}
		return bus
	})
}
