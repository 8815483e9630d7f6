package transport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// An observerBackoff says for how long a peer is not asked for the host's address.
type observerBackoff struct {
	until      time.Time
	wait       time.Duration // until then, after refusals; it doubles
	err        error         // the last refusal
	yieldUntil time.Time     // reservations go first until then
	lost       time.Time     // when the host's last connection to the peer broke, until it is back
}

func (b *observerBackoff) isZero() bool {
	return b.until.IsZero() && b.yieldUntil.IsZero() && b.lost.IsZero()
}

// observerWaits are the waits of an observerBackoff. Each is lengthened at random by up to as much
// again, for the host's neighbours may wait for the same peer.
type observerWaits struct {
	refused time.Duration // after a peer has refused a connection
	most    time.Duration // after it has done so many times
	back    time.Duration // after the host's connections to the peer broke, and when it is back
}

// Neighbours that punch, too, leave a place within seconds, and a household that has all places of
// a relay keeps them. When a relay has restarted, all come back within seconds of each other, as
// their AutoRelays have lost it at one time, and a host that is refused then tries again after
// 30 s.
var defaultObserverWaits = observerWaits{refused: 10 * time.Second, most: 30 * time.Minute, back: 5 * time.Second}

var (
	// errObserverFull is the failure of a host beyond go-libp2p's limits for an IP address. Its
	// resource manager has two: 8 connections, and 16 new ones at once, then one in 5 s.
	errObserverFull = errors.New("it closed the connection at once, as go-libp2p does beyond 8 connections from one IP address, " +
		"or many new ones: that is its limit (rcmgr.WithLimitPerSubnet), which all hosts behind this address share")

	// errObserverLost: the peer may be restarting.
	errObserverLost = errors.New("the host's own connection to it broke recently, and reservations go first")
)

// observerFailed records that a peer has refused to be asked, or has ended the connection.
func (t *Transport) observerFailed(p peer.ID, err error) {
	if !t.peers.observerFailed(p, err, t.waits) || !errors.Is(err, errObserverFull) {
		return
	}
	t.log.Warn("a peer takes no more connections from this host's IP address: simopen leaves them to others, and punches without having asked it",
		"peer", p, "err", err)
}

// observerFailed reports whether it is the first time since the peer has answered.
func (pt *peerTable) observerFailed(p peer.ID, err error, waits observerWaits) (first bool) {
	pt.with(p, func(s *peerState) {
		b := &s.observer
		first = b.wait == 0
		b.wait = min(max(2*b.wait, waits.refused), waits.most)
		b.until, b.err = time.Now().Add(b.wait+rand.N(b.wait)), err
	})
	return first
}

// observerLost records that the host's own connections to a relay broke. back says whether there is
// a new one already.
func (pt *peerTable) observerLost(p peer.ID, back bool, waits observerWaits) {
	pt.with(p, func(s *peerState) {
		if !back {
			s.observer.lost = time.Now()
		}
		s.observer.yield(waits)
	})
}

// observerBack records that there is a connection again.
func (pt *peerTable) observerBack(p peer.ID, waits observerWaits) {
	pt.with(p, func(s *peerState) {
		if !s.observer.lost.IsZero() {
			s.observer.lost = time.Time{}
			s.observer.yield(waits)
		}
	})
}

// yield leaves a peer alone for as long as it may take until all that it has lost have their
// reservations again.
func (b *observerBackoff) yield(waits observerWaits) {
	b.yieldUntil = time.Now().Add(waits.back + rand.N(waits.back))
}

// observerAnswered forgets refusals.
func (pt *peerTable) observerAnswered(p peer.ID) {
	pt.with(p, func(s *peerState) {
		s.observer = observerBackoff{yieldUntil: s.observer.yieldUntil, lost: s.observer.lost}
		if time.Since(s.observer.yieldUntil) > 0 {
			s.observer.yieldUntil = time.Time{}
		}
	})
}

// mayAsk returns why a peer is not asked now, or nil.
func (pt *peerTable) mayAsk(p peer.ID) (err error) {
	pt.with(p, func(s *peerState) {
		until, why := s.observer.until, s.observer.err
		if s.observer.yieldUntil.After(until) {
			until, why = s.observer.yieldUntil, errObserverLost
		}
		if wait := time.Until(until); wait > 0 {
			err = fmt.Errorf("it is not asked for another %v: %w", wait.Round(time.Second), why)
		}
	})
	return err
}

// forgetBackoffs forgets what peers have refused that have not been asked since for long.
func (pt *peerTable) forgetBackoffs(waits observerWaits) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	for p, s := range pt.states {
		b := &s.observer
		if time.Since(b.until) > waits.most && time.Since(b.yieldUntil) > waits.most && time.Since(b.lost) > waits.most {
			s.observer = observerBackoff{}
		}
		if s.idle() {
			delete(pt.states, p)
		}
	}
}

// A countingConn counts what is read.
type countingConn struct {
	net.Conn
	read int
}

func (c *countingConn) Read(b []byte) (n int, err error) {
	n, err = c.Conn.Read(b)
	c.read += n
	return n, err
}
