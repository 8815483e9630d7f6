package holepunch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A recorder is an outside that keeps what a session does, as words.
type recorder struct {
	did    []string
	sent   []*message
	rounds []roundSpec
	err    *PunchError    // of finish
	timers [numTimers]int // how often each was set

	sendErr, admitErr, guessErr error
	filter                      func([]punch.Candidate) ([]punch.Candidate, error)
	lan                         []punch.Candidate
}

func (r *recorder) note(format string, a ...any) { r.did = append(r.did, fmt.Sprintf(format, a...)) }

func (r *recorder) gather()                               { r.note("gather") }
func (r *recorder) predict()                              { r.note("predict") }
func (r *recorder) startHandshake(p string, f []byte)     { r.note("start handshake %s %q", p, f) }
func (r *recorder) restartHandshake(p string)             { r.note("restart handshake %s", p) }
func (r *recorder) continueHandshake(f []byte)            { r.note("continue handshake %q", f) }
func (r *recorder) expect(punch.Token)                    { r.note("expect") }
func (r *recorder) connectWith(punch.Token)               { r.note("connect with") }
func (r *recorder) addCandidates(cs []punch.Candidate)    { r.note("add %v", addrsOf(cs)) }
func (r *recorder) cross()                                { r.note("cross") }
func (r *recorder) endRound()                             { r.note("end round") }
func (r *recorder) elsewhere(as []netip.AddrPort, p bool) { r.note("elsewhere %v %v", as, p) }
func (r *recorder) setTimer(t timer, _ time.Duration)     { r.timers[t]++ }
func (r *recorder) trace(e Event)                         { r.note("trace %s", e.Kind) }
func (r *recorder) deliver()                              { r.note("deliver") }
func (r *recorder) admitPeer() error                      { return r.admitErr }
func (r *recorder) lanCandidates() []punch.Candidate      { return r.lan }
func (r *recorder) beginGuess() error                     { return r.guessErr }

func (r *recorder) links() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24")}
}

func (r *recorder) startRound(spec roundSpec) {
	r.note("round %d", spec.number)
	r.rounds = append(r.rounds, spec)
}

func (r *recorder) finish(err *PunchError) {
	r.err = err
	if err == nil {
		r.note("finish")
	} else {
		r.note("fail")
	}
}

func (r *recorder) send(m *message, _ time.Duration) error {
	words := m.typ.String()
	if m.status != StatusOK {
		words += " " + m.status.String()
	}
	r.note("%s", words)
	r.sent = append(r.sent, m)
	return r.sendErr
}

func (r *recorder) filterRemote(cs []punch.Candidate) ([]punch.Candidate, error) {
	if r.filter != nil {
		return r.filter(cs)
	}
	return cs, nil
}

// want checks what a session has done since the last call.
func (r *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.did, want) {
		t.Errorf("did %q, want %q", r.did, want)
	}
	r.did = nil
}

// newSession returns a session that has begun, of an attempt with the ID of the vectors.
func newSession(initiator bool, protocols ...string) (*session, *recorder) {
	r := new(recorder)
	s := &session{do: r, initiator: initiator, token: offerToken, protocols: protocols, timeout: time.Minute, now: time.Unix(1000, 0)}
	if initiator {
		s.state, s.attempt = preparing, testID
	} else {
		s.token = answerToken
	}
	s.start()
	return s, r
}

// received returns a vector as the other side reads it, with a change.
func received(name string, changes ...func(*message)) *message {
	m := vectors()[name]
	for _, change := range changes {
		change(m)
	}
	return m
}

// plain leaves the handshake out of a message.
func plain(m *message) { m.protocols, m.flight = nil, nil }

func behind(b stun.Behaviour) func(*message) { return func(m *message) { m.behaviour = b } }
func inStatus(s Status) func(*message)       { return func(m *message) { m.status = s } }
func inRound(n int) func(*message)           { return func(m *message) { m.round = n } }
func of(cs ...punch.Candidate) func(*message) {
	return func(m *message) { m.candidates = cs }
}

// punchingSession returns one that is in its first round, and has no handshake.
func punchingSession(t *testing.T, initiator bool, own description, changes ...func(*message)) (*session, *recorder) {
	t.Helper()
	s, r := newSession(initiator)
	changes = append([]func(*message){plain}, changes...)
	if initiator {
		s.onGathered(own, 40000, nil)
		s.onMessage(received("answer", changes...))
	} else {
		s.onMessage(received("offer", changes...))
		s.onGathered(own, 40000, nil)
	}
	if s.state != punching {
		t.Fatalf("did %q", r.did)
	}
	r.did = nil
	return s, r
}

func TestInitiatorSession(t *testing.T) {
	t.Parallel()
	s, r := newSession(true, "/noise", "/tls/1.0.0")
	r.want(t, `start handshake /noise ""`, "gather")
	s.onGathered(ours, 40000, nil)
	r.want(t) // the flight is not there
	s.onFlight(testFlight)
	r.want(t, "expect", "OFFER")
	if m := r.sent[0]; m.token != s.token || string(m.flight) != string(testFlight) || len(m.protocols) != 2 || m.attempt != testID {
		t.Errorf("offered %+v", m)
	}
	s.onTimer(trailerTimer)
	r.want(t, "TRAILER")
	s.now = s.now.Add(300 * time.Millisecond)
	s.onMessage(received("answer"))
	r.want(t, "connect with", fmt.Sprintf("continue handshake %q", answerFlight), "trace offered", "round 0")
	s.onSecured(nil)
	r.want(t)
	s.onTimer(crossTimer)
	r.want(t, "CROSS", "cross")
	s.onSignalLost(nil, ErrSignalLost) // which does not end a punch
	s.onUsable()
	r.want(t)
	s.onChosen()
	r.want(t, "end round", "DONE", "finish")
}

// TestInitiatorWaitsForHandshake: the connection is there when it is chosen and secured; of the
// choice the peer is told at once.
func TestInitiatorWaitsForHandshake(t *testing.T) {
	t.Parallel()
	s, r := newSession(true, "/noise", "/tls/1.0.0")
	s.onFlight(testFlight)
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
	r.want(t, fmt.Sprintf("start handshake /noise %q", testFlight), "gather")
	s.onFlight(answerFlight)
	s.onGathered(theirs, 50000, nil)
	r.want(t, "expect", "connect with", "ANSWER", `continue handshake ""`, "trace offered", "round 0")
	if m := r.sent[0]; m.token != s.token || string(m.flight) != string(answerFlight) || !slices.Equal(m.protocols, []string{"/noise"}) {
		t.Errorf("answered %+v", m)
	}
	s.onMessage(received("cross"))
	r.want(t, "cross")
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
	} {
		s, r := newSession(false, "/noise")
		s.onMessage(received("offer"))
		s.onFlight(answerFlight)
		s.onGathered(theirs, 50000, nil)
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

// TestPredictedRounds: the OFFER leaves before the prediction, a round is short, and another
// follows until it is too late.
func TestPredictedRounds(t *testing.T) {
	t.Parallel()
	first := description{candidates: reflexive(addrs("46.0.1.1:40000")...), behaviour: sequential, following: true}
	predicted := candidates(punch.Predicted, "46.0.1.1:50001", "46.0.1.1:50002")
	s, r := newSession(true)
	s.onGathered(first, 40000, nil)
	r.want(t, "gather", "predict", "expect", "OFFER")
	s.onMessage(received("answer", plain))
	r.want(t, "connect with")
	s.onPredicted(predicted, nil)
	r.want(t, "CANDIDATES", "trace offered", "round 0")
	if got := r.sent[1].candidates; !slices.Equal(got, predicted) {
		t.Errorf("CANDIDATES with %v, want %v", got, predicted)
	}
	for round := 1; round <= 2; round++ {
		if got := r.rounds[round-1].window; got != predictedWindow {
			t.Errorf("a round of %v, want %v", got, predictedWindow)
		}
		s.onRoundEnded(round-2, punch.Result{}) // of another round
		s.onTimer(roundTimer)
		r.want(t, "end round")
		s.onRoundEnded(round-1, punch.Result{Err: errors.New("timeout")})
		r.want(t, "end round", "trace round failed", "gather")
		s.onGathered(first, 40001, nil)
		r.want(t, "predict")
		s.onPredicted(predicted, nil)
		r.want(t, "RETRY")
		s.onMessage(received("retried", inRound(round-1))) // late
		s.onMessage(received("retried", inRound(round)))
		r.want(t, "trace offered", fmt.Sprint("round ", round))
	}
	s.onTimer(retryTimer)
	s.onTimer(roundTimer)
	s.onRoundEnded(2, punch.Result{Err: errors.New("timeout")})
	r.want(t, "end round", "DONE FAILED", "fail")
	if r.err.Op != "open" || r.err.Reason() != ErrNoConnection {
		t.Errorf("got %v", r.err)
	}
}

// TestRoundsAreFew, and there are none where no port has to be predicted.
func TestRoundsAreFew(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		own    stun.Behaviour
		rounds int
	}{{portFilter, 1}, {preserving, maxRounds + 1}} {
		s, r := punchingSession(t, true, description{candidates: ours.candidates, behaviour: tc.own})
		for s.state != over {
			s.onTimer(roundTimer)
			s.onRoundEnded(s.round, punch.Result{})
			s.onGathered(description{candidates: ours.candidates, behaviour: tc.own}, 40000, nil)
			s.onMessage(received("retried", inRound(s.round)))
		}
		if len(r.rounds) != tc.rounds {
			t.Errorf("%d rounds, want %d", len(r.rounds), tc.rounds)
		}
	}
}

// TestRetry: the responder follows, ends the round before, and takes the last of several.
func TestRetry(t *testing.T) {
	t.Parallel()
	own := description{candidates: theirs.candidates, behaviour: sequential, following: true}
	predicted := candidates(punch.Predicted, "46.0.2.1:60001")
	s, r := newSession(false)
	s.onMessage(received("offer", plain))
	s.onGathered(own, 50000, nil)
	r.want(t, "gather", "predict")
	s.onPredicted(predicted, nil)
	r.want(t, "expect", "connect with", "ANSWER", "trace offered", "round 0")
	if got := r.rounds[0].window; got != window {
		t.Errorf("a round of %v: the initiator says when it is over", got)
	}
	s.onMessage(received("retry", inRound(0)))
	r.want(t)
	s.onMessage(received("retry", inRound(1)))
	r.want(t, "end round", "trace round failed", "gather")
	s.onMessage(received("retry", inRound(3)))
	r.want(t)
	s.onGathered(own, 50001, nil)
	r.want(t, "predict")
	s.onMessage(received("retry", inRound(2)))
	s.onMessage(received("retry", inRound(4), of(candidates(punch.Predicted, "46.0.1.1:50009")...)))
	s.onPredicted(predicted, nil)
	r.want(t, "ANSWER", "trace offered", "round 4")
	if m := r.sent[1]; m.round != 4 || m.token != (punch.Token{}) {
		t.Errorf("answered %+v, want round 4 and no token", m)
	}
	if got := addrsOf(r.rounds[1].remote); !slices.Equal(got, addrs("46.0.1.1:50009")) {
		t.Errorf("connects to %v, want those of round 4", got)
	}
}

// TestFollowing: a responder does not connect to the address that only says where the initiator is,
// but to those which follow.
func TestFollowing(t *testing.T) {
	t.Parallel()
	s, r := newSession(false)
	s.onMessage(received("following"))
	s.onGathered(theirs, 50000, nil)
	if got := r.rounds[0].remote; len(got) != 0 {
		t.Errorf("connects to %v", got)
	}
	r.did = nil
	more := candidates(punch.Predicted, "46.0.1.1:50001", "46.0.1.1:50002")
	s.onMessage(received("candidates", of(more...)))
	r.want(t, fmt.Sprint("add ", addrsOf(more)))
	s.onMessage(received("candidates", of(candidates(punch.Predicted, "46.0.1.1:50003")...))) // once
	s.onMessage(received("candidates", of(candidates(punch.Listener, "46.0.1.1:50003")...)))
	s.onMessage(received("candidates", of(candidates(punch.LAN, "192.168.1.9:50003")...))) // of another site
	r.want(t)
}

// TestSameSite: both sides name their addresses within, after they have seen that they are at one
// site.
func TestSameSite(t *testing.T) {
	t.Parallel()
	neighbour := description{candidates: reflexive(addrs("46.0.1.1:50000")...)}
	lan := candidates(punch.LAN, "192.168.1.7:40000")
	there := candidates(punch.LAN, "192.168.1.8:50000")

	s, r := newSession(false)
	r.lan = lan
	s.onMessage(received("offer", plain))
	s.onGathered(neighbour, 50000, nil)
	if got := r.sent[0].candidates; !slices.Equal(got, append(neighbour.candidates, lan...)) {
		t.Errorf("answered with %v", got)
	}
	r.did = nil
	s.onMessage(received("candidates", of(there...)))
	r.want(t, fmt.Sprint("add ", addrsOf(there)))
	s.onMessage(received("candidates", of(there...)))
	r.want(t)

	s, r = newSession(true)
	r.lan = lan
	s.onGathered(ours, 40000, nil)
	r.did = nil
	s.onMessage(received("answer", plain, of(append(neighbour.candidates, there...)...)))
	r.want(t, "connect with", "CANDIDATES", "trace offered", "round 0")
	if got := r.sent[1].candidates; !slices.Equal(got, lan) {
		t.Errorf("CANDIDATES with %v, want %v", got, lan)
	}
	s.onTimer(roundTimer)
	s.onRoundEnded(0, punch.Result{})
	if r.err.Reason() != ErrNoHairpin || !errors.Is(r.err, ErrNoConnection) {
		t.Errorf("got %v, want ErrNoHairpin", r.err)
	}
	if m := r.sent[len(r.sent)-1]; m.status != StatusFailed {
		t.Errorf("told %v: what came of SYNs is nobody's business", m.status)
	}
}

// TestNoHairpin: where it is known that neighbours cannot meet, no SYN is sent.
func TestNoHairpin(t *testing.T) {
	t.Parallel()
	s, r := newSession(true)
	s.onGathered(description{candidates: reflexive(addrs("46.0.1.1:40000")...), behaviour: stun.Behaviour{Hairpin: stun.No}}, 40000, nil)
	s.onMessage(received("answer", plain, of(reflexive(addrs("46.0.1.1:50000")...)...)))
	if r.err.Reason() != ErrNoHairpin || len(r.rounds) != 0 || r.sent[1].status != StatusImpossible {
		t.Errorf("did %q: %v", r.did, r.err)
	}
}

// TestImpossibleIsExplained: a responder that knows that there is no way refuses with its
// behaviour, and the initiator says why in its own words.
func TestImpossibleIsExplained(t *testing.T) {
	t.Parallel()
	s, r := newSession(false)
	s.onMessage(received("offer", plain, behind(random), of(reflexive(addrs("46.0.1.1:40000")...)...)))
	s.onGathered(description{candidates: theirs.candidates, behaviour: random}, 50000, nil)
	r.want(t, "gather", "ANSWER IMPOSSIBLE", "fail")
	refusal := r.sent[0]
	if refusal.behaviour != random || len(refusal.candidates) != 0 {
		t.Errorf("refused with %+v", refusal)
	}

	s, r = newSession(true)
	s.onGathered(description{candidates: ours.candidates, behaviour: random}, 40000, nil)
	s.onMessage(refusal)
	if r.err.Op != "offer" || r.err.Reason() != ErrUnpredictable || !strings.Contains(r.err.Error(), "this side: APDM, APDF, random") {
		t.Errorf("got %v, want an offer's ErrUnpredictable with both behaviours", r.err)
	}
	if len(r.sent) != 1 {
		t.Errorf("sent %q after the refusal", r.did)
	}
}

// TestGuessing is admitted, once, in the first round.
func TestGuessing(t *testing.T) {
	t.Parallel()
	own := description{candidates: reflexive(addrs("46.0.1.1:40000")...), behaviour: portFilter}
	willing := func(m *message) { m.guessing, m.behaviour = true, random }
	s, r := newSession(true)
	s.guessing = true
	s.onGathered(own, 40000, nil)
	s.onMessage(received("answer", plain, willing))
	if len(r.rounds) != 1 || r.rounds[0].guess != punch.GuessPorts {
		t.Errorf("did %q, rounds %+v, want one of GuessPorts", r.did, r.rounds)
	}
	s, r = newSession(true)
	s.guessing, r.guessErr = true, fmt.Errorf("%w: ports of another peer are being guessed", ErrBusy)
	s.onGathered(own, 40000, nil)
	s.onMessage(received("answer", plain, willing))
	if len(r.rounds) != 0 || r.err.Reason() != ErrBusy || r.sent[1].status != StatusBusy {
		t.Errorf("did %q: %v, want ErrBusy", r.did, r.err)
	}
}

// TestLateAndPassive: who waits for whom.
func TestLateAndPassive(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		initiator     bool
		own           stun.Behaviour
		late, passive bool
	}{
		{false, noBareSYN, true, false}, {true, noBareSYN, false, false}, {false, portFilter, false, false},
		{true, randomEIF, false, true}, {false, randomEIF, false, true},
	} {
		_, r := punchingSession(t, tc.initiator, description{candidates: reflexive(addrs("46.0.3.1:40000")...), behaviour: tc.own}, behind(portFilter))
		if got := r.rounds[0]; got.late != tc.late || got.passive != tc.passive {
			t.Errorf("%+v: late %v, passive %v", tc, got.late, got.passive)
		}
	}
}

// TestListenersAreNotPunched: the application connects to them.
func TestListenersAreNotPunched(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		s, r := newSession(initiator)
		s.elsewhere = elsewhereUnasked
		cs := append(reflexive(addrs("46.0.3.1:40000")...), candidates(punch.Listener, "46.0.3.1:4001", "46.0.3.2:4001", "46.0.3.3:4001")...)
		if initiator {
			s.onGathered(ours, 40000, nil)
			s.onMessage(received("answer", plain, of(cs...)))
		} else {
			s.onMessage(received("offer", plain, of(cs...)))
			s.onGathered(theirs, 50000, nil)
		}
		if got := r.rounds[0].remote; !slices.Equal(got, cs[:1]) {
			t.Errorf("connects to %v, want %v", got, cs[:1])
		}
		if got, want := r.did[len(r.did)-1], fmt.Sprint("elsewhere ", addrs("46.0.3.1:4001", "46.0.3.2:4001"), " true"); got != want {
			t.Errorf("did %q, want %q", got, want)
		}
		if initiator {
			s.onMessage(received("done")) // the peer has a connection; so will we
			if s.state == over {
				t.Error("over before the application has its connection")
			}
		}
		r.did = nil
		s.onElsewhere(nil)
		r.want(t, "DONE", "fail")
		if r.err.Reason() != ErrElsewhere {
			t.Errorf("got %v, want %q", r.err, ErrElsewhere)
		}
	}
}

// TestToldElsewhere: an initiator without means of its own takes the peer's word.
func TestToldElsewhere(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, true, ours)
	s.onElsewhere(errors.New("timeout")) // which means nothing
	s.onMessage(received("done"))
	if r.err == nil || r.err.Reason() != ErrElsewhere {
		t.Errorf("got %v, want %q", r.err, ErrElsewhere)
	}
}

// TestAnswers: what an initiator makes of what comes in reply to its OFFER.
func TestAnswers(t *testing.T) {
	t.Parallel()
	another := func(m *message) { m.attempt[0]++ }
	for name, tc := range map[string]struct {
		reply *message
		want  Reason
		says  string
	}{
		"refused":                    {received("refusal"), ErrNoAddress, ""},
		"declined":                   {received("declined"), ErrDeclined, ""},
		"not understood":             {received("refusal", inStatus(StatusMalformed), another), ErrMalformed, ""},
		"of another attempt":         {received("answer", plain, another), ErrMalformed, "DONE MALFORMED"},
		"the own token":              {received("answer", plain, func(m *message) { m.token = offerToken }), ErrMalformed, "DONE MALFORMED"},
		"a handshake":                {received("answer"), ErrNoProtocol, "DONE NO_PROTOCOL"},
		"no address that may be had": {received("answer", plain, of(reflexive(addrs("10.0.0.1:50000")...)...)), ErrNoCandidate, "DONE NO_CANDIDATE"},
		"an OFFER":                   {received("offer", another), ErrGlare, "DONE GLARE"},
		"glare":                      {received("refusal", inStatus(StatusGlare)), ErrGlare, ""},
	} {
		s, r := newSession(true)
		s.onGathered(ours, 40000, nil)
		s.onMessage(received("trailer"))
		s.onMessage(received("cross")) // for responders
		r.did = nil
		s.onMessage(tc.reply)
		got := strings.Join(slices.DeleteFunc(r.did, func(d string) bool { return d == "fail" || d == "connect with" }), ", ")
		if r.err == nil || r.err.Reason() != tc.want || got != tc.says {
			t.Errorf("%s: said %q, %v, want %q and %q", name, got, r.err, tc.says, tc.want)
		}
	}
}

// TestSignalLost: before the punch it is the end.
func TestSignalLost(t *testing.T) {
	t.Parallel()
	for _, initiator := range []bool{true, false} {
		s, r := newSession(initiator)
		s.onSignalLost(nil, ErrSignalLost)
		if r.err.Reason() != ErrSignalLost {
			t.Errorf("got %v", r.err)
		}
		s, r = punchingSession(t, initiator, description{candidates: ours.candidates, behaviour: preserving}, of(reflexive(addrs("46.0.3.1:40000")...)...))
		s.onSignalLost(nil, ErrSignalLost)
		r.want(t)
		s.onTimer(roundTimer)
		s.onRoundEnded(0, punch.Result{})
		if r.err.Reason() != ErrNoConnection {
			t.Errorf("got %v: nobody can be asked for another round", r.err)
		}
		s, r = newSession(initiator)
		r.sendErr = fmt.Errorf("%w: stream reset", ErrSignalLost)
		if !initiator {
			s.onMessage(received("offer", plain))
		}
		s.onGathered(description{candidates: reflexive(addrs("46.0.3.1:40000")...)}, 40000, nil)
		if r.err.Reason() != ErrSignalLost || len(r.sent) != 1 || len(r.rounds) != 0 {
			t.Errorf("did %q, %v, want ErrSignalLost after one message", r.did, r.err)
		}
	}
}

// TestTold: a peer is told of a failure what the table of reasons says; and after SYNs were sent,
// nothing of what came of them.
func TestTold(t *testing.T) {
	t.Parallel()
	secret := fmt.Errorf("stun.example.org at 192.0.2.1 does not answer: %w", context.Canceled)
	for _, row := range reasons {
		err := fmt.Errorf("%w: %w", row.Reason, secret)
		s, r := newSession(false)
		s.onMessage(received("offer", plain))
		s.onGathered(description{}, 0, err)
		m := r.sent[0]
		wantType := pb.Message_ANSWER
		if row.status == StatusOK {
			wantType = pb.Message_DONE
		}
		if m.status != row.status || m.typ != wantType || strings.Contains(m.detail, "stun") || (m.detail == row.sentence) != (row.public && row.status != StatusImpossible) {
			t.Errorf("%s: refused by %s %s %q", row.Reason, m.typ, m.status, m.detail)
		}

		s, r = punchingSession(t, false, theirs)
		s.onStreamEnded(err)
		m = r.sent[len(r.sent)-1]
		want := StatusFailed
		switch {
		case row.Reason == ErrGated, row.Reason == ErrResourceLimit: // the connection had the right token
			if m.status != row.status || m.detail != row.sentence {
				t.Errorf("%s: told %s %q after SYNs", row.Reason, m.status, m.detail)
			}
			continue
		case row.status == StatusOK, row.status == StatusCancelled:
			want = row.status
		}
		if m.status != want || m.typ != pb.Message_DONE || want == StatusFailed && m.detail != ErrNoConnection.Error() {
			t.Errorf("%s: told %s %s %q after SYNs", row.Reason, m.typ, m.status, m.detail)
		}
	}
	for err, want := range map[error]Status{context.Canceled: StatusCancelled, context.DeadlineExceeded: StatusFailed} {
		s, r := punchingSession(t, true, ours)
		s.onContextEnded(err)
		if m := r.sent[len(r.sent)-1]; m.status != want || !errors.Is(r.err, err) {
			t.Errorf("%v: told %s, and the error is %v", err, m.status, r.err)
		}
	}
}

// TestRoundError: the most telling of what came of the connects.
func TestRoundError(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		result punch.Result
		want   Reason
	}{
		{punch.Result{}, ErrNoConnection},
		{punch.Result{Connects: 3, Refused: 3, Err: errors.New("connection refused")}, ErrNoConnection},
		{punch.Result{Connects: 3, Dropped: punch.ErrToken, Err: errors.New("timeout")}, ErrHandshake},
		{punch.Result{Err: fmt.Errorf("%w: no SYN to spare", ErrBusy)}, ErrBusy},
		{punch.Result{Connects: 3, Err: fmt.Errorf("%w: no SYN to spare", ErrBusy)}, ErrNoConnection},
		{punch.Result{Connects: 3, Err: tcpport.ErrShort}, ErrNoSocket},
	} {
		if got := ReasonOf(roundError(tc.result)); got != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.result, got, tc.want)
		}
	}
}
