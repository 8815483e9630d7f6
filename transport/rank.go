package transport

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
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
//
// A peer's addresses are anybody's word. So while no dial of ours is under way /simopen means nothing, or
// it would keep the host from the peer's other addresses.
type ranker struct {
	asked   atomic.Bool // for a dial that includes /simopen
	missing atomic.Bool
	dialing atomic.Int32 // dials of ours under way
}

func newRanker(enabled bool) *ranker {
	r := &ranker{}
	r.missing.Store(!enabled)
	return r
}

func (r *ranker) before(next network.DialRanker) network.DialRanker {
	return func(addrs []ma.Multiaddr) []network.AddrDelay {
		if r.dialing.Load() == 0 {
			return next(slices.DeleteFunc(slices.Clone(addrs), isSimopen))
		}
		if slices.ContainsFunc(addrs, simopenAddr.Equal) {
			r.asked.Store(true)
			return []network.AddrDelay{{Addr: simopenAddr}}
		}
		if only := marked(addrs); len(only) > 0 {
			return only
		}
		return next(addrs)
	}
}

// dial is DialPeer in a dial of ours.
func (r *ranker) dial(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	r.dialing.Add(1)
	defer r.dialing.Add(-1)
	return h.Network().DialPeer(ctx, p)
}

// marked are the addresses that stand in addrs with /simopen after them as well, see
// dialOnly.
func marked(addrs []ma.Multiaddr) (only []network.AddrDelay) {
	for _, a := range addrs {
		if slices.ContainsFunc(addrs, mark(a).Equal) {
			only = append(only, network.AddrDelay{Addr: a})
		}
	}
	return only
}

func mark(a ma.Multiaddr) ma.Multiaddr { return a.Encapsulate(simopenAddr) }

// dialOnly has the swarm dial p at these addresses, and at none of the others that it
// knows of p: it takes the addresses of a dial from the peerstore, so those that are
// meant are marked there. Without the ranker nothing is dialled.
func (t *Transport) dialOnly(ctx context.Context, h host.Host, p peer.ID, addrs []netip.AddrPort) error {
	if !t.ranked.asked.Load() {
		t.tryRanker(ctx, h)
	}
	if t.ranked.missing.Load() {
		return errors.New("the host has a dial ranker of its own")
	}
	for _, a := range addrs {
		m := toMultiaddr(a)
		h.Peerstore().AddAddrs(p, []ma.Multiaddr{m, mark(m)}, addrTTL)
		defer h.Peerstore().SetAddr(p, mark(m), 0)
	}
	_, err := t.ranked.dial(network.WithForceDirectDial(ctx, serviceName), h, p)
	return err
}

// nobody is a peer ID that no peer has: it holds a text instead of a key.
const nobody = peer.ID("\x00\x07simopen")

// tryRanker dials nobody at /simopen, which fails at once, and after which dials has
// found out whether the ranker is asked.
func (t *Transport) tryRanker(ctx context.Context, h host.Host) {
	h.Peerstore().AddAddr(nobody, simopenAddr, addrTTL)
	defer h.Peerstore().ClearAddrs(nobody)
	t.ranked.dial(t.ranked.context(ctx), h, nobody)
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

// option brings the ranker in, and a resolver. Options come in any order, so it has to wait until
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
		leaveNamesOut(c)
		return bus
	})
}
