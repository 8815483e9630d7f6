package soak

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

const (
	relayTimeout  = 10 * time.Second // of whatever is asked of a relay
	relayCheck    = 2 * time.Second
	relaySilence  = 5 * time.Second // after which a relay is taken for dead
	unrelayedWait = 300 * time.Millisecond

	directBytes, relayedBytes = 512 << 10, 64 << 10
)

// keep keeps the connection to a relay, and the reservation there: as AutoRelay does, but without
// its patience.
func (n *node) keep(ctx context.Context, relay peer.AddrInfo) {
	for n.reserve(ctx, relay) == nil || ctx.Err() == nil {
		for n.answers(ctx, relay.ID) {
			select {
			case <-time.After(relayCheck):
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return // the relay may be fine: others may be in a round through it
		}
		n.Network().ClosePeer(relay.ID)
		select {
		case <-time.After(unrelayedWait):
		case <-ctx.Done():
			return
		}
	}
}

func (n *node) reserve(ctx context.Context, relay peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	n.try(relay.ID)
	if err := n.Connect(ctx, relay); err != nil {
		return err
	}
	_, err := client.Reserve(ctx, n, relay)
	return err
}

func (n *node) answers(ctx context.Context, relay peer.ID) bool {
	if n.Network().Connectedness(relay) != network.Connected {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, relaySilence)
	defer cancel()
	r, ok := <-ping.Ping(ctx, n, relay)
	return ok && r.Error == nil
}

// try has the swarm forget that it could not reach a peer lately.
func (n *node) try(p peer.ID) { n.Network().(*swarm.Swarm).Backoff().Clear(p) }

// round is one with the next peer, through some relay.
func (n *node) round(over <-chan struct{}) *round {
	relay := n.cfg.Relays[n.rng.IntN(len(n.cfg.Relays))]
	r := &round{Peer: n.cfg.Dials[n.next%len(n.cfg.Dials)], Relay: relay.ID}
	begin := time.Now()
	n.next++
	defer func() {
		n.Network().ClosePeer(r.Peer)
		n.Peerstore().ClearAddrs(r.Peer)
		n.Peerstore().RemovePeer(r.Peer)
		r.Took = time.Since(begin)
	}()
	ctx := context.Background()
	relayed, err := n.connect(ctx, r.Peer, relay)
	var held network.Stream
	if err == nil {
		if held, err = openEcho(ctx, relayed); err == nil {
			defer held.Reset()
			err = ask(held)
		}
	}
	if err != nil {
		r.Unrelayed = err.Error()
		select {
		case <-time.After(unrelayedWait):
		case <-over:
		}
		return r
	}
	since := relayed.Stat().Opened // what comes by itself begins then
	for range 1 + n.rng.IntN(2) {
		c, t := n.punch(r.Peer, since)
		r.Tries = append(r.Tries, t)
		if t.Direct {
			r.Transfers = append(r.Transfers, send(ctx, c, "direct", directBytes))
		}
		r.Transfers = append(r.Transfers, send(ctx, relayed, "relayed", relayedBytes))
		if err := ask(held); err != nil {
			r.RelayedErr = err.Error()
			return r
		}
		if c != nil {
			c.Close()
		}
		since = time.Now()
	}
	return r
}

// connect dials a peer through a relay.
func (n *node) connect(ctx context.Context, p peer.ID, relay peer.AddrInfo) (network.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	if n.Network().Connectedness(relay.ID) != network.Connected {
		return nil, errors.New("not connected to the relay") // see keep
	}
	circuit := ma.StringCast("/p2p/" + relay.ID.String() + "/p2p-circuit")
	ai := peer.AddrInfo{ID: p}
	for _, a := range relay.Addrs {
		ai.Addrs = append(ai.Addrs, a.Encapsulate(circuit))
	}
	n.try(p)
	if err := n.Connect(ctx, ai); err != nil {
		return nil, err
	}
	for _, c := range n.Network().ConnsToPeer(p) {
		if _, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT); err == nil && !c.IsClosed() {
			return c, nil
		}
	}
	return nil, errors.New("the relayed connection is gone already")
}

func (n *node) punch(p peer.ID, since time.Time) (network.Conn, try) {
	c, err := transport.DirectConnect(context.Background(), n, p)
	if err != nil {
		return nil, try{Took: time.Since(since), Err: err.Error(), Reason: reasonOf(err)}
	}
	return c, try{Took: c.Stat().Opened.Sub(since), Direct: true}
}

// reasonOf is the product's reason, or the context's.
func reasonOf(err error) holepunch.Reason {
	reason := holepunch.ReasonOf(err)
	for _, ended := range []error{context.DeadlineExceeded, context.Canceled} {
		if reason == "" && errors.Is(err, ended) {
			reason = holepunch.Reason(ended.Error())
		}
	}
	return reason
}
