package transport

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"
)

// A watcher tells each peer's [upgrade] what happens to its connections, and does what the upgrade
// decides. It keeps the agent warm while a punch may come: while there
// is a relayed connection, or a connection to a relay, where a reservation may bring one at any time.
//
// The swarm holds a lock while it notifies. So notifications enqueue and return, and one goroutine
// does the rest.
type watcher struct {
	t      *Transport
	h      host.Host
	policy upgradePolicy
	notify *network.NotifyBundle
	sub    event.Subscription
	done   chan struct{} // closed when run has returned

	mu     sync.Mutex
	queue  []watched
	queued chan struct{} // has a value if queue has

	// Of run.
	relays  map[peer.ID]struct{} // connected peers that are relays
	relayed int                  // peers with relayed connections
	warm    bool
}

// A watched is an event in the watcher's queue.
type watched struct {
	peer  peer.ID
	conn  network.Conn // of those of connections
	timer int          // of timerFired: which
	upgradeEvent
}

func newWatcher(t *Transport, h host.Host) (*watcher, error) {
	sub, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerConnectednessChanged),
	}, eventbus.Name("simopen"))
	if err != nil {
		return nil, err
	}
	w := &watcher{
		t:      t,
		h:      h,
		policy: upgradePolicy{grace: t.cfg.grace, onRequest: t.cfg.onRequest},
		sub:    sub,
		done:   make(chan struct{}),
		queued: make(chan struct{}, 1),
		relays: make(map[peer.ID]struct{}),
	}
	w.notify = w.notifiee()
	for _, p := range h.Network().Peers() {
		if isRelay(h, p) {
			w.relays[p] = struct{}{}
		}
	}
	go w.run()
	h.Network().Notify(w.notify)
	for _, c := range h.Network().Conns() {
		w.notify.Connected(nil, c)
	}
	return w, nil
}

// stop is called when the transport's context has ended.
func (w *watcher) stop() {
	w.h.Network().StopNotify(w.notify)
	<-w.done
	w.sub.Close()
}

// notifiee returns what the swarm is to notify.
func (w *watcher) notifiee() *network.NotifyBundle {
	return &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { w.notice(c, relayedUp, directUp) },
		DisconnectedF: func(_ network.Network, c network.Conn) { w.notice(c, relayedDown, directDown) },
	}
}

func (w *watcher) notice(c network.Conn, ifRelayed, ifDirect upgradeEventKind) {
	e := watched{peer: c.RemotePeer(), conn: c, upgradeEvent: upgradeEvent{kind: ifRelayed}}
	if !isRelayed(c) {
		e.kind = ifDirect
	}
	if e.kind == directUp {
		w.t.peers.with(e.peer, (*peerState).wake)
	}
	w.enqueue(e)
}

func (w *watcher) enqueue(e watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, e)
	select {
	case w.queued <- struct{}{}:
	default:
	}
}

func (w *watcher) run() {
	defer close(w.done)
	for {
		w.keepWarm()
		select {
		case <-w.queued:
			w.mu.Lock()
			events := w.queue
			w.queue = nil
			w.mu.Unlock()
			for _, e := range events {
				w.handle(e)
			}
		case e := <-w.sub.Out():
			if w.countRelays(e) {
				w.t.agent.ObserversChanged()
			}
		case <-w.t.ctx.Done():
			w.t.peers.stopTimers()
			return
		}
	}
}

// countRelays records which relays the host is connected to, and reports whether they are others now.
// Only then the agent's observers are looked for anew, for that walks all peers and their connections.
func (w *watcher) countRelays(e any) (changed bool) {
	before := len(w.relays)
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		if slices.Contains(e.Protocols, proto.ProtoIDv2Hop) && !e.Conn.IsClosed() {
			w.relays[e.Peer] = struct{}{}
		}
	case event.EvtPeerConnectednessChanged:
		if e.Connectedness == network.NotConnected {
			delete(w.relays, e.Peer)
		}
	}
	return len(w.relays) != before
}

func (w *watcher) keepWarm() {
	warm := w.relayed+len(w.relays) > 0
	if warm != w.warm && w.t.cfg.ports > 0 {
		w.warm = warm
		w.t.agent.SetWarm(warm)
	}
}

// handle has the peer's upgrade look at an event, and does what it decides.
func (w *watcher) handle(e watched) {
	view := peerView{direct: directConn(w.h, e.peer) != nil}
	if e.kind == relayedUp {
		if e.conn.IsClosed() {
			return // its end may have been queued before
		}
		e.outbound = e.conn.Stat().Direction == network.DirOutbound
	}
	var actions []upgradeAction
	var relayed []network.Conn
	w.t.peers.with(e.peer, func(s *peerState) {
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
		}
		w.relayed += min(len(s.relayed), 1) - min(before, 1)
		for c, outbound := range s.relayed {
			relayed = append(relayed, c)
			view.relayed, view.outbound = true, view.outbound || outbound
		}
		actions = s.upgrade.step(&w.policy, time.Now(), e.upgradeEvent, view)
		for _, a := range actions {
			switch a.kind {
			case stopTimer:
				s.stopTimer()
			case setTimer:
				s.stopTimer()
				w.t.peers.ids++
				s.timerID = w.t.peers.ids
				fired := watched{peer: e.peer, timer: s.timerID, upgradeEvent: upgradeEvent{kind: timerFired}}
				s.timer = time.AfterFunc(a.wait(), func() { w.enqueue(fired) })
			}
		}
	})
	for _, a := range actions {
		switch a.kind {
		case startAttempt:
			w.attempt(e.peer)
		case retireRelayed:
			w.retire(e.peer, relayed)
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

// attempt upgrades the relayed connection to p. What comes of it is in the trace.
func (w *watcher) attempt(p peer.ID) {
	ctx, h, end, err := w.t.begin(w.t.ctx)
	if err != nil {
		return
	}
	go func() {
		defer end()
		var err error = ErrPeerFiltered
		if w.t.wants(p) { // not asked by run, which holds up the host's events
			w.settle(ctx, p)
			_, err = w.t.connect(ctx, h, p)
		}
		if err != nil {
			w.t.log.Debug("relayed connection was not upgraded", "peer", p, "err", err)
		}
		w.enqueue(watched{peer: p, upgradeEvent: upgradeEvent{kind: attemptEnded, err: err}})
	}()
}

// settleTime is a moment for a few goroutines to run, and little against a punch.
const settleTime = 10 * time.Millisecond

// settle lets the swarm's dial end that brought the relayed connection. It does so as soon as those
// return who asked for it, unless somebody joins. With it end the dials of the peer's other
// addresses, which would hold the places that swarm and resource manager have for this peer for as
// long as nobody answers there.
func (w *watcher) settle(ctx context.Context, p peer.ID) {
	others := slices.ContainsFunc(w.h.Peerstore().Addrs(p), func(a ma.Multiaddr) bool {
		_, err := a.ValueForProtocol(ma.P_CIRCUIT)
		return err != nil
	})
	if !others {
		return
	}
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
	}
}

// retire closes the relayed connections that a direct one has taken the place of, and on which there
// are no streams.
func (w *watcher) retire(p peer.ID, relayed []network.Conn) {
	for _, c := range relayed {
		if n := len(c.GetStreams()); n > 0 {
			w.t.log.Debug("relayed connection has open streams, and is kept", "peer", p, "streams", n)
			w.enqueue(watched{peer: p, conn: c, upgradeEvent: upgradeEvent{kind: streamsOpen}})
			continue
		}
		_, _, end, err := w.t.begin(w.t.ctx)
		if err != nil {
			return
		}
		w.t.log.Debug("relayed connection closed: there is a direct one", "peer", p)
		w.t.metrics.relayedClosed()
		go func() { // the close may have to wait for those who read the host's events
			defer end()
			c.Close()
		}()
	}
}
