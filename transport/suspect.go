package transport

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// A peer that was restarted or has moved to another network comes back through the relay, by a new
// relayed connection or by an OFFER. That is evidence that its direct connections from before are
// dead. They are suspect, and nobody is given them, until they have answered or are closed: the
// upgradeDriver sees to either. A peer can bring this about for its own connections alone.

// directConn returns a direct connection to p that is not suspect, or nil.
func (t *Transport) directConn(h host.Host, p peer.ID) network.Conn {
	c, _ := t.directConns(h, p)
	return c
}

// directConns returns a direct connection to p that is not suspect, or nil, and those that are.
func (t *Transport) directConns(h host.Host, p peer.ID) (trusted network.Conn, suspects []network.Conn) {
	conns := h.Network().ConnsToPeer(p)
	var evidence time.Time
	var answered map[network.Conn]time.Time
	t.peers.with(p, func(s *peerState) { evidence, answered = s.offered, maps.Clone(s.answered) })
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
		case trusted == nil:
			trusted = c
		}
	}
	return trusted, suspects
}

// offered records that p has offered.
func (t *Transport) offered(p peer.ID) {
	t.peers.with(p, func(s *peerState) { s.offered = time.Now() })
	t.driver.enqueue(queuedEvent{peer: p, upgradeEvent: upgradeEvent{kind: offerCame}})
}

// awaitVerdict waits until there is a direct connection to p that is not suspect, and returns it, or
// until none is left, and returns nil.
func (t *Transport) awaitVerdict(ctx context.Context, h host.Host, p peer.ID) network.Conn {
	defer t.peers.wait(p)()
	for {
		changed, _ := t.peers.changed(p)
		trusted, suspects := t.directConns(h, p)
		if trusted != nil || len(suspects) == 0 {
			return trusted
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// probeTimeout is how long a suspect connection may be silent. It is two round trips of nearly any
// path, and long enough for TCP to repeat a packet that was lost.
const probeTimeout = time.Second

// probe asks the direct connections to p that are suspect for an answer.
func (d *upgradeDriver) probe(p peer.ID) {
	ctx, h, end, err := d.t.begin(d.t.ctx)
	if err != nil {
		return
	}
	go func() {
		defer end()
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		_, suspects := d.t.directConns(h, p)
		var probes sync.WaitGroup
		for _, c := range suspects {
			probes.Go(func() {
				began := time.Now()
				if err := echo(ctx, c, 1); err != nil {
					d.enqueue(queuedEvent{peer: p, conn: c, upgradeEvent: upgradeEvent{kind: directSilent}})
					return
				}
				d.t.peers.with(p, func(s *peerState) {
					if s.answered == nil {
						s.answered = make(map[network.Conn]time.Time)
					}
					s.answered[c] = began
					s.wake()
				})
			})
		}
		probes.Wait()
		d.enqueue(queuedEvent{peer: p, upgradeEvent: upgradeEvent{kind: probeEnded}})
	}()
}
