package holepunch

import (
	"fmt"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

func (s *session) sendOffer() {
	s.do.expect(s.token)
	s.promised = s.own.following
	s.state, s.offered = waiting, s.now
	s.do.setTimer(answerTimer, answerTimeout)
	sent := s.sendOrFail("offer", &message{
		typ: pb.Message_OFFER, description: s.own,
		token: s.token, protocols: s.protocols, delay: s.toRelay,
	})
	if !sent {
		return
	}
	if len(s.protocols) > 0 {
		s.do.startHandshake(s.protocols[0], nil)
	}
	s.follow(len(s.protocols) > 0)
}

func (s *session) sendRetry() {
	s.state, s.offered = waiting, s.now
	s.do.setTimer(answerTimer, answerTimeout)
	s.sendOrFail("retry", &message{typ: pb.Message_RETRY, round: s.round, description: s.own})
}

// onOfferFirst handles an OFFER that comes on the initiator's stream before its own has left.
func (s *session) onOfferFirst(m *message) {
	s.attempt, s.doneSent = m.attempt, true
	s.send(&message{typ: pb.Message_ANSWER, status: StatusGlare})
	s.fail("offer", ErrGlare)
}

// failIfNoReply reports whether a message is no reply to the OFFER, and fails the session then. A
// peer that could not read the OFFER may not know its attempt, so that MALFORMED is a reply of any
// attempt.
func (s *session) failIfNoReply(m *message) bool {
	switch {
	case m.typ == pb.Message_OFFER:
		s.fail("offer", ErrGlare)
	case m.status == StatusMalformed:
		s.fail("offer", m.refusal())
	case m.attempt != s.attempt:
		s.fail("offer", fmt.Errorf("%w: %s of another attempt", ErrMalformed, m.typ))
	default:
		return false
	}
	return true
}

func (s *session) onInitiatorMessage(m *message) {
	switch {
	case m.typ != pb.Message_ANSWER:
	case m.status != StatusOK && (!s.chosen || s.flightAwaited):
		s.fail(s.op(), m.refusal())
	case s.chosen:
	case s.state == waiting && m.round == s.round:
		s.onAnswer(m)
	}
}

func (s *session) onAnswer(m *message) {
	s.theirs = m.description
	rtt := max(s.now.Sub(s.offered)-m.delay, 0)
	if s.round > 0 {
		s.rtt = min(s.rtt, rtt) // one of the two may have stood still
		if s.flightState == flightFailed {
			s.fail("handshake", errFlightFailed)
			return
		}
	} else {
		s.rtt, s.windowEnd = rtt, s.now.Add(s.window)
		s.do.setTimer(retryTimer, s.window)
		if err := s.agreeable(m); err != nil {
			s.fail("offer", err)
			return
		}
	}
	if err := s.admit(); err != nil {
		s.fail("admit", err)
		return
	}
	if s.round == 0 {
		s.agree(m)
	}
	if s.own.following {
		s.state = predicting
		return
	}
	s.punch()
}

// agreeable returns what is wrong with the token or the handshake that the ANSWER names, or nil.
func (s *session) agreeable(m *message) error {
	if m.token == s.token {
		return fmt.Errorf("%w: ANSWER with the token of the OFFER", ErrMalformed)
	}
	if len(m.protocols) == 0 && len(s.protocols) > 0 || len(m.protocols) > 0 && !slices.Contains(s.protocols, m.protocols[0]) {
		return fmt.Errorf("%w: offered %q, answered %q", ErrNoProtocol, s.protocols, m.protocols)
	}
	if len(m.protocols) > 0 && m.protocols[0] == s.protocols[0] && s.flightState == flightFailed {
		return errFlightFailed
	}
	return nil
}

// agree sets the token, and goes on with the handshake that the ANSWER names. It runs only after
// the ANSWER was accepted: with the token set, a connection could be chosen, and the peer would see
// that connection close in place of reading why its ANSWER was refused.
func (s *session) agree(m *message) {
	s.do.connectWith(m.token)
	switch {
	case len(m.protocols) == 0:
	case m.protocols[0] == s.protocols[0]:
		s.flightAwaited = true
	default:
		s.dropFlight()
		s.secured = false // the first one may have needed nothing of the peer
		s.do.restartHandshake(m.protocols[0])
	}
}

// sendCandidates sends the candidates that the OFFER could not have: predicted ones, and those
// within the site, if the ANSWER shows that both peers are at the same site.
func (s *session) sendCandidates() {
	var cs []punch.Candidate
	if s.promised && s.round == 0 {
		cs = append(cs, slices.DeleteFunc(slices.Clone(s.own.candidates), isNotPredicted)...)
	}
	if sameSite(s.own.candidates, s.theirs.candidates) {
		cs = append(cs, s.do.lanCandidates()...)
	}
	if len(cs) > 0 {
		s.send(&message{typ: pb.Message_CANDIDATES, description: description{candidates: cs}})
	}
}
