package transport

import (
	"context"
	"errors"
	"log/slog"
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
// Subscribers have to read, as with every event of the bus: a full queue holds up the attempts, and
// with them the closing of the host.
type EvtPunchStarted struct {
	Peer      peer.ID
	Direction network.Direction // outbound: this host is the initiator
}

// EvtPunchFinished is emitted when an attempt is over. The swarm has its connection at that time or
// a moment later. Subscribers that need the swarm's connection call [DirectConnect], or wait for
// the swarm's notification.
type EvtPunchFinished struct {
	Peer      peer.ID
	Direction network.Direction

	// Remote is the peer's end of the direct connection. It is nil after a failure, and for a
	// connection by an ordinary listener of this host or of the peer.
	Remote ma.Multiaddr

	Err    error            // nil: the peers are connected directly; ErrGlare: the peer's own attempt shows whether they are
	Reason holepunch.Reason // of Err, if it has one
	Took   time.Duration    // from EvtPunchStarted until the connection was usable, or the failure
}

// EvtNATLearnt is emitted when a search for the behaviour of the host's NAT has ended, some seconds
// after its ports are warm. The search needs a STUN server ([WithSTUNServers]). Later subscribers
// get the last event.
type EvtNATLearnt struct {
	Behaviour stun.Behaviour // what is known, from earlier searches as well
	Err       error          // why this search found nothing, or not all; another follows
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

// learnt emits the result of a search for the NAT's behaviour. No search begins before Attach.
func (t *Transport) learnt(b stun.Behaviour, err error) {
	t.emitters.nat.Emit(EvtNATLearnt{Behaviour: b, Err: err})
}

// What [WithTracer] reports besides the kinds of [holepunch.EventKind].
const (
	// Started: an attempt begins.
	Started holepunch.EventKind = "started"
	// Offered: both sides' candidates are known; the punch of a round begins.
	Offered = holepunch.Offered
	// RoundFailed: a round is over, for the reason Err, and another one begins.
	RoundFailed = holepunch.RoundFailed
	// Finished: the attempt is over; Err is nil if the peers are connected directly. Steps of its
	// TCP connections that were given up may still follow.
	Finished holepunch.EventKind = "finished"
)

// An Event is one step of an attempt.
type Event struct {
	Peer      peer.ID
	Direction network.Direction // outbound: this host is the initiator
	Kind      holepunch.EventKind
	Port      uint16         // local port; of Offered and RoundFailed, the first of them; 0 of Started and Finished
	Own       []ma.Multiaddr // of Offered: this host's candidates
	Theirs    []ma.Multiaddr // of Offered: the peer's candidates that may be dialled
	Remote    ma.Multiaddr   // the other end of a connect or connection
	Err       error
}

// A report passes the events of one attempt to the tracer, the event bus, the metrics and the log.
type report struct {
	t     *Transport
	peer  peer.ID
	dir   network.Direction
	began time.Time
}

// started begins the report of an attempt; finished must be called.
func (t *Transport) started(p peer.ID, dir network.Direction) *report {
	r := &report{t, p, dir, time.Now()}
	t.emitters.started.Emit(EvtPunchStarted{Peer: p, Direction: dir})
	t.metrics.started(dir)
	r.trace(Event{Kind: Started})
	return r
}

// took returns how long ago the attempt began.
func (r *report) took() time.Duration { return time.Since(r.began) }

// finished ends the report of an attempt that took that long. Remote is the other end of the
// connection, nil if it is not known.
func (r *report) finished(took time.Duration, remote ma.Multiaddr, err error) {
	r.trace(Event{Kind: Finished, Remote: remote, Err: err})
	reason := holepunch.ReasonOf(err)
	r.t.metrics.finished(r.dir, err, reason, took)
	r.t.emitters.finished.Emit(EvtPunchFinished{
		Peer:      r.peer,
		Direction: r.dir,
		Remote:    remote,
		Err:       err,
		Reason:    reason,
		Took:      took,
	})
}

// step reports what the agent traces.
func (r *report) step(e holepunch.Event) {
	if r.t.cfg.tracer == nil && !r.t.log.Enabled(context.Background(), slog.LevelDebug) {
		return // there are hundreds of steps when ports are guessed
	}
	r.trace(Event{
		Kind:   e.Kind,
		Port:   e.Local,
		Own:    toMultiaddrs(e.Own),
		Theirs: toMultiaddrs(e.Theirs),
		Remote: toMultiaddr(e.Remote),
		Err:    e.Err,
	})
}

func (r *report) trace(e Event) {
	e.Peer, e.Direction = r.peer, r.dir
	r.t.log.Debug("punch", "peer", e.Peer, "direction", e.Direction, "step", e.Kind, "port", e.Port,
		"own", e.Own, "theirs", e.Theirs, "remote", e.Remote, "err", e.Err)
	if r.t.cfg.tracer != nil {
		r.t.cfg.tracer(e)
	}
}
