package transport

import (
	"sync"
	"time"

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
	// Of the upgradeDriver: the relayed connections, true for those that this host dialled, and
	// what to do about them. The event of another timer than timerID does not count.
	relayed map[network.Conn]bool
	upgrade upgrade
	timer   *time.Timer
	timerID int

	dial *sharedDial // nil without

	offers  int // of this host that are out, until their attempts end
	answers answers

	offered time.Time                     // when the last OFFER came
	direct  map[network.Conn]*directState // those that were checked; nil for none
	checks  int                           // under way

	// Callers that wait for changed, which is closed when a connection has come up, ended or
	// answered, or an attempt as responder has ended. It is nil until somebody needs it.
	waiters int
	changed chan struct{}

	protections int // from the connection manager

	observer observerBackoff
	relayRTT time.Duration // the shortest that was measured; 0 for none, and if the peer is no relay
}

// A directState is what is known of a direct connection.
type directState struct {
	probing  time.Time // since when it is asked for an answer; zero if it is not
	answered time.Time // since when it was asked the last time that it has answered
	proving  time.Time // since when it has full-size segments to carry
	carried  bool      // it has carried them, both ways
}

// answers are the attempts with a peer that this host answers as responder.
type answers struct {
	underWay, ended int
	err             error // how the last one ended
}

func newPeerTable() *peerTable { return &peerTable{states: make(map[peer.ID]*peerState)} }

// idle reports whether there is nothing to remember.
func (s *peerState) idle() bool {
	return len(s.relayed) == 0 && s.upgrade == upgrade{} && s.dial == nil && s.offers == 0 && s.answers.underWay == 0 &&
		s.checks == 0 && s.waiters == 0 && s.protections == 0 && s.observer.isZero() && s.relayRTT == 0
}

// wake wakes the waiters.
func (s *peerState) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// with calls f with the state of a peer, which it makes if there is none, and forgets the peer if
// it is idle then. The table is locked while f runs: f must not block, nor call the table, the host
// or the agent.
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
