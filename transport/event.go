package transport

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// EvtPunchStarted is emitted on the host's event bus when an attempt to get a direct connection
// begins: this host's, or a peer's. An [EvtPunchFinished] follows.
//
// As with every event of the bus, subscribers have to read: a queue that is full holds up the
// attempts.
type EvtPunchStarted struct {
	Peer      peer.ID
	Direction network.Direction // outbound: this host is the initiator
}

// EvtPunchFinished is emitted when an attempt is over. The swarm has its connection at that time or
// a moment later: callers that need the swarm's connection call [DirectConnect], or wait for the
// swarm's notification.
type EvtPunchFinished struct {
	Peer      peer.ID
	Direction network.Direction
	Remote    ma.Multiaddr     // the peer's end of the direct connection; nil without one, or if the punch did not make it
	Err       error            // nil: the peers are connected directly; ErrGlare: the peer's own attempt shows whether they are
	Reason    holepunch.Reason // of Err, if it has one
	Took      time.Duration    // from EvtPunchStarted until the connection was usable, or the failure
}

// EvtNATLearnt is emitted when the host has found out, or in vain tried to find out, how its NAT
// behaves. That takes some seconds from when its ports are warm, and a STUN server
// ([WithSTUNServers]). Later subscribers get the last one.
type EvtNATLearnt struct {
	Behaviour stun.Behaviour
	Err       error // why nothing is known
}

// emitters has an emitter for each of the events.
type emitters struct{ started, finished, nat event.Emitter }

func newEmitters(h host.Host) (e emitters, err error) {
	bus := h.EventBus()
	var errs [3]error
	e.started, errs[0] = bus.Emitter(new(EvtPunchStarted))
	e.finished, errs[1] = bus.Emitter(new(EvtPunchFinished))
	e.nat, errs[2] = bus.Emitter(new(EvtNATLearnt), eventbus.Stateful)
	return e, errors.Join(errs[:]...)
}

func (e emitters) Close() {
	for _, e := range []event.Emitter{e.started, e.finished, e.nat} {
		if e != nil {
			e.Close()
		}
	}
}

// learnt emits what a search for the NAT's behaviour has come to. No search begins before Attach.
func (t *Transport) learnt(b stun.Behaviour, err error) {
	if err != nil {
		t.emitters.nat.Emit(EvtNATLearnt{Err: err})
		return
	}
	t.emitters.nat.Emit(EvtNATLearnt{Behaviour: b})
}
