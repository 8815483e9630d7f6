package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Two peers that offer at the same time would punch between the same ports, and get in each other's
// way. So there is one attempt at a time between two peers: a peer that is answering does not
// offer, and when two OFFERs cross, the lower peer ID initiates.

// beginOffer counts an OFFER that is about to leave, until endOffer. It fails with [ErrGlare] if an
// attempt of the peer is under way, or has succeeded since before. It returns the peer's attempts
// so far.
func (pt *peerTable) beginOffer(p peer.ID, before answers) (now answers, err error) {
	pt.with(p, func(s *peerState) {
		now = s.answers
		if now.underWay > 0 || now.ended > before.ended && now.err == nil {
			err = ErrGlare
			return
		}
		s.offers++
	})
	return now, err
}

func (pt *peerTable) endOffer(p peer.ID) {
	pt.with(p, func(s *peerState) { s.offers-- })
}

// beginAnswer counts an attempt as responder, until endAnswer. It fails with [ErrGlare] if this
// host's own OFFER is out and takes precedence.
func (pt *peerTable) beginAnswer(self, p peer.ID) (err error) {
	pt.with(p, func(s *peerState) {
		if s.offers > 0 && self < p {
			err = ErrGlare
			return
		}
		s.answers.underWay++
	})
	return err
}

func (pt *peerTable) endAnswer(p peer.ID, err error) {
	pt.with(p, func(s *peerState) {
		s.answers = answers{s.answers.underWay - 1, s.answers.ended + 1, err}
		s.wake()
	})
}

// inboundTimeout is how long the peer's own attempt may take, from its OFFER until the swarm has
// taken the connection.
const inboundTimeout = 12 * time.Second

// awaitInbound waits for the connection of the attempt in which the peer is the initiator, until
// one that had not ended before has failed. The caller has registered as a waiter. awaitInbound
// returns [ErrGlare] all the same: the swarm looks for a connection that came in meanwhile when a
// dial fails.
func (t *Transport) awaitInbound(ctx context.Context, h host.Host, p peer.ID, before answers) error {
	t.peers.at(p, "waiting for the peer's own attempt")
	timeout := time.NewTimer(inboundTimeout)
	defer timeout.Stop()
	for {
		changed, now := t.peers.changed(p)
		if t.directConn(h, p) != nil {
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
