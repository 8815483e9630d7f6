package holepunch

import (
	"fmt"
	"slices"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// onFirst handles the message that the peer begins with.
func (s *session) onFirst(m *message) {
	s.attempt = m.attempt
	if m.typ != pb.Message_OFFER {
		s.fail("receive", fmt.Errorf("%w: begins with %s", ErrMalformed, m.typ))
		return
	}
	s.do.setTimer(answerTimer, 0)
	s.do.setTimer(attemptTimer, s.timeout)
	s.state, s.offer, s.theirs, s.offered = preparing, m, m.description, s.now
	s.answerWay = min(m.delay+s.toRelay, maxAnswerWay)
	err := s.do.admitPeer()
	if err == nil {
		err = s.chooseProtocol()
	}
	if err != nil {
		s.fail("admit", err)
		return
	}
	s.prepare()
}

// chooseProtocol chooses the first of the initiator's protocols that this side has. The flight that
// follows the OFFER is of the first one.
func (s *session) chooseProtocol() error {
	offered := s.offer.protocols
	i := slices.IndexFunc(offered, func(p string) bool { return slices.Contains(s.protocols, p) })
	switch {
	case len(offered) == 0 && len(s.protocols) == 0:
	case i < 0:
		return fmt.Errorf("%w: offered %q, want one of %q", ErrNoProtocol, offered, s.protocols)
	default:
		s.protocols = offered[i : i+1]
		s.flightAwaited = i == 0
	}
	return nil
}

func (s *session) sendAnswer() {
	if s.sameSite() {
		s.own.candidates = slices.Concat(s.own.candidates, room(s.own, s.do.lanCandidates()))
	}
	m := &message{typ: pb.Message_ANSWER, round: s.round, description: s.own}
	if s.round == 0 {
		s.do.expect(s.token)
		s.do.connectWith(s.offer.token)
		m.token, m.protocols = s.token, s.protocols
		m.delay = s.now.Sub(s.offered)
	}
	if !s.sendOrFail("answer", m) {
		return
	}
	handshake := s.round == 0 && len(s.protocols) > 0
	first := handshake && s.protocols[0] == s.offer.protocols[0]
	if handshake && !first {
		s.do.restartHandshake(s.protocols[0])
	}
	s.follow(first)
	s.punch()
}

func (s *session) onResponderMessage(m *message) {
	switch {
	case s.chosen, s.doneHeard, s.state == preparing && s.round == 0:
	case m.typ == pb.Message_RETRY && m.round > s.round:
		s.onRetry(m)
	case s.state != punching:
	case m.typ == pb.Message_CROSS && !s.crossHeard: // each costs, so a peer gets one
		s.crossHeard = true
		s.do.cross(m.delay, 0)
	case m.typ == pb.Message_CANDIDATES:
		s.onCandidates(m.candidates)
	}
}

// onRetry begins the round that the initiator asks for.
func (s *session) onRetry(m *message) {
	switch {
	case s.delivered:
		// The caller has a connection on which nothing reaches the initiator.
		s.fail("open", fmt.Errorf("%w: what came up here is of no use to the initiator", ErrNoConnection))
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

// onCandidates adds candidates that come late: those of the initiator's own site, and predicted
// ones that its OFFER promised.
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
