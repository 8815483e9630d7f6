package transport

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
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

// A swarmDialer has the swarm dial a peer by this transport, or at given listeners, and nothing
// else. The dial cannot be seen by other dials of the same peer, nor can they be seen by it.
//
// The swarm takes all addresses that its peerstore has of the peer, and hands on nothing of the
// caller's context but the reason for a direct dial. So the reason says what the dial is for:
//
//   - For the time that the swarm needs to read it, an address with /simopen is in the peerstore.
//     [Transport.Resolve] turns it into what is to be dialled if it is in a dial of ours, and into
//     nothing in others. So it does not matter either who else has put such an address there.
//   - The dial ranker knows by the same address that a dial is ours, and leaves out all others: any
//     number of them, which a stranger may have named, would take the peer's share of the resource
//     manager's connections, so that eight that do not answer leave none for ours.
//   - The resolver of names leaves them out. A name server that does not answer takes 10 s of the
//     15 s that a dial has, and what is to be dialled has no name.
//
// Ranker and resolver are part of a swarm's configuration. [Enable] brings them in, and [New]
// cannot. A ranker or resolver among the user's own swarm options is kept. Without our ranker the
// swarm is asked to dial all addresses at once, for /simopen would come last.
type swarmDialer struct {
	ranks atomic.Bool // the swarm has asked our ranker, in a dial of a relay if not before
}

// Reasons for a direct dial. That of a dial of listeners goes on with their marks.
const (
	dialReason      = serviceName + ": dial"
	listenersReason = serviceName + ": dial listeners"
)

// isOurs reports whether a context of the swarm is that of a dial of ours.
func isOurs(ctx context.Context) bool {
	_, reason := network.GetForceDirectDial(ctx)
	return strings.HasPrefix(reason, dialReason)
}

// addrTTL bounds how long /simopen is in the peerstore if nothing else does. It must be none of
// package peerstore's, for identify, whenever it ends, takes the addresses away that have
// peerstore.TempAddrTTL.
const addrTTL = time.Minute

// dial has the swarm dial p by this transport.
func (d *swarmDialer) dial(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	ctx = network.WithForceDirectDial(ctx, dialReason)
	if !d.ranks.Load() {
		ctx = network.WithSimultaneousConnect(ctx, true, serviceName)
	}
	return dialAt(ctx, h, p, simopenAddr)
}

// dialled is called when the dial has come to the transport: the swarm has read the address, and
// left it in the peerstore. From there it might leave the host, for a server of the DHT tells of a
// peer what its peerstore has.
func (d *swarmDialer) dialled(h host.Host, p peer.ID) {
	h.Peerstore().SetAddr(p, simopenAddr, 0)
}

// dialListeners has the swarm dial p at these addresses, by the host's other transports. Without
// our ranker it fails, for the swarm would dial other addresses as well.
func (d *swarmDialer) dialListeners(ctx context.Context, h host.Host, p peer.ID, listeners []netip.AddrPort) error {
	if !d.ranks.Load() {
		return errors.New("the host has a dial ranker of its own")
	}
	reason := listenersReason
	var marks []ma.Multiaddr
	for _, l := range listeners {
		m := mark(toMultiaddr(l))
		marks = append(marks, m)
		reason += " " + m.String()
	}
	_, err := dialAt(network.WithForceDirectDial(ctx, reason), h, p, marks...)
	return err
}

// dialAt has the swarm dial p while the addresses are in the peerstore.
func dialAt(ctx context.Context, h host.Host, p peer.ID, addrs ...ma.Multiaddr) (network.Conn, error) {
	h.Peerstore().SetAddrs(p, addrs, addrTTL)
	defer h.Peerstore().SetAddrs(p, addrs, 0)
	c, err := h.Network().DialPeer(ctx, p)
	if err != nil && h.Network().Connectedness(p) == network.NotConnected {
		// The relayed connection has just ended. Identify then puts those addresses in for 15 min which
		// it has read a moment before.
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
		}
	}
	return c, err
}

// A mark is an address with /simopen after it. In a dial of listeners it stands beside each address
// that is to be dialled.
func mark(a ma.Multiaddr) ma.Multiaddr { return a.Encapsulate(simopenAddr) }

func isMark(a ma.Multiaddr) bool {
	if len(a) != 3 || !isSimopen(a[2:]) {
		return false
	}
	_, ok := fromMultiaddr(a[:2])
	return ok
}

var _ tpt.Resolver = (*Transport)(nil)

// Resolve returns what the swarm is to dial for an address that [Transport.CanDial] matches:
// nothing unless the dial is the transport's own.
func (t *Transport) Resolve(ctx context.Context, a ma.Multiaddr) ([]ma.Multiaddr, error) {
	_, reason := network.GetForceDirectDial(ctx)
	marks, listeners := strings.CutPrefix(reason, listenersReason)
	switch {
	case reason == dialReason && isSimopen(a):
		return []ma.Multiaddr{a}, nil
	case listeners && isMark(a) && slices.Contains(strings.Fields(marks), a.String()):
		return []ma.Multiaddr{a[:2], a}, nil
	}
	return nil, nil
}

// rank returns a ranker that leaves /simopen, or the addresses with a mark, alone in a dial of
// ours, and asks next about others.
func (d *swarmDialer) rank(next network.DialRanker) network.DialRanker {
	return func(addrs []ma.Multiaddr) []network.AddrDelay {
		d.ranks.Store(true)
		if slices.ContainsFunc(addrs, isSimopen) {
			return []network.AddrDelay{{Addr: simopenAddr}}
		}
		if !slices.ContainsFunc(addrs, isMark) {
			return next(addrs)
		}
		var marked []network.AddrDelay
		for _, a := range addrs {
			if slices.ContainsFunc(addrs, mark(a).Equal) {
				marked = append(marked, network.AddrDelay{Addr: a})
			}
		}
		return marked
	}
}

// A resolver leaves names out of dials of ours.
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
