package holepunch

import (
	"context"
	"fmt"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// A timer is one of the timers of a session.
type timer uint8

const (
	attemptTimer timer = iota // the whole attempt
	answerTimer               // until the OFFER or ANSWER is overdue, or the reason of a peer that takes no FLIGHT
	flightTimer               // until FLIGHT may leave
	trailerTimer              // until the TRAILER
	crossTimer                // until CROSS, see punch.CrossDelay
	roundTimer                // until the round's connects end
	egressTimer               // until it is found out whether they get out
	retryTimer                // until it is too late for another round
	choiceTimer               // until the choice that the peer has reported, or the end of the handshake after it, is overdue
	numTimers
)

const (
	// answerTimeout is for answerTimer. The peer may have to ask a STUN server first, which takes
	// two RTTs to it when its port is not warm, and a SYN's retransmission (1 s, 3 s) when the path
	// is lossy.
	answerTimeout = 5 * time.Second

	// followPause keeps OFFER and ANSWER apart from FLIGHT, and these from the TRAILER that
	// follows, so that each travels in packets of its own. The loss of one that comes later then
	// holds up none before it, and TCP learns of the loss of any a round trip later (RACK, RFC
	// 8985), and not by its timer, after 200 ms and more. Linux may send writes in one packet that
	// follow each other within some 0.1 ms (autocorking).
	followPause = time.Millisecond

	// egressDelay is how long an attempt may have no connection before the host finds out whether
	// connections get out at all: longer than most punches with a lost SYN take.
	egressDelay = 2 * time.Second

	// choiceDelay is how long a responder waits after DONE with OK for the choice, and after the
	// choice for the end of the handshake: either packet may be lost twice. A responder's whole
	// attempt may take as much longer than an initiator's.
	choiceDelay = 3 * time.Second

	// doneTimeout bounds the writing of a message whose result nothing waits for.
	doneTimeout = time.Second
)

// onTimer handles the end of a timer.
func (s *session) onTimer(t timer) {
	switch {
	case s.state == over:
	case t == attemptTimer:
		s.onContextEnded(context.DeadlineExceeded)
	case t == answerTimer:
		switch {
		case s.flightState == flightFailed:
			s.fail("handshake", errFlightFailed)
		case s.state == receiving:
			s.fail(s.op(), fmt.Errorf("%w: no OFFER within %v", ErrNoAnswer, answerTimeout))
		case s.state == waiting:
			s.fail(s.op(), fmt.Errorf("%w within %v", ErrNoAnswer, answerTimeout))
		}
	case t == flightTimer:
		s.endFlightPause()
	case t == trailerTimer:
		s.send(&message{typ: pb.Message_TRAILER})
	case t == retryTimer:
		s.lastRound = true
	case t == choiceTimer:
		err := fmt.Errorf("%w here, and the initiator has one", ErrNoConnection)
		switch up, _ := s.do.connected(); {
		case up && s.flightAwaited:
			err = fmt.Errorf("%w: the initiator's FLIGHT has not come", ErrSignalLost)
		case up:
			err = ErrSmallPackets
		}
		s.fail("open", err)
	case s.state != punching || s.chosen:
	case t == crossTimer:
		s.cross()
	case t == roundTimer:
		s.do.endRound()
	case t == egressTimer:
		s.suspectEgress()
	}
}
