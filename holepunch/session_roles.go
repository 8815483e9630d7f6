package holepunch

import (
	"errors"
	"fmt"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// The initiator's part.

func (s *session) sendOffer() {
	s.do.expect(s.token)
	s.promised = s.own.following
	s.state, s.offered = waiting, s.now
	s.do.setTimer(answerTimer, answerTimeout)
	s.do.setTimer(trailerTimer, trailerPause)
	s.sendOrFail(&message{
		typ: pb.Message_OFFER, description: s.own,
		token: s.token, protocols: s.protocols, flight: s.flight,
	})
}

func (s *session) sendRetry() {
	s.state = waiting
	s.do.setTimer(answerTimer, answerTimeout)
	s.sendOrFail(&message{typ: pb.Message_RETRY, round: s.round, description: s.own})
}

// refuses fails the session if a message that comes in reply to the OFFER is of no attempt of ours:
// who cannot read an OFFER may not know its attempt either.
func (s *session) refuses(m *message) bool {
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
	case m.typ != pb.Message_ANSWER, s.chosen:
	case m.status != StatusOK:
		s.fail(s.op(), m.refusal())
	case s.state == waiting && m.round == s.round:
		s.onAnswer(m)
	}
}

func (s *session) onAnswer(m *message) {
	s.theirs = m.description
	if s.round == 0 {
		s.rtt = s.now.Sub(s.offered)
		s.do.setTimer(retryTimer, window)
		if err := s.agree(m); err != nil {
			s.fail("offer", err)
			return
		}
	}
	if err := s.admit(); err != nil {
		s.fail("admit", err)
		return
	}
	if s.own.following {
		s.state = predicting
		return
	}
	s.punch()
}

// agree takes the token and the handshake of the ANSWER.
func (s *session) agree(m *message) error {
	if m.token == s.token {
		return fmt.Errorf("%w: ANSWER with the token of the OFFER", ErrMalformed)
	}
	if len(m.protocols) == 0 && len(s.protocols) > 0 || len(m.protocols) > 0 && !slices.Contains(s.protocols, m.protocols[0]) {
		return fmt.Errorf("%w: offered %q, answered %q", ErrNoProtocol, s.protocols, m.protocols)
	}
	s.do.connectWith(m.token)
	switch {
	case len(m.protocols) == 0:
	case m.protocols[0] == s.protocols[0]:
		s.do.continueHandshake(m.flight)
	default:
		s.do.restartHandshake(m.protocols[0])
	}
	return nil
}

// sendCandidates names those that the OFFER could not: within the site, which the peer has told of,
// too, and predicted ones.
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

// mayRetry reports whether another round may help after one that failed with err: where a port has to
// be predicted. Otherwise it would but close what is coming up.
func (s *session) mayRetry(err error) bool {
	met := errors.Is(err, ErrNoConnection) || errors.Is(err, ErrHandshake)
	return s.initiator && met && s.predicted() && s.round < maxRounds && !s.lastRound && !s.lost
}

// The responder's part.

// onFirst takes the message that the peer begins with.
func (s *session) onFirst(m *message) {
	s.attempt = m.attempt
	if m.typ != pb.Message_OFFER {
		s.fail("receive", fmt.Errorf("%w: begins with %s", ErrMalformed, m.typ))
		return
	}
	if m.token == s.token {
		s.fail("receive", fmt.Errorf("%w: OFFER with a token of this side", ErrMalformed))
		return
	}
	s.do.setTimer(answerTimer, 0)
	s.do.setTimer(attemptTimer, s.timeout)
	s.state, s.offer, s.theirs = preparing, m, m.description
	if err := s.do.admitPeer(); err != nil {
		s.fail("admit", err)
		return
	}
	if err := s.chooseProtocol(); err != nil {
		s.fail("admit", err)
		return
	}
	s.prepare()
}

// chooseProtocol chooses the first of the initiator's protocols that this side has. The flight in the
// OFFER is of the first one.
func (s *session) chooseProtocol() error {
	offered := s.offer.protocols
	i := slices.IndexFunc(offered, func(p string) bool { return slices.Contains(s.protocols, p) })
	switch {
	case len(offered) == 0 && len(s.protocols) == 0:
		s.flightReady = true
	case i < 0:
		return fmt.Errorf("%w: offered %q, want one of %q", ErrNoProtocol, offered, s.protocols)
	case i == 0:
		s.protocols = offered[:1]
		s.do.startHandshake(offered[0], s.offer.flight)
	default:
		s.protocols = offered[i : i+1]
		s.flightReady = true
	}
	return nil
}

func (s *session) sendAnswer() {
	m := &message{typ: pb.Message_ANSWER, round: s.round, description: s.own}
	if s.round == 0 {
		s.do.expect(s.token)
		s.do.connectWith(s.offer.token)
		m.token, m.protocols, m.flight = s.token, s.protocols, s.flight
	}
	if !s.sendOrFail(m) {
		return
	}
	s.do.setTimer(trailerTimer, trailerPause)
	switch {
	case s.round > 0 || len(s.protocols) == 0:
	case s.protocols[0] == s.offer.protocols[0]:
		s.do.continueHandshake(nil)
	default:
		s.do.restartHandshake(s.protocols[0])
	}
	s.punch()
}

func (s *session) onResponderMessage(m *message) {
	switch {
	case s.chosen:
	case m.typ == pb.Message_RETRY && m.round > s.round:
		s.onRetry(m)
	case s.state != punching:
	case m.typ == pb.Message_CROSS:
		s.do.cross()
	case m.typ == pb.Message_CANDIDATES:
		s.onCandidates(m.candidates)
	}
}

// onRetry begins a round that the initiator asks for.
func (s *session) onRetry(m *message) {
	switch {
	case s.delivered:
		// It has reached the caller and did not get through to the initiator.
		s.fail("open", fmt.Errorf("%w: the initiator has none of those that came up", ErrNoConnection))
		return
	case s.state == preparing:
		s.round, s.theirs = m.round, m.description
		if s.ready {
			if err := s.admit(); err != nil {
				s.fail("admit", err)
			}
		}
		return
	}
	s.nextRound(m.round, errRetried)
	s.theirs = m.description
	s.prepare()
}

var errRetried = fmt.Errorf("%w: the initiator tries again", ErrNoConnection)

// onCandidates adds candidates that come late: those of the initiator's own site, and predicted ones
// that its OFFER promised.
func (s *session) onCandidates(cs []punch.Candidate) {
	late := slices.DeleteFunc(slices.Clone(cs), func(c punch.Candidate) bool {
		return c.Kind != punch.LAN && !(s.theirs.following && isPredicted(c))
	})
	if slices.ContainsFunc(late, isPredicted) {
		s.theirs.candidates = slices.DeleteFunc(slices.Clone(s.theirs.candidates), isPlaceholder)
		s.theirs.following = false
	}
	late = room(s.theirs, late)
	had := s.remote
	s.theirs.candidates = append(slices.Clip(s.theirs.candidates), late...)
	if len(late) == 0 || s.admit() != nil {
		return
	}
	added := slices.DeleteFunc(slices.Clone(s.remote), func(c punch.Candidate) bool { return slices.Contains(had, c) })
	if len(added) > 0 {
		s.do.addCandidates(added)
	}
}
