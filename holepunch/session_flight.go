package holepunch

import (
	"fmt"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// The handshake's first two flights travel in FLIGHT messages of their own, so that OFFER and
// ANSWER fit in one packet. The handshake needs them one direct round trip later than the connects
// need the ANSWER, so a packet of a flight that is lost rarely delays anything.

// flights is the state of a session's own flight, and of its wait for the peer's.
type flights struct {
	flight      []byte // this side's
	flightReady bool   // it is complete
	flightState flightState

	flightAwaited bool   // the handshake begins, or goes on, with the peer's, which has not come
	flightHeld    bool   // an initiator has the peer's before its own is complete
	peerFlight    []byte // while it is held
}

// A flightState says how far FLIGHT is.
type flightState uint8

const (
	noFlight     flightState = iota // none is to be sent yet, or at all
	flightPaused                    // OFFER or ANSWER has just left
	flightDue                       // it leaves when it is complete
	flightSent
	flightFailed // it could not be sent
)

var errFlightFailed = fmt.Errorf("%w: FLIGHT could not be sent", ErrSignalLost)

// follow sends what follows OFFER or ANSWER: FLIGHT, if flight says so, and a TRAILER.
func (s *session) follow(flight bool) {
	if flight {
		s.flightState = flightPaused
		s.do.setTimer(flightTimer, followPause)
	} else {
		s.do.setTimer(trailerTimer, followPause)
	}
}

// dropFlight has FLIGHT not leave, if it has not: the responder has chosen another protocol.
func (s *session) dropFlight() {
	switch s.flightState {
	case flightPaused, flightDue:
		s.do.setTimer(flightTimer, 0)
		s.follow(false)
	}
	s.flightState = noFlight
}

// onFlight handles what the handshake wrote before it waited for the peer.
func (s *session) onFlight(flight []byte) {
	s.flight, s.flightReady = flight, true
	s.sendFlight()
	if s.flightHeld {
		s.flightHeld = false
		s.do.continueHandshake(s.peerFlight)
	}
}

// endFlightPause has FLIGHT leave as soon as it is ready.
func (s *session) endFlightPause() {
	if s.flightState == flightPaused {
		s.flightState = flightDue
		s.sendFlight()
	}
}

// sendFlight sends FLIGHT once it is due and ready.
func (s *session) sendFlight() {
	if s.state == over || s.flightState != flightDue || !s.flightReady {
		return
	}
	err := s.sendWithin(answerTimeout, &message{typ: pb.Message_FLIGHT, flight: s.flight})
	s.flight, s.flightState = nil, flightSent
	if err != nil {
		s.flightState = flightFailed
		switch {
		case s.signalLost:
			s.fail("handshake", errFlightFailed)
		case s.state != waiting: // else the timer is set
			s.do.setTimer(answerTimer, doneTimeout) // the peer may have given up, and says why
		}
		return
	}
	if !s.initiator {
		s.do.continueHandshake(nil)
	}
	s.do.setTimer(trailerTimer, followPause)
}

// onPeerFlight handles the peer's FLIGHT. One that is not awaited is of a protocol that the
// responder has not chosen, or the second.
func (s *session) onPeerFlight(flight []byte) {
	if !s.flightAwaited {
		return
	}
	s.flightAwaited = false
	switch {
	case !s.initiator:
		s.do.startHandshake(s.protocols[0], flight)
	case !s.flightReady:
		// A responder with an empty flight may send that before it has read the initiator's. With
		// the peer's flight the handshake goes on over the stream, and this side's would do so too.
		s.flightHeld, s.peerFlight = true, flight
	default:
		s.do.continueHandshake(flight)
		s.succeed() // the handshake may have needed no more than that
	}
}
