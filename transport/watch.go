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

// A watcher upgrades relayed connections as they appear and keeps the port warm
// while it may be needed: while there is a relayed connection, or a connection
// to a relay, where a reservation may bring one at any time.
type watcher struct {
	t    *Transport
	h    host.Host
	port *warmPort

	conns  chan network.Conn // of the notifiee: opened or closed
	ended  chan peer.ID      // upgrades
	done   chan struct{}
	notify *network.NotifyBundle
	sub    event.Subscription

	// Owned by run.
	relayed   map[network.Conn]struct{}
	relays    map[peer.ID]struct{} // connected peers that are relays
	upgrading map[peer.ID]bool     // true: another relayed connection came meanwhile
	warm      bool
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
		t:         t,
		h:         h,
		port:      port,
		conns:     make(chan network.Conn),
		ended:     make(chan peer.ID),
		done:      make(chan struct{}),
		sub:       sub,
		relayed:   make(map[network.Conn]struct{}),
		relays:    make(map[peer.ID]struct{}),
		upgrading: make(map[peer.ID]bool),
	}
	changed := func(_ network.Network, c network.Conn) {
		if !isRelayed(c) {
			return
		}
		select {
		case w.conns <- c:
		case <-t.ctx.Done():
		}
	}
	w.notify = &network.NotifyBundle{ConnectedF: changed, DisconnectedF: changed}
	for _, p := range h.Network().Peers() {
		if isRelay(h, p) {
			w.relays[p] = struct{}{}
		}
	}
	go w.run()
	h.Network().Notify(w.notify)
	for _, c := range h.Network().Conns() {
		changed(nil, c)
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
		case c := <-w.conns:
			w.changed(c)
		case p := <-w.ended:
			again := w.upgrading[p]
			delete(w.upgrading, p)
			if again && relayedConn(w.h, p) != nil {
				w.upgrade(p)
			}
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
			return
		}
		if len(w.relays) != relays {
			w.use(0)
		}
	}
}

func (w *watcher) keepWarm() {
	warm := len(w.relayed)+len(w.relays) > 0
	if warm == w.warm {
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
	w.port.spare.use(n)
}

func (w *watcher) changed(c network.Conn) {
	if c.IsClosed() {
		delete(w.relayed, c)
		return
	}
	w.relayed[c] = struct{}{}
	if c.Stat().Direction == network.DirOutbound {
		w.upgrade(c.RemotePeer())
	}
}

// upgrade starts one attempt for a relayed connection that we dialled. What it
// comes to is in the trace; DirectConnect asks again.
func (w *watcher) upgrade(p peer.ID) {
	if directConn(w.h, p) != nil {
		return
	}
	if _, ok := w.upgrading[p]; ok {
		w.upgrading[p] = true
		return
	}
	ctx, h, end, err := w.t.begin(w.t.ctx)
	if err != nil {
		return
	}
	w.upgrading[p] = false
	go func() {
		defer end()
		w.settle(ctx, p)
		if _, err := w.t.connect(ctx, h, p); err != nil {
			log.Debug("relayed connection was not upgraded", "peer", p, "err", err)
		}
		select {
		case w.ended <- p:
		case <-w.t.ctx.Done():
		}
	}()
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
