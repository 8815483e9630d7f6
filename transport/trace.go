package transport

import (
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// What [WithTracer] reports besides the kinds of [holepunch.EventKind].
const (
	// Offered: the peer's candidates are known; punching begins. An attempt that
	// is made in several rounds has one for each.
	Offered holepunch.EventKind = "offered"
	// Finished: the attempt, or a round of it, is over; Err is nil if the connection
	// is direct.
	Finished holepunch.EventKind = "finished"
)

// An Event is one step of a punch.
type Event struct {
	Peer      peer.ID
	Direction network.Direction // outbound: we are the initiator
	Kind      holepunch.EventKind
	Port      uint16         // local port; of Offered and Finished, the first of them
	Own       []ma.Multiaddr // of Offered: our candidates
	Theirs    []ma.Multiaddr // of Offered: the peer's candidates that may be dialled
	Remote    ma.Multiaddr   // the other end, of a connect or connection
	Err       error
}

// tracer reports the events of one attempt, which punches from port first of all.
func (t *Transport) tracer(p peer.ID, dir network.Direction, port uint16) func(Event) {
	return func(e Event) {
		e.Peer, e.Direction = p, dir
		if e.Port == 0 {
			e.Port = port
		}
		log.Debug("punch", "peer", p, "direction", dir, "step", e.Kind, "port", e.Port,
			"own", e.Own, "theirs", e.Theirs, "remote", e.Remote, "err", e.Err)
		if t.cfg.tracer != nil {
			t.cfg.tracer(e)
		}
	}
}

func punchTrace(trace func(Event)) func(holepunch.Event) {
	return func(e holepunch.Event) {
		trace(Event{Kind: e.Kind, Port: e.Local, Remote: toMultiaddr(e.Remote), Err: e.Err})
	}
}

func offered(own, theirs []holepunch.Candidate) Event {
	return Event{Kind: Offered, Own: toMultiaddrs(own), Theirs: toMultiaddrs(theirs)}
}
