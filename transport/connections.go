package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// relayedConn returns a relayed connection to p: the newest that this host dialled, for the older
// ones' relays may be gone, or else the newest.
func relayedConn(h host.Host, p peer.ID) network.Conn {
	var found network.Conn
	for _, c := range h.Network().ConnsToPeer(p) { // oldest first
		if c.IsClosed() || !isRelayed(c) {
			continue
		}
		if found == nil || c.Stat().Direction == network.DirOutbound || found.Stat().Direction == network.DirInbound {
			found = c
		}
	}
	return found
}

// directConn returns a connection to p that no relay carries, or nil.
func directConn(h host.Host, p peer.ID) network.Conn {
	for _, c := range h.Network().ConnsToPeer(p) {
		if !c.IsClosed() && !isRelayed(c) {
			return c
		}
	}
	return nil
}

// awaitDirectOr waits until there is a direct connection to p, by whatever transport. It returns nil
// when ctx or done has ended before. (Connectedness events would not do: a relayed connection without
// limits counts as connected.)
func (t *Transport) awaitDirectOr(ctx context.Context, h host.Host, p peer.ID, done <-chan struct{}) network.Conn {
	defer t.peers.wait(p)()
	for {
		changed, _ := t.peers.changed(p)
		if c := directConn(h, p); c != nil {
			return c
		}
		select {
		case <-changed:
		case <-done:
			return directConn(h, p)
		case <-ctx.Done():
			return nil
		}
	}
}

// awaitDirect waits until there is a direct connection to p.
func (t *Transport) awaitDirect(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	c := t.awaitDirectOr(ctx, h, p, nil)
	if c == nil {
		return nil, ctx.Err()
	}
	return c, nil
}

// inboundTimeout is how long the peer's own attempt may take, from its OFFER until the swarm has taken
// the connection.
const inboundTimeout = 12 * time.Second

// awaitInbound waits for the connection of the attempt in which the peer is the initiator, until one
// that had not ended before has failed. The caller has registered as a waiter. awaitInbound returns
// [ErrGlare] all the same: the swarm looks for a connection that came in meanwhile when a dial fails.
func (t *Transport) awaitInbound(ctx context.Context, h host.Host, p peer.ID, before answers) error {
	t.peers.at(p, "waiting for the peer's own attempt")
	timeout := time.NewTimer(inboundTimeout)
	defer timeout.Stop()
	for {
		changed, now := t.peers.changed(p)
		if directConn(h, p) != nil {
			return ErrGlare
		}
		if now.ended > before.ended && now.underWay == 0 && now.err != nil {
			return fmt.Errorf("%w, and its attempt has failed: %w", ErrGlare, now.err)
		}
		select {
		case <-changed:
		case <-timeout.C:
			return fmt.Errorf("%w, and has not made a connection in time", ErrGlare)
		case <-ctx.Done():
			return fmt.Errorf("%w, and has not made a connection in time: %w", ErrGlare, ctx.Err())
		}
	}
}
