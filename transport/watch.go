package transport

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"
)

// A watcher upgrades relayed connections as they appear and closes them when they are not
// needed any more; see link. It keeps the port warm while it may be needed: while there is a
// relayed connection, or a connection to a relay, where a reservation may bring one at any
// time.
type watcher struct {
	t    *Transport
	h    host.Host
	port *warmPort

	opened chan network.Conn // of the notifiee
	closed chan network.Conn // and after that
	ended  chan ended        // upgrades
	due    chan due          // timers of links
	done   chan struct{}
	notify *network.NotifyBundle
	sub    event.Subscription

	// Owned by run.
	links  map[peer.ID]*link
	relays map[peer.ID]struct{} // connected peers that are relays
	warm   bool
}

// ended says how the upgrade of a link went.
type ended struct {
	*link
	err error
}

func newWatcher(t *Transport, h host.Host) (*watcher, error) {
	port, err := t.dialPort()
	if err != nil {
		return nil, err
	}
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
		port:   port,
		opened: make(chan network.Conn),
		closed: make(chan network.Conn),
		ended:  make(chan ended),
		due:    make(chan due),
		done:   make(chan struct{}),
		sub:    sub,
		links:  make(map[peer.ID]*link),
		relays: make(map[peer.ID]struct{}),
	}
	to := func(conns chan<- network.Conn) func(network.Network, network.Conn) {
		return func(_ network.Network, c network.Conn) {
			select {
			case conns <- c:
			case <-t.ctx.Done():
			}
		}
	}
	w.notify = &network.NotifyBundle{ConnectedF: to(w.opened), DisconnectedF: to(w.closed)}
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

func (w *watcher) run() {
	defer close(w.done)
	for {
		w.keepWarm()
		relays := len(w.relays)
		select {
		case c := <-w.opened:
			w.open(c)
		case c := <-w.closed:
			w.close(c)
		case e := <-w.ended:
			w.upgraded(e.link, e.err)
		case d := <-w.due:
			w.look(d)
		case e := <-w.sub.Out():
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
		case <-w.t.ctx.Done():
			for _, l := range w.links {
				l.disarm()
			}
			return
		}
		if len(w.relays) != relays {
			w.use(0)
		}
	}
}

func (w *watcher) keepWarm() {
	warm := len(w.links)+len(w.relays) > 0
	if warm == w.warm || w.t.cfg.ports == 0 {
		return
	}
	w.warm = warm
	if warm {
		w.use(1)
		w.t.learnNAT()
	} else {
		w.use(-1)
	}
}

func (w *watcher) use(n int) {
	w.port.use(n)
	if w.port.spare != nil {
		w.port.spare.use(n)
	}
}

func (w *watcher) open(c network.Conn) {
	l := w.links[c.RemotePeer()]
	if !isRelayed(c) {
		if l != nil {
			w.gained(l)
		}
		return
	}
	if c.IsClosed() {
		return // its end was told before we listened
	}
	if l == nil {
		l = &link{peer: c.RemotePeer(), relayed: make(map[network.Conn]struct{})}
		w.links[l.peer] = l
	}
	l.relayed[c] = struct{}{}
	if directConn(w.h, l.peer) != nil {
		w.gained(l)
	} else if c.Stat().Direction == network.DirOutbound {
		w.upgrade(l)
	}
}

func (w *watcher) close(c network.Conn) {
	l := w.links[c.RemotePeer()]
	if l == nil {
		return
	}
	if !isRelayed(c) {
		w.lost(l)
		return
	}
	delete(l.relayed, c)
	w.forget(l)
}

// forget ends a link without a relayed connection. During an attempt it waits for that: another relayed
// connection, which takes the place of one that broke, would join the attempt that breaks with it.
func (w *watcher) forget(l *link) {
	if len(l.relayed) > 0 {
		return
	}
	l.disarm()
	if !l.upgrading {
		delete(w.links, l.peer)
	}
}

// look is called when a link's time has come.
func (w *watcher) look(d due) {
	switch {
	case w.links[d.peer] != d.link || d.turn != d.link.turn:
	case d.since.IsZero():
		w.upgrade(d.link)
	case directConn(w.h, d.peer) != nil: // else its end is still to be told
		w.retire(d.link)
	}
}

// upgrade starts an attempt for a relayed connection that we dialled. What it
// comes to is in the trace.
func (w *watcher) upgrade(l *link) {
	relayed := relayedConn(w.h, l.peer)
	if relayed == nil || relayed.Stat().Direction != network.DirOutbound || directConn(w.h, l.peer) != nil ||
		w.t.cfg.onRequest {
		return
	}
	if l.upgrading {
		l.again = true
		return
	}
	ctx, h, end, err := w.t.begin(w.t.ctx)
	if err != nil {
		return
	}
	l.disarm()
	l.upgrading, l.again = true, false
	go func() {
		defer end()
		var err error = ErrPeerFiltered
		if w.t.wants(l.peer) { // not asked by run, which holds up the host's events
			w.settle(ctx, l.peer)
			_, err = w.t.connect(ctx, h, l.peer)
		}
		if err != nil {
			w.t.log.Debug("relayed connection was not upgraded", "peer", l.peer, "err", err)
		}
		select {
		case w.ended <- ended{l, err}:
		case <-w.t.ctx.Done():
		}
	}()
}

// upgraded takes note of how that went.
func (w *watcher) upgraded(l *link, err error) {
	l.upgrading = false
	switch {
	case len(l.relayed) == 0:
		w.forget(l)
	case !l.since.IsZero(): // a direct connection is there, or its end is still to be told
	case l.again: // also where a connection was made: it may have died since
		w.upgrade(l)
	case err != nil && passing(err):
		w.repeat(l, failedWait)
	}
}

// settle lets the swarm's dial end that brought the relayed connection. It does
// so as soon as those return who asked for it, unless somebody joins; and with it
// end the dials of the peer's other addresses, which would hold the places that
// swarm and resource manager have for this peer for as long as nobody answers
// there.
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

// settleTime is a moment for a few goroutines to run, and little against a punch.
const settleTime = 10 * time.Millisecond
