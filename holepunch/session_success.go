package holepunch

import (
	"fmt"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// onUsable handles that the stream is usable: the peer's bytes can arrive.
func (s *session) onUsable() {
	s.usable = true
	s.succeed()
}

// onChosen handles the initiator's choice of a connection. The connection may be one of the round
// before. What was prepared for another round is then not used.
func (s *session) onChosen() {
	if s.state == over {
		return
	}
	s.state, s.usable, s.chosen = punching, true, true
	s.do.endRound()
	if s.initiator {
		s.tellSuccess()
	}
	if s.succeed(); s.doneHeard && s.state != over {
		s.do.setTimer(choiceTimer, choiceDelay) // for the handshake
	}
}

// onSecured handles the end of the handshake.
func (s *session) onSecured(err error) {
	switch {
	case s.state == over:
	case err != nil:
		if ReasonOf(err) == "" {
			err = fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		s.fail("handshake", err)
	default:
		s.secured = true
		s.succeed()
	}
}

// succeed gives the caller the connection once it is secured and chosen. A responder with a
// handshake has it before the choice.
func (s *session) succeed() {
	handshake := len(s.protocols) > 0
	early := handshake && s.usable && !s.initiator && !s.delivered
	if s.state == over || handshake && !s.secured || s.flightAwaited || !s.chosen && !early {
		return
	}
	s.endFlightPause() // before the caller closes the signalling: the peer may need it
	switch {
	case s.flightState == flightFailed:
	case s.chosen:
		s.state = over
		s.do.finish(nil)
	default:
		s.delivered = true
		s.do.deliver()
	}
}

// onStreamEnded handles the end of the stream: a connection was not admitted, or not chosen in
// time.
func (s *session) onStreamEnded(err error) {
	if ReasonOf(err) == "" {
		err = fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	s.fail("open", err)
}

// onElsewhere handles the end of Options.Elsewhere; nil is a connection by other means.
func (s *session) onElsewhere(err error) {
	told := s.elsewhere == elsewhereTold
	s.elsewhere = noElsewhere
	switch {
	case s.delivered:
	case !s.chosen && (err == nil || told), s.chosen && s.flightAwaited && told:
		s.fail("open", ErrElsewhere)
	}
}

// tellSuccess reports the choice to the responder.
func (s *session) tellSuccess() {
	s.doneSent = true
	s.send(&message{typ: pb.Message_DONE})
}
