package transport

import (
	"maps"
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
	relays  map[peer.ID]map[network.Conn]bool // the direct connections to relays
	relayed int                               // peers with relayed connections
	conns   observedConns
	warm    bool
	swept   time.Time // when what relays have refused was last looked through
}

// newPortWarmer must be called after notifications have begun: a connection that ends before would
// stay in relays.
func newPortWarmer(h host.Host) portWarmer {
	w := portWarmer{relays: make(map[peer.ID]map[network.Conn]bool), conns: make(observedConns)}
	for _, c := range h.Network().Conns() {
		if isRelay(h, c.RemotePeer()) {
			w.addRelay(c)
		}
	}
	return w
}

// identified takes the end of an identify.
func (w *portWarmer) identified(t *Transport, h host.Host, e event.EvtPeerIdentificationCompleted) {
	relay := slices.Contains(e.Protocols, proto.ProtoIDv2Hop)
	back := relay && w.addRelay(e.Conn)
	if news := w.conns.add(e); news || back {
		t.peers.observerBack(e.Peer, t.waits)
		t.agent.SetConns(w.conns.best(t, h))
	}
	if w.relays[e.Peer][e.Conn] {
		t.measureRelay(e.Conn)
	}
	if isRelayed(e.Conn) && slices.Contains(e.Protocols, holepunch.Protocol) {
		t.agent.Prepare()
	}
}

// closed takes the end of a direct connection.
func (w *portWarmer) closed(t *Transport, h host.Host, c network.Conn) {
	p := c.RemotePeer()
	relay := w.relays[p][c]
	if relay {
		left := w.removeRelay(c)
		// A relay that restarts ends all. There may be a new connection before the end of the old
		// one is noticed.
		isOld := func(c network.Conn) bool { return time.Since(c.Stat().Opened) > t.waits.back }
		if !slices.ContainsFunc(left, isOld) {
			t.peers.observerLost(p, len(left) > 0, t.waits)
		}
		if len(left) == 0 {
			t.peers.unmeasured(p)
		}
		if time.Since(w.swept) > t.waits.most {
			w.swept = time.Now()
			t.peers.forgetBackoffs(t.waits)
		}
	}
	if w.conns.remove(c) || relay {
		t.agent.SetConns(w.conns.best(t, h))
	}
}

// addRelay records a connection to a relay if it is direct and open, and reports whether there was
// none to that relay before.
func (w *portWarmer) addRelay(c network.Conn) (first bool) {
	if isRelayed(c) || c.IsClosed() {
		return false
	}
	p := c.RemotePeer()
	if first = w.relays[p] == nil; first {
		w.relays[p] = make(map[network.Conn]bool)
	}
	w.relays[p][c] = true
	return first
}

// removeRelay removes a connection to a relay, and returns the others.
func (w *portWarmer) removeRelay(c network.Conn) (left []network.Conn) {
	p := c.RemotePeer()
	delete(w.relays[p], c)
	if left = slices.Collect(maps.Keys(w.relays[p])); len(left) == 0 {
		delete(w.relays, p)
	}
	return left
}

// update has the agent do what is due.
func (w *portWarmer) update(t *Transport) {
	warm := w.relayed+len(w.relays) > 0
	if warm != w.warm && t.cfg.ports > 0 {
		w.warm = warm
		t.agent.SetWarm(warm)
	}
}
