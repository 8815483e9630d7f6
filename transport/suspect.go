package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A peer that was restarted or has moved to another network comes back through the relay, by a new
// relayed connection or by an OFFER. That is evidence that its direct connections from before are
// dead. They are suspect, and no caller gets them, until they have answered or are closed. The
// upgradeDriver probes or closes them. A peer can bring this about for its own connections alone.

// directConn returns a direct connection to p that is not suspect, or nil.
func (t *Transport) directConn(h host.Host, p peer.ID) network.Conn {
	if trusted, _ := t.sortDirect(h, p); len(trusted) > 0 {
		return trusted[0]
	}
	return nil
}

// sortDirect returns the direct connections to p that are not suspect, and those that are.
func (t *Transport) sortDirect(h host.Host, p peer.ID) (trusted, suspects []network.Conn) {
	conns := h.Network().ConnsToPeer(p)
	var evidence time.Time
	answered := make(map[network.Conn]time.Time)
	t.peers.with(p, func(s *peerState) {
		evidence = s.offered
		for c, d := range s.direct {
			answered[c] = d.answered
		}
	})
	for _, c := range conns {
		if opened := c.Stat().Opened; isRelayed(c) && !c.IsClosed() && opened.After(evidence) {
			evidence = opened
		}
	}
	for _, c := range conns {
		switch {
		case isRelayed(c) || c.IsClosed():
		case c.Stat().Opened.Before(evidence) && answered[c].Before(evidence):
			suspects = append(suspects, c)
		default:
			trusted = append(trusted, c)
		}
	}
	return trusted, suspects
}

// offered records that p has offered.
func (t *Transport) offered(p peer.ID) {
	t.peers.with(p, func(s *peerState) { s.offered = time.Now() })
	t.driver.enqueue(queuedEvent{peer: p, upgradeEvent: upgradeEvent{kind: offerCame}})
}

// defaultMaxVerdict is how long a caller waits for the verdict on suspect connections: two probes,
// one of them under way when the peer comes back. A peer can come back again before any probe has
// ended.
const defaultMaxVerdict = 2 * maxProbe

// awaitVerdict waits until there is a direct connection to p that is not suspect, and returns it,
// or until none is left, and returns nil. It fails if ctx ends, or after maxVerdict of the config.
func (t *Transport) awaitVerdict(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	defer t.peers.wait(p)()
	late := time.NewTimer(t.cfg.maxVerdict)
	defer late.Stop()
	for {
		changed, _ := t.peers.changed(p)
		switch trusted, suspects := t.sortDirect(h, p); {
		case len(trusted) > 0:
			return trusted[0], nil
		case len(suspects) == 0:
			return nil, nil
		}
		select {
		case <-changed:
		case <-late.C:
			return nil, fmt.Errorf("%w on the direct connection from before, and came back again and again", holepunch.ErrNoAnswer)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
