package holepunch

import (
	"errors"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// From the ANSWER on: rounds, and the stream that they are for.

const (
	// maxWindow bounds [roundWindow]. A SYN lost twice is back after 3 s (older kernels retransmit
	// at 1, 3 and 7 s), and NATs hold an unsolicited SYN for 6 s (RFC 5382, REQ-4).
	maxWindow = 10 * time.Second

	// hairpinWindow is the shortest window that shows that a NAT does not hairpin, if nothing is
	// known of it. A SYN within a network leaves up to 0.5 s late, and is repeated after 1 s.
	hairpinWindow = 2 * time.Second

	// predictedWindow is how long a round with a predicted port goes on. A right prediction
	// succeeds within a round trip or two, or after one lost SYN (1 s); a wrong one never does. A
	// further round predicts the port again. The same holds for a side that has to let SYNs in,
	// since its own do not get out.
	predictedWindow = 1500 * time.Millisecond

	// minRound is the least time for a round after spoiled pairs, which has what is left of the
	// window. The SYNs meet at once.
	minRound = time.Second
)

// roundWindow returns how long a round of an attempt goes on, and how long after the ANSWER another
// may begin: two thirds of the attempt's time. The rest is for signalling and handshake. If these
// do not take longer, the round ends first, and what came of its connects is the attempt's reason.
func roundWindow(attempt time.Duration) time.Duration { return min(attempt*2/3, maxWindow) }

// punch begins the round.
func (s *session) punch() {
	if s.initiator {
		s.sendCandidates()
	}
	s.state = punching
	s.offer = nil // of no more use
	s.do.trace(Event{Kind: Offered, Local: s.port, Own: addrsOf(s.own.candidates), Theirs: addrsOf(s.remote)})
	if _, chosen := s.do.connected(); chosen {
		s.onChosen() // an initiator has accepted it before it had the ANSWER
		return
	}
	spec := s.roundSpec()
	s.do.startRound(spec)
	s.do.setTimer(roundTimer, spec.window)
	switch {
	case s.initiator && spec.atCross:
		s.cross()
	case s.initiator:
		delay := punch.CrossDelay(s.rtt)
		s.crossDue = s.now.Add(delay)
		s.do.setTimer(crossTimer, delay)
	}
	if s.round == 0 || spec.atCross {
		s.do.setTimer(egressTimer, egressDelay)
	}
	if s.elsewhere == elsewhereUnasked {
		s.elsewhere = elsewhereAsked
		s.do.elsewhere(listenersOf(s.remote), Compatibility(s.own.behaviour, s.theirs.behaviour).Possible())
	}
}

// onRefused handles that a SYN was refused. CROSS leaves earlier then, by the quiet time after it.
func (s *session) onRefused() {
	if !s.initiator || s.state != punching || s.chosen || s.crossDue.IsZero() {
		return
	}
	if wait := s.crossDue.Sub(s.now) - s.do.quiet(); wait > 0 {
		s.do.setTimer(crossTimer, wait)
	} else {
		s.cross()
	}
}

// cross begins the crossed pairs, or all of a round, at both sides at one moment. If SYNs were
// refused all connects are quiet before that.
func (s *session) cross() {
	s.crossDue = time.Time{}
	s.do.setTimer(crossTimer, 0)
	quiet := s.do.quiet()
	s.send(&message{typ: pb.Message_CROSS, delay: quiet})
	s.do.cross(quiet, s.rtt/2)
}

// onShort handles that there is no socket for any connect of the round.
func (s *session) onShort() {
	if s.state == punching && !s.chosen {
		s.do.endRound()
	}
}

// onRoundEnded handles the end of a round that endRound has ended after its window. Its connects
// have ended, and so have all connections that the initiator could still choose. A stream that is
// usable nevertheless ends by itself if no connection is chosen.
func (s *session) onRoundEnded(number int, r punch.Result) {
	if s.state != punching || number != s.round || s.usable {
		return
	}
	err := roundError(r)
	if s.mayRetry(err) {
		s.nextRound(s.round+1, err)
		s.prepare()
	} else {
		s.fail("open", err)
	}
}

// nextRound ends the round, since another one follows.
func (s *session) nextRound(number int, err error) {
	s.do.endRound()
	s.do.setTimer(roundTimer, 0)
	s.do.setTimer(crossTimer, 0)
	s.do.trace(Event{Kind: RoundFailed, Local: s.port, Err: err})
	s.round, s.cause, s.spoiled, s.crossHeard = number, err, false, false
}

// mayRetry reports whether another round may help after one that failed with err: where a port has
// to be predicted, or the pairs are spoiled. Otherwise a round would only close what is coming up.
func (s *session) mayRetry(err error) bool {
	tried := errors.Is(err, ErrNoConnection) || errors.Is(err, ErrHandshake)
	return tried && (s.predicted() || s.spoiled) && s.roundsLeft()
}

// roundsLeft reports whether there may be another round at all.
func (s *session) roundsLeft() bool {
	return s.initiator && !s.egressFiltered() && s.round < maxRounds && !s.lastRound && !s.signalLost
}

// onSpoiled handles that the NATs have refused all pairs time and again, the crossed ones as well.
// An initiator begins a round on fresh ports then, of one side at least. It takes no more SYNs than
// the bursts of repeats in its place, and no more time.
func (s *session) onSpoiled() {
	if s.state != punching || s.usable || s.predicted() || s.guess != punch.NoGuess || !s.roundsLeft() {
		return
	}
	theirs := s.theirs.behaviour
	fresh := s.own.preserved || theirs.Mapping == stun.EIM && theirs.Ports == stun.Preserved
	if signalling := 2 * s.rtt; fresh && s.windowEnd.Sub(s.now) >= signalling+minRound {
		s.spoiled = true
		s.do.endRound()
	}
}
