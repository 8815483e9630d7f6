package holepunch

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// onContextEnded handles the end of the caller's context, or of the attempt's time.
func (s *session) onContextEnded(err error) {
	if !s.delivered {
		s.fail(s.op(), err)
	}
}

// onClosed handles the end of the agent.
func (s *session) onClosed() { s.fail(s.op(), ErrClosed) }

// fail ends the session with an error, and reports it to the peer.
func (s *session) fail(op string, err error) {
	if s.state == over {
		return
	}
	s.tellFailure(err)
	e := &PunchError{Op: op, Err: s.explain(err)}
	switch op {
	case "admit":
		e.Local, e.Remote = s.port, addrsOf(s.theirs.candidates)
	case "open", "handshake":
		e.Local, e.Remote = s.port, addrsOf(s.remote)
	default:
		if s.cause != nil && !errors.Is(err, ErrClosed) {
			e.Err = fmt.Errorf("%w (and %w)", s.cause, e.Err)
		}
	}
	s.state = over
	s.do.finish(e)
}

// explain adds what is known of the two sides to a failure.
func (s *session) explain(err error) error {
	var remote *RemoteError
	if errors.As(err, &remote) && remote.Status == StatusImpossible {
		if reason := cmp.Or(incompatible(s.own.behaviour, remote.Behaviour), impossible(s.own, s.theirs)); reason != nil {
			return reason // which says more than the peer does
		}
		if remote.Behaviour.Egress == stun.No {
			s.theirs.behaviour = remote.Behaviour
		}
	}
	if errors.Is(err, ErrNoConnection) && !s.doneHeard && s.sameSite() && s.lacksHairpin() {
		return fmt.Errorf("%w: %w", ErrNoHairpin, err)
	}
	if ReasonOf(err) == ErrNoConnection {
		return s.explainEgress(err)
	}
	return err
}

// lacksHairpin reports whether the lack of hairpinning explains that a round with a peer at the
// same site has failed. Where nothing is known of the NAT, the round must have been long enough for
// a lost SYN to be repeated.
func (s *session) lacksHairpin() bool {
	h := s.own.behaviour.Hairpin
	return h == stun.No || h == stun.Unknown && s.window >= hairpinWindow
}

// tellFailure reports to the peer how the attempt has ended, so that its user learns the reason at
// once. The peer is a stranger: it gets the status and the sentence that the table of reasons has,
// not the error's text. Once SYNs were sent, the peer learns only that there is no connection. It
// chose the addresses, and a scan is meant to find out whether some host is there.
func (s *session) tellFailure(err error) {
	var remote *RemoteError
	row := ReasonOf(err).row()
	switch {
	case s.doneSent, errors.As(err, &remote):
		return // the peer knows
	case s.initiator && s.state == preparing && s.round == 0, s.state == receiving && row.status != StatusMalformed:
		return // there is no attempt yet that both know
	case row.Reason == "" && errors.Is(err, context.Canceled):
		row.status = StatusCancelled
	case row.Reason == ErrNoConnection && s.own.behaviour.Egress == stun.No && s.egressFiltered():
		row = ErrEgressFiltered.row() // as an observer has shown, and nothing at the peer's candidates
	case row.Reason == ErrGated || row.Reason == ErrResourceLimit: // the peer has shown the token
	case row.Reason == ErrNoSocket: // of this host alone
	case s.state == punching && row.status != StatusOK && row.status != StatusCancelled:
		row = ErrNoConnection.row()
	}
	s.doneSent = true
	m := &message{typ: pb.Message_DONE, status: row.status}
	if row.public {
		m.detail = row.sentence
	}
	if !s.initiator && s.state <= preparing && m.status != StatusOK {
		m.typ = pb.Message_ANSWER
	}
	if m.status == StatusImpossible {
		m.behaviour, m.detail = s.own.behaviour, "" // from which the peer sees the reason
	}
	s.send(m)
}
