package transport

import (
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

const (
	// When a direct connection has died and the relayed one lives, the peers punch
	// again after lostWait: it takes the other side a moment to notice, too.
	lostWait = time.Second

	// After an attempt that failed another follows while the relayed connection lasts, if
	// that may help: after failedWait, doubling up to maxWait. A punch that comes to nothing sends SYNs
	// for 10 s, so that this is a quarter of the time at first, and a thirtieth in the end.
	failedWait = 30 * time.Second
	maxWait    = 5 * time.Minute

	// lasting is how long a direct connection has to live for the next one's death not to
	// count as a repetition: longer than NATs are known to forget a connection in.
	lasting = 5 * time.Minute

	// idleCheck is how long it takes at least until a relayed connection that had open
	// streams is looked at again.
	idleCheck = time.Second
)

// A link is what the watcher knows of a peer while there is a relayed connection to it.
// There is one thing to wait for at a time: with a direct connection, that the relayed
// one may be closed; without, that it may be upgraded again.
type link struct {
	peer      peer.ID
	relayed   map[network.Conn]struct{}
	upgrading bool
	again     bool          // another relayed connection came meanwhile
	since     time.Time     // when the direct connection came up; zero without one
	wait      time.Duration // before the last repetition

	timer *time.Timer // nil until first needed
	turn  int         // of the timer: what it sent in an earlier one does not count
}

// due says that a link's timer has run out.
type due struct {
	*link
	turn int
}

// arm has the watcher look at the link after d, and forget any other time.
func (w *watcher) arm(l *link, d time.Duration) {
	l.disarm()
	now := due{l, l.turn}
	l.timer = time.AfterFunc(d, func() {
		select {
		case w.due <- now:
		case <-w.t.ctx.Done():
		}
	})
}

func (l *link) disarm() {
	l.turn++
	if l.timer != nil {
		l.timer.Stop()
	}
}

// repeat has an attempt made again, after least or twice the last wait.
func (w *watcher) repeat(l *link, least time.Duration) {
	l.wait = min(max(2*l.wait, least), maxWait)
	// So that peers which lost each other at one time, as when a NAT restarts, do not come back at one time.
	w.arm(l, l.wait+rand.N(l.wait/4))
}

// gained takes note that there is a direct connection beside a relayed one, of which either is new.
func (w *watcher) gained(l *link) {
	if l.since.IsZero() {
		l.since = time.Now()
	}
	w.retireLater(l, w.t.cfg.grace)
}

// lost takes note that a direct connection has ended. It may have done so before the watcher
// heard that it was there.
func (w *watcher) lost(l *link) {
	if l.since.IsZero() || directConn(w.h, l.peer) != nil {
		return
	}
	if time.Since(l.since) > lasting {
		l.wait = 0
	}
	l.since = time.Time{}
	w.repeat(l, lostWait)
}

func (w *watcher) retireLater(l *link, after time.Duration) {
	if w.t.cfg.grace < 0 {
		l.disarm()
		return
	}
	w.arm(l, after)
}

// retire closes the relayed connections that a direct one has taken the place of, and
// on which nothing runs.
func (w *watcher) retire(l *link) {
	for c := range l.relayed {
		if n := len(c.GetStreams()); n > 0 {
			w.t.log.Debug("relayed connection has open streams, and is kept", "peer", l.peer, "streams", n)
			w.retireLater(l, max(w.t.cfg.grace, idleCheck))
			continue
		}
		_, _, end, err := w.t.begin(w.t.ctx)
		if err != nil {
			return
		}
		w.t.log.Debug("relayed connection closed: there is a direct one", "peer", l.peer)
		w.t.metrics.relayedClosed()
		go func() { // for it may wait for us, who read the host's events
			defer end()
			c.Close()
		}()
	}
}

// passing tells whether an attempt that failed for this reason may succeed later.
func passing(err error) bool {
	switch holepunch.ReasonOf(err) {
	case holepunch.ErrMalformed, holepunch.ErrDeclined, holepunch.ErrNoCandidate, holepunch.ErrUnpredictable,
		holepunch.ErrPortFiltered, holepunch.ErrNoBareSYN, holepunch.ErrNoHairpin,
		ErrClosed, ErrNoRelayedConn, ErrPeerUnsupported, ErrPeerFiltered, ErrGated:
		return false
	}
	return true
}
