package holepunch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

func TestInitiatorSession(t *testing.T) {
	t.Parallel()
	s, r := newSession(true, "/noise", "/tls/1.0.0")
	r.want(t, "gather")
	s.onGathered(ours, 40000, nil)
	r.want(t, "expect", "OFFER", `start handshake /noise ""`)
	if m := r.sent[0]; m.token != s.token || len(m.protocols) != 2 || m.attempt != testID {
		t.Errorf("offered %+v", m)
	}
	s.onFlight(testFlight)
	s.onTimer(flightTimer)
	s.onTimer(trailerTimer)
	r.want(t, "FLIGHT", "TRAILER")
	s.now = s.now.Add(300 * time.Millisecond)
	s.onMessage(received("answer"))
	r.want(t, "connect with", "trace offered", "round 0")
	s.onMessage(received("flight", replying))
	r.want(t, fmt.Sprintf("continue handshake %q", answerFlight))
	s.onSecured(nil)
	r.want(t)
	s.onTimer(crossTimer)
	r.want(t, "CROSS", "cross 0s 125ms") // half of what the ANSWER's delay leaves
	s.onSignalLost(nil, ErrSignalLost)   // which does not end a punch
	s.onUsable()
	r.want(t)
	s.onChosen()
	r.want(t, "end round", "DONE", "finish")
}

// TestChosenBeforeAnswer: where an initiator has accepted a connection before it had the ANSWER,
// nothing is connected.
func TestChosenBeforeAnswer(t *testing.T) {
	t.Parallel()
	s, r := newSession(true)
	s.onGathered(ours, 40000, nil)
	r.chosen, r.did = true, nil
	s.onMessage(received("answer", plain))
	r.want(t, "connect with", "trace offered", "end round", "DONE", "finish")
}

// TestQuietBeforeCross: where a SYN was refused, CROSS leaves earlier, by the time for which all
// connects have to be quiet after it.
func TestQuietBeforeCross(t *testing.T) {
	t.Parallel()
	due := punch.CrossDelay(0)
	for name, tt := range map[string]struct {
		refused time.Duration // when a SYN was; 0 for never
		quiet   time.Duration
		at      time.Duration // when CROSS leaves
	}{
		"never":     {0, 0, due},
		"soon":      {due / 4, due / 4, due * 3 / 4},
		"late":      {due / 2, due, due / 2},
		"no pair":   {due / 4, 0, due},
		"after all": {due + 1, due, due},
	} {
		s, r := punchingSession(t, true, ours, func(m *message) { m.delay = time.Hour })
		begin, want := s.now, tt.quiet
		refuse := func() {
			r.quietFor = tt.quiet
			s.now = begin.Add(tt.refused)
			s.onRefused()
		}
		if tt.refused > 0 && tt.refused < due {
			refuse()
		}
		if tt.at != tt.refused {
			r.want(t) // not yet
			if got := r.armed[crossTimer]; got != tt.at-s.now.Sub(begin) {
				t.Errorf("%s: the timer is set to %v, want %v", name, got, tt.at-s.now.Sub(begin))
			}
			s.onTimer(crossTimer)
		}
		if tt.refused > due {
			refuse()
			want = 0
		}
		r.want(t, "CROSS", fmt.Sprintf("cross %v 0s", want))
		if m := r.sent[len(r.sent)-1]; m.delay != want {
			t.Errorf("%s: the delay is %v, want %v", name, m.delay, want)
		}
		if r.armed[crossTimer] != 0 {
			t.Errorf("%s: the timer is still set", name)
		}
	}
}

// TestInitiatorWaitsForHandshake: the connection is there when it is chosen and secured; the choice
// is reported to the peer at once.
func TestInitiatorWaitsForHandshake(t *testing.T) {
	t.Parallel()
	s, r := newSession(true, "/noise", "/tls/1.0.0")
	s.onGathered(ours, 40000, nil)
	s.onMessage(received("other"))
	r.did = r.did[len(r.did)-3:]
	r.want(t, "restart handshake /tls/1.0.0", "trace offered", "round 0")
	s.onChosen()
	r.want(t, "end round", "DONE")
	s.onMessage(received("done", inStatus(StatusFailed))) // the connection decides
	r.want(t)
	s.onSecured(errors.New("bad certificate"))
	r.want(t, "fail")
	if r.err.Op != "handshake" || r.err.Reason() != ErrHandshake {
		t.Errorf("got %v", r.err)
	}
}

func TestResponderSession(t *testing.T) {
	t.Parallel()
	s, r := newSession(false, "/tls/1.0.0", "/noise")
	r.want(t)
	s.onMessage(received("offer"))
	r.want(t, "gather")
	s.now = s.now.Add(7 * time.Millisecond)
	s.onGathered(theirs, 50000, nil)
	r.want(t, "expect", "connect with", "ANSWER", "trace offered", "round 0")
	if m := r.sent[0]; m.token != s.token || !slices.Equal(m.protocols, []string{"/noise"}) || m.delay != 7*time.Millisecond {
		t.Errorf("answered %+v", m)
	}
	s.onMessage(received("flight"))
	r.want(t, fmt.Sprintf("start handshake /noise %q", testFlight))
	s.onFlight(answerFlight)
	s.onTimer(flightTimer)
	s.onTimer(trailerTimer)
	r.want(t, "FLIGHT", `continue handshake ""`, "TRAILER")
	s.onMessage(received("cross"))
	r.want(t, "cross 30ms 0s")
	s.onUsable()
	r.want(t)
	s.onSecured(nil)
	r.want(t, "deliver")
	s.onContextEnded(context.Canceled) // the caller has the connection
	s.onElsewhere(nil)
	r.want(t)
	s.onChosen()
	r.want(t, "end round", "finish")
}

// TestDeliveredButNotChosen: what ends a connection that the responder's caller has already.
func TestDeliveredButNotChosen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		event func(*session)
		want  Reason
		says  []string
	}{
		"the initiator gives up":   {func(s *session) { s.onMessage(received("done", inStatus(StatusFailed))) }, ErrNoConnection, []string{"fail"}},
		"the initiator goes on":    {func(s *session) { s.onMessage(received("retry")) }, ErrNoConnection, []string{"DONE FAILED", "fail"}},
		"the stream ends":          {func(s *session) { s.onStreamEnded(punch.ErrNoChoice) }, ErrHandshake, []string{"DONE FAILED", "fail"}},
		"the agent is closed":      {(*session).onClosed, ErrClosed, []string{"DONE CANCELLED", "fail"}},
		"chosen, and not heard of": {func(s *session) { s.onMessage(received("done")); s.onTimer(choiceTimer) }, ErrNoConnection, []string{"DONE FAILED", "fail"}},
		"the same, and a connection is up": {func(s *session) {
			s.do.(*recorder).up = true
			s.onMessage(received("done"))
			s.onTimer(choiceTimer)
		}, ErrSmallPackets, []string{"DONE FAILED", "fail"}},
	} {
		s, r := newSession(false, "/noise")
		s.onMessage(received("offer"))
		s.onGathered(theirs, 50000, nil)
		s.onMessage(received("flight"))
		s.onSecured(nil)
		s.onUsable()
		r.did = nil
		tc.event(s)
		r.want(t, tc.says...)
		if r.err == nil || r.err.Reason() != tc.want {
			t.Errorf("%s: got %v, want %q", name, r.err, tc.want)
		}
	}
}

// TestChosenButNotSecured: what the initiator sends after its choice does not arrive.
func TestChosenButNotSecured(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"DONE", "the choice"} {
		s, r := newSession(false, "/noise")
		s.onMessage(received("offer"))
		s.onGathered(theirs, 50000, nil)
		s.onMessage(received("flight"))
		s.onUsable()
		r.did, r.up = nil, true
		if first == "DONE" {
			s.onMessage(received("done"))
		}
		s.onChosen()
		s.onMessage(received("done"))
		if got, want := r.timers[choiceTimer], map[string]int{"DONE": 2, "the choice": 1}[first]; got != want {
			t.Errorf("%s first: the time was set %d times, want %d", first, got, want)
		}
		s.onTimer(choiceTimer)
		r.want(t, "end round", "DONE FAILED", "fail")
		if r.err == nil || r.err.Reason() != ErrSmallPackets {
			t.Errorf("%s first: got %v, want %q", first, r.err, ErrSmallPackets)
		}
	}
}

// TestCrossTwice: an initiator begins the crossed pairs once a round, however often it says so.
func TestCrossTwice(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, false, theirs)
	r.did = nil
	s.onMessage(received("cross"))
	s.onMessage(received("cross"))
	r.want(t, "cross 30ms 0s")
	s.onMessage(received("retry"))
	s.onGathered(theirs, 50000, nil)
	r.did = nil
	s.onMessage(received("cross"))
	s.onMessage(received("cross"))
	r.want(t, "cross 30ms 0s")
}

// TestDoneBetweenRounds: an initiator may choose a connection of the round before while the
// responder gathers for the next. The end of the signalling that follows is no harm then.
func TestDoneBetweenRounds(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, false, theirs)
	s.onMessage(received("retry"))
	s.onMessage(received("done"))
	s.onSignalLost(nil, ErrSignalLost)
	s.onGathered(theirs, 50000, nil)
	if s.state == over || len(r.sent) > 1 {
		t.Errorf("the session is over, or has answered: %v, sent %+v", r.err, r.sent)
	}
	s.onChosen()
	if s.state != over || r.err != nil {
		t.Errorf("got %v, want the connection", r.err)
	}
}

// TestDoneBeforeAnswer: an initiator that has not read the ANSWER cannot have chosen a connection.
// It has one by other means.
func TestDoneBeforeAnswer(t *testing.T) {
	t.Parallel()
	s, r := newSession(false, "/noise")
	s.onMessage(received("offer"))
	s.onMessage(received("done"))
	if s.state != over || r.err == nil || r.err.Reason() != ErrElsewhere {
		t.Errorf("got %v, want %q", r.err, ErrElsewhere)
	}
}

// TestDoneTwice: an initiator cannot put off the end by saying again that it has chosen.
func TestDoneTwice(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, false, theirs)
	for range 3 {
		s.onMessage(received("done"))
	}
	if got := r.timers[choiceTimer]; got != 1 {
		t.Errorf("the time for the choice was set %d times", got)
	}
}
