package transport

import (
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// A peerTable has the state of each peer of which there is something to remember. Its mutex is the
// only one for that, and nothing else is called while it is held: neither host nor swarm, peerstore
// or agent.
type peerTable struct {
	mu        sync.Mutex
	states    map[peer.ID]*peerState
	protected int // peers with protections
	ids       int // of timers and protections
}

// A peerState is what the transport knows of a peer.
type peerState struct {
	// Of the watcher: the relayed connections, true for those that this host dialled, and what to do
	// about them. The event of another timer than timerID does not count.
	relayed map[network.Conn]bool
	upgrade upgrade
	timer   *time.Timer
	timerID int

	dial *sharedDial // nil without

	offers  int // attempts under way as initiator
	answers answers

	// Callers that wait for changed, which is closed when a direct connection has come up, or an
	// attempt as responder has ended. It is nil until somebody needs it.
	waiters int
	changed chan struct{}

	protections int // from the connection manager
}

// answers are the attempts as responder.
type answers struct {
	underWay, ended int
	err             error // how the last one ended
}

func newPeerTable() *peerTable { return &peerTable{states: make(map[peer.ID]*peerState)} }

// idle reports whether there is nothing to remember.
func (s *peerState) idle() bool {
	return len(s.relayed) == 0 && s.upgrade == upgrade{} && s.dial == nil && s.offers == 0 && s.answers.underWay == 0 &&
		s.waiters == 0 && s.protections == 0
}

// wake wakes the waiters.
func (s *peerState) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// with calls f with the state of a peer, which it makes if there is none, and forgets the peer if it
// is idle then. f must not call anything else.
func (pt *peerTable) with(p peer.ID, f func(*peerState)) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	s := pt.states[p]
	if s == nil {
		s = &peerState{relayed: make(map[network.Conn]bool)}
		pt.states[p] = s
	}
	f(s)
	if s.idle() {
		delete(pt.states, p)
	}
}

// Two peers that offer at the same time would punch between the same ports, and get in each other's
// way. So there is one attempt at a time between two peers: a peer that is answering does not offer,
// and when two OFFERs cross, the lower peer ID initiates.

// beginOffer counts an attempt as initiator, until endOffer, unless one of the peer is being
// answered. It returns the peer's attempts so far.
func (pt *peerTable) beginOffer(p peer.ID) (before answers, ok bool) {
	pt.with(p, func(s *peerState) {
		if before = s.answers; before.underWay == 0 {
			s.offers++
		}
	})
	return before, before.underWay == 0
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

// wait registers a waiter, until done is called. Until then nothing is forgotten.
func (pt *peerTable) wait(p peer.ID) (done func()) {
	pt.with(p, func(s *peerState) { s.waiters++ })
	return func() { pt.with(p, func(s *peerState) { s.waiters-- }) }
}

// changed returns a channel for a waiter that is closed at the next change, and the attempts of p
// until then.
func (pt *peerTable) changed(p peer.ID) (changed <-chan struct{}, a answers) {
	pt.with(p, func(s *peerState) {
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed, a = s.changed, s.answers
	})
	return changed, a
}

// maxProtected is how many peers at a time are protected for attempts of theirs, which go on without
// it: otherwise an attacker with many identities could fill the host with connections that its
// manager may not close. go-libp2p's manager begins to close at 192.
const maxProtected = 32

// protect keeps the connection manager from closing the relayed connection to p while there is
// signalling over it, and the direct one before the attempt is over: peers with little traffic are
// the first to go. That holds until unprotect is called, for each of this host's own attempts, and
// for some of the peers'. go-libp2p's relay client protects the connection to the relay.
func (t *Transport) protect(h host.Host, p peer.ID, own bool) (unprotect func()) {
	tag := t.peers.beginProtection(p, own)
	if tag == "" {
		return func() {}
	}
	h.ConnManager().Protect(p, tag)
	return func() {
		h.ConnManager().Unprotect(p, tag)
		t.peers.endProtection(p)
	}
}

// beginProtection returns a tag for the protection of a peer, or "". Each has one of its own, for
// then it does not matter in which order protections begin and end.
func (pt *peerTable) beginProtection(p peer.ID, own bool) (tag string) {
	pt.with(p, func(s *peerState) {
		if s.protections == 0 {
			if pt.protected >= maxProtected && !own {
				return
			}
			pt.protected++
		}
		s.protections++
		pt.ids++
		tag = fmt.Sprintf("%s-%d", serviceName, pt.ids)
	})
	return tag
}

func (pt *peerTable) endProtection(p peer.ID) {
	pt.with(p, func(s *peerState) {
		if s.protections--; s.protections == 0 {
			pt.protected--
		}
	})
}
