package transport

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// What [WithTracer] reports besides the kinds of [holepunch.EventKind].
const (
	// Started: an attempt begins.
	Started holepunch.EventKind = "started"
	// Offered: the peer's candidates are known; punching begins. An attempt that
	// is made in several rounds has one for each.
	Offered holepunch.EventKind = "offered"
	// RoundFailed: a round is over, for the reason Err, and another begins.
	RoundFailed holepunch.EventKind = "round failed"
	// Finished: the attempt is over; Err is nil if the peers are connected directly.
	Finished holepunch.EventKind = "finished"
)

// An Event is one step of a punch.
type Event struct {
	Peer      peer.ID
	Direction network.Direction // outbound: we are the initiator
	Kind      holepunch.EventKind
	Port      uint16         // local port; of Offered and RoundFailed, the first of them; 0 of Started and Finished
	Own       []ma.Multiaddr // of Offered: our candidates
	Theirs    []ma.Multiaddr // of Offered: the peer's candidates that may be dialled
	Remote    ma.Multiaddr   // the other end, of a connect or connection
	Err       error
}

// A report tells of one attempt to all who want to know: the tracer, the event bus,
// the metrics and the log.
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

// finished ends the report. Remote is the other end of the connection, if that is known.
func (r *report) finished(remote ma.Multiaddr, err error) {
	took := time.Since(r.began)
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

func (r *report) trace(e Event) {
	e.Peer, e.Direction = r.peer, r.dir
	r.t.log.Debug("punch", "peer", e.Peer, "direction", e.Direction, "step", e.Kind, "port", e.Port,
		"own", e.Own, "theirs", e.Theirs, "remote", e.Remote, "err", e.Err)
	if r.t.cfg.tracer != nil {
		r.t.cfg.tracer(e)
	}
}

func punchTrace(trace func(Event)) func(holepunch.Event) {
	return func(e holepunch.Event) {
		trace(Event{Kind: e.Kind, Port: e.Local, Remote: toMultiaddr(e.Remote), Err: e.Err})
	}
}
