package transport

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
)

// A swarmDialer gives the swarm the connections that this host has made, as outbound ones. The
// swarm takes outbound connections from dials alone. So when a connection is there, the swarmDialer
// makes the swarm dial /simopen, and the swarm gets the connection from [Transport.Dial]. That
// takes only a moment. If the dial took the whole attempt, all other dials of the peer would share
// it, with all failures and closed connections since its beginning.
//
// The swarm takes all addresses that its peerstore has of the peer. Of the caller's context it
// passes on only the reason for a direct dial. So the reason marks dials of this package:
//
//   - For the time that the swarm needs to read it, /simopen is in the peerstore.
//     [Transport.Resolve] resolves it to nothing in dials that are not ours. So it does not matter
//     if others have put it there.
//   - The dial ranker knows by the same address that a dial is ours, and leaves out all others: a
//     stranger may have named any number of them, which would use up the peer's share of the
//     resource manager's connections and of the swarm's dials.
//   - The resolver of names leaves them out. A name server that does not answer takes 10 s.
//
// Ranker and resolver are part of a swarm's configuration. [Enable] brings them in, and [New]
// cannot. A ranker or resolver among the user's own swarm options is kept. Without our ranker the
// swarm is asked to dial all addresses at once, for /simopen would come last.
type swarmDialer struct {
	ranks atomic.Bool // the swarm has asked our ranker, in a dial of a relay if not before

	mu    sync.Mutex
	dials int
	made  map[string]tpt.CapableConn // that the swarm has yet to take, by the reason of the dial
}

// dialReason begins the reason of each dial of ours, which goes on with a number.
const dialReason = serviceName + ": dial "

// reasonOf returns the reason of a dial of ours, or "" if the dial with this context is none.
func reasonOf(ctx context.Context) string {
	if _, reason := network.GetForceDirectDial(ctx); strings.HasPrefix(reason, dialReason) {
		return reason
	}
	return ""
}

const (
	// addrTTL bounds how long /simopen is in the peerstore if nothing else does. It must be none of
	// package peerstore's, for identify, whenever it ends, takes the addresses away that have
	// peerstore.TempAddrTTL.
	addrTTL = time.Minute

	// settleTime is a moment for a few goroutines to run.
	settleTime = 10 * time.Millisecond
)

// handOver gives the swarm a connection with a peer, and returns the swarm's. If the swarm has
// another direct connection with the peer already, handOver closes c and returns that one.
func (d *swarmDialer) handOver(ctx context.Context, h host.Host, c tpt.CapableConn) (network.Conn, error) {
	p := c.RemotePeer()
	reason := d.put(c)
	defer func() {
		if c := d.take(reason); c != nil {
			c.Close()
		}
	}()
	ctx = network.WithForceDirectDial(ctx, reason)
	if !d.ranks.Load() {
		ctx = network.WithSimultaneousConnect(ctx, true, serviceName)
	}
	h.Peerstore().SetAddr(p, simopenAddr, addrTTL)
	defer h.Peerstore().SetAddr(p, simopenAddr, 0)
	taken, err := h.Network().DialPeer(ctx, p)
	if err != nil && h.Network().Connectedness(p) == network.NotConnected {
		// The relayed connection has just ended. Identify then puts those addresses in for 15 min which
		// it has read a moment before.
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
		}
	}
	return taken, err
}

func (d *swarmDialer) put(c tpt.CapableConn) (reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dials++
	reason = dialReason + strconv.Itoa(d.dials)
	if d.made == nil {
		d.made = make(map[string]tpt.CapableConn)
	}
	d.made[reason] = c
	return reason
}

// take returns the connection that a dial is for, to one caller, or nil.
func (d *swarmDialer) take(reason string) tpt.CapableConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.made[reason]
	delete(d.made, reason)
	return c
}

var _ tpt.Resolver = (*Transport)(nil)

// Resolve returns what the swarm is to dial for an address that [Transport.CanDial] matches:
// nothing unless the dial is the transport's own.
func (t *Transport) Resolve(ctx context.Context, a ma.Multiaddr) ([]ma.Multiaddr, error) {
	if reasonOf(ctx) == "" {
		return nil, nil
	}
	return []ma.Multiaddr{a}, nil
}

// rank returns a ranker that leaves /simopen alone in a dial of ours, and asks next about others.
func (d *swarmDialer) rank(next network.DialRanker) network.DialRanker {
	return func(addrs []ma.Multiaddr) []network.AddrDelay {
		d.ranks.Store(true)
		if slices.ContainsFunc(addrs, isSimopen) {
			return []network.AddrDelay{{Addr: simopenAddr}}
		}
		return next(addrs)
	}
}

// A resolver leaves names out of dials of ours.
type resolver struct{ network.MultiaddrDNSResolver }

func (r resolver) ResolveDNSAddr(ctx context.Context, p peer.ID, a ma.Multiaddr, depth, limit int) ([]ma.Multiaddr, error) {
	if reasonOf(ctx) != "" {
		return nil, nil
	}
	return r.MultiaddrDNSResolver.ResolveDNSAddr(ctx, p, a, depth, limit)
}

func (r resolver) ResolveDNSComponent(ctx context.Context, a ma.Multiaddr, limit int) ([]ma.Multiaddr, error) {
	if reasonOf(ctx) != "" {
		return nil, nil
	}
	return r.MultiaddrDNSResolver.ResolveDNSComponent(ctx, a, limit)
}

// configure brings ranker and resolver into the configuration of a host to which all options were
// applied. Those of the configuration itself are wrapped. Those among the swarm options cannot be:
// of several the last one counts, so that ours come first.
func (d *swarmDialer) configure(c *libp2p.Config) {
	var ours []swarm.Option
	if c.DialRanker != nil {
		c.DialRanker = d.rank(c.DialRanker)
	} else {
		ours = append(ours, swarm.WithDialRanker(d.rank(swarm.DefaultDialRanker)))
	}
	if c.MultiaddrResolver != nil {
		c.MultiaddrResolver = resolver{c.MultiaddrResolver}
	} else {
		names := swarm.ResolverFromMaDNS{Resolver: madns.DefaultResolver}
		ours = append(ours, swarm.WithMultiaddrResolver(resolver{names}))
	}
	c.SwarmOpts = append(ours, c.SwarmOpts...)
}
