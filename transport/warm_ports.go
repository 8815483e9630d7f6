package transport

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A portWarmer decides when the agent's ports are kept warm: while there is a relayed connection,
// or a connection to a relay, where a reservation may bring one at any time. It also reports to the
// agent what the host's own connections show. It belongs to the [upgradeDriver]'s goroutine.
type portWarmer struct {
	relays  map[peer.ID]struct{} // connected peers that are relays
	relayed int                  // peers with relayed connections
	conns   observedConns
	warm    bool
	swept   time.Time // when what relays have refused was last looked through
}

func newPortWarmer(h host.Host) portWarmer {
	w := portWarmer{relays: make(map[peer.ID]struct{}), conns: make(observedConns)}
	for _, p := range h.Network().Peers() {
		if isRelay(h, p) {
			w.relays[p] = struct{}{}
		}
	}
	return w
}

// take takes an event of the host.
func (w *portWarmer) take(t *Transport, h host.Host, e any) {
	changed := false
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		if changed = w.identified(e); changed {
			t.peers.observerBack(e.Peer, t.waits)
		}
		if _, relay := w.relays[e.Peer]; relay && !isRelayed(e.Conn) {
			t.measureRelay(e.Conn)
		}
		if isRelayed(e.Conn) && slices.Contains(e.Protocols, holepunch.Protocol) {
			t.agent.Prepare()
		}
	case event.EvtPeerConnectednessChanged:
		if changed = w.changed(e); changed {
			t.peers.observerLost(e.Peer)
			t.peers.unmeasured(e.Peer)
			if time.Since(w.swept) > t.waits.most {
				w.swept = time.Now()
				t.peers.forgetBackoffs(t.waits)
			}
		}
	}
	if changed {
		t.agent.SetConns(w.conns.best(t, h))
	}
}

// closed takes the end of a direct connection.
func (w *portWarmer) closed(t *Transport, h host.Host, c network.Conn) {
	if w.conns.remove(c) {
		t.agent.SetConns(w.conns.best(t, h))
	}
}

// identified records what identify has shown about a connection, and reports whether that is new.
func (w *portWarmer) identified(e event.EvtPeerIdentificationCompleted) (news bool) {
	before := len(w.relays)
	if slices.Contains(e.Protocols, proto.ProtoIDv2Hop) && !e.Conn.IsClosed() {
		w.relays[e.Peer] = struct{}{}
	}
	return w.conns.add(e) || len(w.relays) != before
}

// changed records whether the host is connected to a relay, and reports whether it is no more.
func (w *portWarmer) changed(e event.EvtPeerConnectednessChanged) (lost bool) {
	before := len(w.relays)
	if e.Connectedness == network.NotConnected {
		delete(w.relays, e.Peer)
	}
	return len(w.relays) != before
}

// update has the agent do what is due.
func (w *portWarmer) update(t *Transport) {
	warm := w.relayed+len(w.relays) > 0
	if warm != w.warm && t.cfg.ports > 0 {
		w.warm = warm
		t.agent.SetWarm(warm)
	}
}
