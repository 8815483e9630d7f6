package transport

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
)

// A portWarmer decides when the agent's ports are kept warm: while there is a relayed connection,
// or a connection to a relay, where a reservation may bring one at any time. It belongs to the
// [upgradeDriver]'s goroutine.
type portWarmer struct {
	relays  map[peer.ID]struct{} // connected peers that are relays
	relayed int                  // peers with relayed connections
	warm    bool
}

func newPortWarmer(h host.Host) portWarmer {
	w := portWarmer{relays: make(map[peer.ID]struct{})}
	for _, p := range h.Network().Peers() {
		if isRelay(h, p) {
			w.relays[p] = struct{}{}
		}
	}
	return w
}

// countRelays records which relays the host is connected to, and reports whether they are others
// now. Only then the agent's observers are looked for anew, for that walks all peers and their
// connections.
func (w *portWarmer) countRelays(e any) (changed bool) {
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

// update has the agent do what is due.
func (w *portWarmer) update(t *Transport) {
	warm := w.relayed+len(w.relays) > 0
	if warm != w.warm && t.cfg.ports > 0 {
		w.warm = warm
		t.agent.SetWarm(warm)
	}
}
