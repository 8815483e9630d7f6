package holepunch

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// TestOwnFlight: FLIGHT leaves once, when it is ready and some time after OFFER or ANSWER. A
// TRAILER follows it.
func TestOwnFlight(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		for _, readyFirst := range []bool{true, false} {
			s, r := newSession(initiator, "/noise")
			if initiator {
				s.onGathered(ours, 40000, nil)
			} else {
				s.onMessage(received("offer"))
				s.onMessage(received("flight")) // it may come before the ANSWER leaves
				r.want(t, "gather", fmt.Sprintf("start handshake /noise %q", testFlight))
				s.onGathered(theirs, 50000, nil)
			}
			if r.armed[flightTimer] != followPause || r.armed[trailerTimer] != 0 {
				t.Errorf("initiator %v: the timers are set to %v", initiator, r.armed)
			}
			r.did = nil
			first, second := func() { s.onFlight(testFlight) }, func() { s.onTimer(flightTimer) }
			if !readyFirst {
				first, second = second, first
			}
			first()
			r.want(t)
			second()
			want := []string{"FLIGHT", `continue handshake ""`}
			if initiator {
				want = want[:1]
			}
			r.want(t, want...)
			if m := r.sent[len(r.sent)-1]; string(m.flight) != string(testFlight) || r.armed[trailerTimer] != followPause || r.within != answerTimeout {
				t.Errorf("initiator %v: sent %+v within %v, the timers are set to %v", initiator, m, r.within, r.armed)
			}
		}
	}
}

// TestNoFlight: without a handshake, and in another than the initiator's first, the responder sends
// no FLIGHT, and ignores the initiator's.
func TestNoFlight(t *testing.T) {
	t.Parallel()
	for _, protocols := range [][]string{nil, {"/tls/1.0.0"}} {
		s, r := newSession(false, protocols...)
		offer := received("offer")
		if protocols == nil {
			plain(offer)
		}
		s.onMessage(offer)
		s.onMessage(received("flight"))
		s.onGathered(theirs, 50000, nil)
		if r.armed[flightTimer] != 0 || r.armed[trailerTimer] != followPause {
			t.Errorf("with %q the timers are set to %v", protocols, r.armed)
		}
		r.did = nil
		s.onMessage(received("flight"))
		r.want(t)
	}
}

// TestPeerFlight: an initiator takes one FLIGHT, of the protocol that the ANSWER has chosen.
func TestPeerFlight(t *testing.T) {
	t.Parallel()
	s, r := newSession(true, "/noise", "/tls/1.0.0")
	s.onGathered(ours, 40000, nil)
	s.onFlight(testFlight)
	s.onMessage(received("flight", replying)) // before the ANSWER
	s.onMessage(received("answer"))
	r.did = nil
	s.onMessage(received("flight", replying))
	s.onMessage(received("flight"))
	r.want(t, fmt.Sprintf("continue handshake %q", answerFlight))

	s, r = newSession(true, "/noise", "/tls/1.0.0")
	s.onGathered(ours, 40000, nil)
	s.onMessage(received("other"))
	r.did = nil
	s.onMessage(received("flight", replying))
	r.want(t)
}

// TestPeerFlightFirst: a responder without a flight may send FLIGHT before it has read the
// initiator's. That leaves all the same, and before the handshake goes on.
func TestPeerFlightFirst(t *testing.T) {
	t.Parallel()
	s, r := flightSession(true)
	s.onTimer(flightTimer)
	r.did = nil
	s.onMessage(received("empty"))
	s.onMessage(received("flight", replying)) // the second is ignored
	r.want(t)
	s.onFlight(testFlight)
	r.want(t, "FLIGHT", `continue handshake ""`)
}

// TestOtherProtocol: where the responder has chosen another protocol, the first one's flight is of
// no use, and its end is not the other one's.
func TestOtherProtocol(t *testing.T) {
	t.Parallel()
	s, r := newSession(true, "/noise", "/tls/1.0.0")
	s.onGathered(ours, 40000, nil)
	s.onFlight(testFlight)
	s.onSecured(nil) // it has needed nothing of the peer
	r.did = nil
	s.onMessage(received("other"))
	r.want(t, "connect with", "restart handshake /tls/1.0.0", "trace offered", "round 0")
	if r.armed[flightTimer] != 0 || r.armed[trailerTimer] != followPause {
		t.Errorf("the timers are set to %v", r.armed)
	}
	s.onTimer(flightTimer)
	s.onChosen()
	r.want(t, "end round", "DONE")
	s.onSecured(nil)
	r.want(t, "finish")

	s, r = newSession(true, "/noise", "/tls/1.0.0")
	s.onGathered(ours, 40000, nil)
	s.onTimer(flightTimer) // it is not ready
	s.onMessage(received("other"))
	if r.armed[trailerTimer] != followPause {
		t.Errorf("before the flight was ready: the timers are set to %v", r.armed)
	}

	s, r = newSession(true, "/noise", "/tls/1.0.0")
	s.onGathered(ours, 40000, nil)
	s.onFlight(testFlight)
	r.sendErr = ErrSignalLost
	s.onTimer(flightTimer) // it cannot be sent
	s.onMessage(received("other"))
	s.onTimer(answerTimer)
	s.onSignalLost(nil, ErrSignalLost)
	if r.err != nil || len(r.rounds) != 1 {
		t.Errorf("did %q, %v, want to go on without the flight", r.did, r.err)
	}
}

// TestChosenWithoutFlight: where an initiator has chosen a connection, and the responder's FLIGHT
// has not come, what the responder says counts.
func TestChosenWithoutFlight(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply *message
		want  Reason
	}{
		"it has failed":                     {received("done", inStatus(StatusFailed)), ErrNoConnection},
		"it has refused a further round":    {received("refusal", inRound(1)), ErrNoAddress},
		"it has a connection by a listener": {received("done"), ErrElsewhere},
	} {
		s, r := flightSession(true)
		s.onChosen()
		s.onMessage(tc.reply)
		if r.err == nil || r.err.Reason() != tc.want {
			t.Errorf("%s: %v, want %q", name, r.err, tc.want)
		}
	}
}

// TestElsewhereWithoutFlight: where the peer has a connection by other means, and its FLIGHT has
// not come, an initiator waits for its own means, also if the signalling has ended. The responder
// of an initiator that has one learns it from DONE, and then the end.
func TestElsewhereWithoutFlight(t *testing.T) {
	t.Parallel()
	own := func(err error) func(*session) { return func(s *session) { s.onElsewhere(err) } }
	done := func(s *session) { s.onMessage(received("done")) }
	end := func(s *session) { s.onSignalLost(nil, fmt.Errorf("%w: %w", ErrSignalLost, io.EOF)) }
	reset := func(s *session) { s.onSignalLost(nil, ErrSignalLost) }
	chosen := func(s *session) { s.onChosen() }
	for name, tc := range map[string]struct {
		initiator bool
		events    []func(*session)
		want      Reason // after the last one
	}{
		"its own means succeed":             {true, []func(*session){done, done, end, own(nil)}, ErrElsewhere},
		"its own means fail":                {true, []func(*session){done, end, own(errors.New("refused"))}, ErrElsewhere},
		"after the choice":                  {true, []func(*session){chosen, done, own(nil)}, ErrElsewhere},
		"after the choice, the signalling":  {true, []func(*session){chosen, own(nil), reset}, ErrSignalLost},
		"the responder":                     {false, []func(*session){done, end}, ErrElsewhere},
		"the responder, the relay has died": {false, []func(*session){done, reset}, ErrSignalLost},
		"the responder, after the choice":   {false, []func(*session){done, chosen, end}, ErrSignalLost},
	} {
		s, r := newSession(tc.initiator, "/noise")
		if tc.initiator {
			s.elsewhere = elsewhereUnasked
			s.onGathered(ours, 40000, nil)
			s.onMessage(received("answer"))
		} else {
			s, r = flightSession(false)
		}
		for i, event := range tc.events {
			if r.err != nil {
				t.Errorf("%s: %v before event %d", name, r.err, i)
			}
			event(s)
		}
		if r.err == nil || r.err.Reason() != tc.want {
			t.Errorf("%s: %v, want %q", name, r.err, tc.want)
		}
	}

	s, r := newSession(true, "/noise")
	s.elsewhere = elsewhereUnasked
	s.onGathered(ours, 40000, nil)
	s.onMessage(received("answer"))
	s.onFlight(testFlight)
	done(s)
	s.onChosen()
	s.onPeerFlight(answerFlight)
	own(nil)(s) // too late: all that is missing is the end of the handshake
	s.onSecured(nil)
	if s.state != over || r.err != nil {
		t.Errorf("%v, want the connection that was chosen", r.err)
	}
}

// TestFlightOverdue: a responder whose initiator has chosen, and has not sent FLIGHT, does not take
// the path for one that loses large packets.
func TestFlightOverdue(t *testing.T) {
	t.Parallel()
	s, r := flightSession(false)
	s.onMessage(received("done"))
	r.up = true
	s.onChosen()
	s.onTimer(choiceTimer)
	if r.err == nil || r.err.Reason() != ErrSignalLost {
		t.Errorf("%v, want %q", r.err, ErrSignalLost)
	}
}

// TestFlightLost: the end of the signalling ends an attempt before the peer's flight has come, and
// not after.
func TestFlightLost(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		for _, came := range []bool{false, true} {
			s, r := flightSession(initiator)
			if came {
				s.onFlight(testFlight)
				s.onPeerFlight(answerFlight)
			}
			s.onSignalLost(nil, ErrSignalLost)
			if over := r.err != nil; over == came || over && (r.err.Reason() != ErrSignalLost || r.err.Op != "handshake") {
				t.Errorf("initiator %v, flight received %v: %v", initiator, came, r.err)
			}
		}
	}
}

// TestFlightNotSent: an attempt fails if its FLIGHT cannot be sent. The peer may say why before
// that.
func TestFlightNotSent(t *testing.T) {
	t.Parallel()
	offered := func() (*session, *recorder) {
		s, r := newSession(true, "/noise")
		s.onGathered(ours, 40000, nil)
		return s, r
	}
	retrying := func() (*session, *recorder) {
		s, r := flightSession(true)
		s.nextRound(1, ErrNoConnection)
		s.prepare()
		s.onGathered(ours, 40001, nil)
		return s, r
	}
	punching := func(initiator bool) func() (*session, *recorder) {
		return func() (*session, *recorder) { return flightSession(initiator) }
	}
	hear := func(m *message) func(*session) { return func(s *session) { s.onMessage(m) } }
	timeout := func(s *session) { s.onTimer(answerTimer) }
	lost := func(s *session) { s.onSignalLost(nil, ErrSignalLost) }
	lostAfterFlight := func(s *session) {
		s.onPeerFlight(answerFlight)
		lost(s)
	}
	chosen := func(s *session) {
		s.onPeerFlight(answerFlight)
		s.onSecured(nil)
		s.onChosen()
		timeout(s)
	}
	for name, tc := range map[string]struct {
		begin func() (*session, *recorder)
		wait  time.Duration // for the peer's reason
		then  func(*session)
		want  Reason
	}{
		"offered, then nothing":   {offered, answerTimeout, timeout, ErrSignalLost},
		"offered, then ANSWER":    {offered, answerTimeout, hear(received("answer")), ErrSignalLost},
		"offered, then a refusal": {offered, answerTimeout, hear(received("refusal")), ErrNoAddress},
		"retrying, then nothing":  {retrying, answerTimeout, timeout, ErrSignalLost},
		"retrying, then ANSWER":   {retrying, answerTimeout, hear(received("retried")), ErrSignalLost},
		"retrying, then the end":  {retrying, answerTimeout, lost, ErrNoConnection}, // of the round before
		"initiator, then nothing": {punching(true), doneTimeout, timeout, ErrSignalLost},
		"initiator, then DONE":    {punching(true), doneTimeout, hear(received("done", inStatus(StatusFailed))), ErrNoConnection},
		"initiator, then the end": {punching(true), doneTimeout, lost, ErrSignalLost},
		"initiator, after FLIGHT": {punching(true), doneTimeout, lostAfterFlight, ErrSignalLost},
		"initiator has chosen":    {punching(true), doneTimeout, chosen, ErrSignalLost},
		"responder, then nothing": {punching(false), doneTimeout, timeout, ErrSignalLost},
		"responder, then DONE":    {punching(false), doneTimeout, hear(received("done", inStatus(StatusNoCandidate))), ErrNoCandidate},
		"responder, then the end": {punching(false), doneTimeout, lost, ErrSignalLost},
		"responder, after FLIGHT": {punching(false), doneTimeout, lostAfterFlight, ErrSignalLost},
		"responder has chosen":    {punching(false), doneTimeout, chosen, ErrSignalLost},
	} {
		s, r := tc.begin()
		r.sendErr = fmt.Errorf("%w: stream reset", ErrSignalLost)
		s.onFlight(testFlight)
		s.onTimer(flightTimer)
		if r.err != nil || r.armed[answerTimer] != tc.wait {
			t.Errorf("%s: %v, timers %v, want to wait for the reason", name, r.err, r.armed)
		}
		rounds := len(r.rounds)
		tc.then(s)
		if r.err == nil || r.err.Reason() != tc.want || len(r.rounds) > rounds {
			t.Errorf("%s: %v, want %q", name, r.err, tc.want)
		}
	}
}

// TestFlightAfterEnd: an attempt whose signalling has ended fails when its FLIGHT cannot be sent,
// and one whose OFFER could not be sent begins no handshake.
func TestFlightAfterEnd(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		s, r := flightSession(initiator)
		s.onPeerFlight(answerFlight)
		s.onSignalLost(nil, ErrSignalLost)
		r.sendErr = ErrSignalLost
		s.onFlight(testFlight)
		s.onTimer(flightTimer)
		if r.err == nil || r.err.Reason() != ErrSignalLost {
			t.Errorf("initiator %v: %v, want %q", initiator, r.err, ErrSignalLost)
		}
	}
	s, r := newSession(true, "/noise")
	r.sendErr = ErrSignalLost
	r.did = nil
	s.onGathered(ours, 40000, nil)
	r.want(t, "expect", "OFFER", "fail")
}

// TestFlightBeforeEnd: FLIGHT leaves without a pause before the caller gets the connection, and may
// close the signalling.
func TestFlightBeforeEnd(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		s, r := flightSession(initiator)
		s.onFlight(testFlight)
		s.onPeerFlight(answerFlight)
		r.did = nil
		s.onSecured(nil) // no more bytes were needed
		if initiator {
			s.onChosen()
			r.want(t, "end round", "DONE", "FLIGHT", "finish")
			continue
		}
		s.onUsable()
		r.want(t, "FLIGHT", `continue handshake ""`, "deliver")
	}
}

// flightSession returns one that has sent OFFER and ANSWER, or read them, and waits for the
// flights.
func flightSession(initiator bool) (*session, *recorder) {
	s, r := newSession(initiator, "/noise")
	if initiator {
		s.onGathered(ours, 40000, nil)
		s.onMessage(received("answer"))
	} else {
		s.onMessage(received("offer"))
		s.onGathered(theirs, 50000, nil)
	}
	return s, r
}
