package transport

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// An upgradeDriver passes the events of each peer's connections to its [upgrade], and does what the
// upgrade decides.
//
// The swarm holds a lock while it notifies. So notifications enqueue and return, and one goroutine
// does the rest.
type upgradeDriver struct {
	t      *Transport
	h      host.Host
	policy upgradePolicy
	notify *network.NotifyBundle
	sub    event.Subscription
	done   chan struct{} // closed when run has returned

	mu     sync.Mutex
	queue  []queuedEvent
	queued chan struct{} // has a value if queue has

	// Of run.
	warmer portWarmer
	addrs  ownAddrs // that connections are bound to
}

// A queuedEvent is an event in the driver's queue.
type queuedEvent struct {
	peer  peer.ID
	conn  network.Conn // of those of one connection
	timer int          // of timerFired: which
	upgradeEvent
}

func newUpgradeDriver(t *Transport, h host.Host) (*upgradeDriver, error) {
	sub, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.Name("simopen"))
	if err != nil {
		return nil, err
	}
	d := &upgradeDriver{
		t:      t,
		h:      h,
		policy: upgradePolicy{grace: t.cfg.grace, onRequest: t.cfg.onRequest, reset: t.cfg.reset},
		sub:    sub,
		done:   make(chan struct{}),
		queued: make(chan struct{}, 1),
	}
	d.notify = d.notifiee()
	h.Network().Notify(d.notify)
	d.warmer = newPortWarmer(h)
	go d.run()
	for _, c := range h.Network().Conns() {
		d.notify.Connected(nil, c)
	}
	return d, nil
}

// stop is called when the transport's context has ended.
func (d *upgradeDriver) stop() {
	<-d.done
	d.sub.Close() // it is not read any more: others would wait to emit, perhaps while they notify
	d.h.Network().StopNotify(d.notify)
}

// notifiee returns what the swarm is to notify.
func (d *upgradeDriver) notifiee() *network.NotifyBundle {
	return &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { d.notice(c, relayedUp, directUp) },
		DisconnectedF: func(_ network.Network, c network.Conn) { d.notice(c, relayedDown, directDown) },
	}
}

func (d *upgradeDriver) notice(c network.Conn, ifRelayed, ifDirect upgradeEventKind) {
	e := queuedEvent{peer: c.RemotePeer(), conn: c, upgradeEvent: upgradeEvent{kind: ifRelayed}}
	if !isRelayed(c) {
		e.kind = ifDirect
	}
	d.t.peers.with(e.peer, (*peerState).wake)
	d.enqueue(e)
}

func (d *upgradeDriver) enqueue(e queuedEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, e)
	select {
	case d.queued <- struct{}{}:
	default:
	}
}

func (d *upgradeDriver) run() {
	defer close(d.done)
	var look <-chan time.Time // nil while there is no direct connection
	for {
		d.warmer.update(d.t)
		select {
		case <-d.queued:
			d.mu.Lock()
			events := d.queue
			d.queue = nil
			d.mu.Unlock()
			for _, e := range events {
				d.handle(e)
			}
			if look == nil {
				look = d.watch()
			}
		case <-look:
			look = d.watch()
		case e := <-d.sub.Out():
			d.warmer.identified(d.t, d.h, e.(event.EvtPeerIdentificationCompleted))
		case <-d.t.ctx.Done():
			d.t.peers.stopTimers()
			return
		}
	}
}

// view returns what there is of direct connections to p.
func (d *upgradeDriver) view(p peer.ID) peerView {
	trusted, suspects := d.t.sortDirect(d.h, p)
	v := peerView{direct: len(trusted)+len(suspects) > 0, suspect: len(suspects) > 0}
	d.t.peers.with(p, func(s *peerState) {
		v.unproven = slices.ContainsFunc(trusted, func(c network.Conn) bool {
			return s.direct[c] == nil || !s.direct[c].carried
		})
	})
	return v
}

// handle has the peer's upgrade look at an event, and does what it decides.
func (d *upgradeDriver) handle(e queuedEvent) {
	view := d.view(e.peer)
	switch e.kind {
	case directDown:
		d.warmer.closed(d.t, d.h, e.conn)
	case relayedUp:
		if e.conn.IsClosed() {
			return // its end may have been queued before
		}
		e.outbound = e.conn.Stat().Direction == network.DirOutbound
	}
	var actions []upgradeAction
	var relayed []network.Conn
	d.t.peers.with(e.peer, func(s *peerState) {
		if e.kind == timerFired && e.timer != s.timerID {
			return // it was stopped or set anew meanwhile
		}
		before := len(s.relayed)
		switch e.kind {
		case relayedUp:
			if _, known := s.relayed[e.conn]; known {
				return // it was there when notifications began, and was notified of as well
			}
			s.relayed[e.conn] = e.outbound
		case relayedDown:
			delete(s.relayed, e.conn)
		case directDown:
			delete(s.direct, e.conn)
		}
		d.warmer.relayed += min(len(s.relayed), 1) - min(before, 1)
		for c, outbound := range s.relayed {
			relayed = append(relayed, c)
			view.relayed, view.outbound = true, view.outbound || outbound
		}
		actions = s.upgrade.step(&d.policy, time.Now(), e.upgradeEvent, view)
		for _, a := range actions {
			switch a.kind {
			case stopTimer:
				s.stopTimer()
			case setTimer:
				s.stopTimer()
				d.t.peers.ids++
				s.timerID = d.t.peers.ids
				fired := queuedEvent{peer: e.peer, timer: s.timerID, upgradeEvent: upgradeEvent{kind: timerFired}}
				s.timer = time.AfterFunc(a.wait(), func() { d.enqueue(fired) })
			}
		}
	})
	for _, a := range actions {
		switch a.kind {
		case startAttempt:
			d.attempt(e.peer)
		case retireRelayed:
			d.retire(e.peer, relayed)
		case checkDirect:
			d.check(e.peer)
		case giveUpDirect:
			d.giveUp(e)
		}
	}
}

// stopTimer stops the timer. If it has fired already its event does not count.
func (s *peerState) stopTimer() {
	s.timerID = 0
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (pt *peerTable) stopTimers() {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	for _, s := range pt.states {
		s.stopTimer()
	}
}

// attempt upgrades the relayed connection to p. The outcome is in the trace.
func (d *upgradeDriver) attempt(p peer.ID) {
	ctx, h, end, err := d.t.begin(d.t.ctx)
	if err != nil {
		return
	}
	go func() {
		defer end()
		var err error = ErrPeerFiltered
		if d.t.wants(p) { // not asked by run, which holds up the host's events
			_, err = d.t.connect(ctx, h, p)
		}
		if err != nil {
			d.t.log.Debug("relayed connection was not upgraded", "peer", p, "err", err)
		}
		d.enqueue(queuedEvent{peer: p, upgradeEvent: upgradeEvent{kind: attemptEnded, err: err}})
	}()
}

// giveUp closes the direct connection of an event.
func (d *upgradeDriver) giveUp(e queuedEvent) {
	d.t.log.Info("direct connection closed", "peer", e.peer, "conn", e.conn, "reason", givenUp[e.kind])
	d.t.metrics.directClosed(givenUp[e.kind])
	d.close(e.conn)
}

// close closes a connection. That may have to wait for readers of the host's events.
func (d *upgradeDriver) close(c network.Conn) {
	_, _, end, err := d.t.begin(d.t.ctx)
	if err != nil {
		return
	}
	go func() {
		defer end()
		c.Close()
	}()
}

// retire closes the relayed connections that a direct one has taken the place of, except those
// with streams if these are not to be reset.
func (d *upgradeDriver) retire(p peer.ID, relayed []network.Conn) {
	for _, c := range relayed {
		switch n := len(c.GetStreams()); {
		case n > 0 && !d.policy.reset:
			d.t.log.Debug("relayed connection has open streams, and is kept", "peer", p, "streams", n)
			d.enqueue(queuedEvent{peer: p, conn: c, upgradeEvent: upgradeEvent{kind: streamsOpen}})
			continue
		case n > 0:
			d.holdStreams(p)
		}
		d.t.log.Debug("relayed connection closed: there is a direct one", "peer", p)
		d.t.metrics.relayedClosed()
		d.close(c)
	}
}

// holdStreams has no streams opened or accepted for a while on the direct connections of this
// transport to p.
func (d *upgradeDriver) holdStreams(p peer.ID) {
	for _, c := range d.h.Network().ConnsToPeer(p) {
		var own *conn
		if c.As(&own) {
			own.holdStreams()
		}
	}
}
