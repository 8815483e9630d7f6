package holepunch

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestPredictedRounds: the OFFER leaves before the prediction, a round is short, and another
// follows until it is too late: also if a connection came up on which nothing large got through,
// since a NAT may have forgotten it.
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
	results := []punch.Result{{Err: errors.New("timeout")}, {Up: 1, Dropped: punch.ErrSilent}}
	for round := 1; round <= len(results); round++ {
		if got := r.rounds[round-1].window; got != predictedWindow {
			t.Errorf("a round of %v, want %v", got, predictedWindow)
		}
		s.onRoundEnded(round-2, punch.Result{}) // of another round
		s.onTimer(roundTimer)
		r.want(t, "end round")
		s.onRoundEnded(round-1, results[round-1])
		r.want(t, "end round", "trace round failed", "gather fresh")
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

// TestSpoiledRound: when all pairs are spoiled another round begins at once, on fresh ports of a
// side whose NAT keeps their numbers. All its pairs wait for CROSS, and it lasts for the rest of
// the time.
func TestSpoiledRound(t *testing.T) {
	t.Parallel()
	own := description{candidates: ours.candidates, behaviour: portFilter, preserved: true}
	s, r := punchingSession(t, true, own)
	s.rtt = 200 * time.Millisecond
	for round := 1; round <= 2; round++ {
		s.now = s.now.Add(2 * time.Second)
		s.onSpoiled()
		r.want(t, "end round")
		s.onRoundEnded(round-1, punch.Result{Refused: 100})
		r.want(t, "end round", "trace round failed", "gather fresh")
		s.onGathered(own, 40001, nil)
		r.want(t, "RETRY")
		s.now = s.now.Add(150 * time.Millisecond)
		s.onMessage(received("retried", inRound(round)))
		r.want(t, "trace offered", fmt.Sprint("round ", round), "CROSS", "cross 0s 75ms")
		left := maxWindow - time.Duration(round)*(2*time.Second+150*time.Millisecond)
		if got := r.rounds[round]; !got.atCross || got.late || got.window != left {
			t.Errorf("round %+v, want one of %v at CROSS", got, left)
		}
	}
	s.now = s.windowEnd.Add(-minRound)
	s.onSpoiled() // too late
	s.onTimer(roundTimer)
	s.onRoundEnded(2, punch.Result{Refused: 1})
	r.want(t, "end round", "DONE FAILED", "fail")
}

// TestSpoiledInVain: where another round would be none on fresh ports, or is not possible, the one
// under way goes on.
func TestSpoiledInVain(t *testing.T) {
	t.Parallel()
	kept := description{candidates: ours.candidates, behaviour: portFilter, preserved: true}
	for name, tc := range map[string]struct {
		initiator bool
		own       description
		theirs    stun.Behaviour
		before    func(*session)
		want      bool // another round
	}{
		"fresh here":        {true, kept, stun.Behaviour{}, nil, true},
		"fresh there":       {true, ours, stun.Behaviour{Mapping: stun.EIM, Ports: stun.Preserved}, nil, true},
		"nowhere":           {true, ours, stun.Behaviour{Mapping: stun.EIM, Ports: stun.Random}, nil, false},
		"a responder":       {false, description{candidates: theirs.candidates, preserved: true}, stun.Behaviour{}, nil, false},
		"a predicted port":  {true, kept, sequential, nil, false},
		"nobody would hear": {true, kept, stun.Behaviour{}, func(s *session) { s.onSignalLost(nil, ErrSignalLost) }, false},
		"usable":            {true, kept, stun.Behaviour{}, func(s *session) { s.usable = true }, false},
		"the last one":      {true, kept, stun.Behaviour{}, func(s *session) { s.round = maxRounds }, false},
		"no time":           {true, kept, stun.Behaviour{}, func(s *session) { s.now = s.windowEnd }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r := punchingSession(t, tc.initiator, tc.own, behind(tc.theirs))
			if tc.before != nil {
				tc.before(s)
			}
			s.onSpoiled()
			if got := slices.Contains(r.did, "end round"); got != tc.want {
				t.Errorf("did %q, want another round: %v", r.did, tc.want)
			}
		})
	}
}

// TestRetryOnFreshPorts: a responder waits for CROSS as well, and is not late in the second round.
func TestRetryOnFreshPorts(t *testing.T) {
	t.Parallel()
	own := description{candidates: theirs.candidates, behaviour: portFilter}
	s, r := punchingSession(t, false, own)
	s.onSpoiled()
	s.onMessage(received("retry", inRound(1), behind(portFilter), of(reflexive(addrs("46.0.1.1:50009")...)...)))
	r.want(t, "end round", "trace round failed", "gather fresh")
	s.onGathered(own, 50001, nil)
	r.want(t, "ANSWER", "trace offered", "round 1")
	if got := r.rounds[1]; !got.atCross || got.late || got.window != maxWindow {
		t.Errorf("round %+v", got)
	}
	s.onMessage(received("cross"))
	r.want(t, "cross 30ms 0s")
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
	if got := r.rounds[0].window; got != maxWindow {
		t.Errorf("a round of %v: the initiator says when it is over", got)
	}
	s.onMessage(received("retry", inRound(0)))
	r.want(t)
	s.onMessage(received("retry", inRound(1)))
	r.want(t, "end round", "trace round failed", "gather fresh")
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
	// A peer that begins another round nevertheless could have the SYNs go to another address.
	s, r = newSession(false)
	s.guessing = true
	s.onMessage(received("offer", plain, willing))
	s.onGathered(own, 50000, nil)
	s.onMessage(received("retry", willing, of(reflexive(addrs("46.0.9.1:50000")...)...)))
	s.onGathered(own, 50001, nil)
	if len(r.rounds) != 2 || r.rounds[0].guess != punch.GuessPorts || r.rounds[1].guess != punch.NoGuess {
		t.Errorf("did %q, rounds %+v, want GuessPorts in the first of two", r.did, r.rounds)
	}

	s, r = newSession(true)
	s.guessing, r.guessErr = true, fmt.Errorf("%w: ports of another peer are being guessed", ErrBusy)
	s.onGathered(own, 40000, nil)
	s.onMessage(received("answer", plain, willing))
	if len(r.rounds) != 0 || r.err.Reason() != ErrBusy || r.sent[1].status != StatusBusy {
		t.Errorf("did %q: %v, want ErrBusy", r.did, r.err)
	}
}

// TestSecondDelay: a responder's second port waits until the initiator has the ANSWER.
func TestSecondDelay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		initiator    bool
		own, offered time.Duration // from this side to the relay, and from the peer
		want         time.Duration
	}{
		"both ways are known":      {false, 20 * time.Millisecond, 30 * time.Millisecond, 50 * time.Millisecond},
		"the initiator's is known": {false, 0, 30 * time.Millisecond, 30 * time.Millisecond},
		"unknown":                  {false, 0, 0, 0},
		"the initiator lies":       {false, 20 * time.Millisecond, time.Hour, maxAnswerWay},
		"initiator":                {true, 20 * time.Millisecond, 30 * time.Millisecond, 0},
	} {
		s, r := newSession(tc.initiator)
		s.toRelay = tc.own
		if tc.initiator {
			s.onGathered(ours, 40000, nil)
			s.onMessage(received("answer", plain))
			if got := r.sent[0].delay; got != tc.own {
				t.Errorf("%s: the OFFER's delay is %v, want %v", name, got, tc.own)
			}
		} else {
			s.onMessage(received("offer", plain, func(m *message) { m.delay = tc.offered }))
			s.onGathered(theirs, 50000, nil)
		}
		if got := r.rounds[0].delay[1]; got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestSpreadDelays: where both NATs drop a SYN that comes too early, and then let one in, the first
// port begins before the initiator does, and the second one after it.
func TestSpreadDelays(t *testing.T) {
	t.Parallel()
	const way, long = 30 * time.Millisecond, 450 * time.Millisecond
	apart, usual := [2]time.Duration{20 * time.Millisecond, 45 * time.Millisecond}, [2]time.Duration{0, way}
	drops := stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Unsolicited: stun.Drop}
	but := func(change func(*stun.Behaviour)) stun.Behaviour {
		b := drops
		change(&b)
		return b
	}
	for name, tc := range map[string]struct {
		way   time.Duration
		other stun.Behaviour // of either side; the other one's NAT drops
		want  [2]time.Duration
	}{
		"dropped":     {way, drops, apart},
		"far away":    {long, drops, [2]time.Duration{300 * time.Millisecond, maxAnswerWay}},
		"by address":  {way, but(func(b *stun.Behaviour) { b.Filtering = stun.ADF }), apart},
		"bare SYN":    {way, but(func(b *stun.Behaviour) { b.BareSYN = stun.Yes }), apart},
		"no bare SYN": {way, but(func(b *stun.Behaviour) { b.BareSYN = stun.No }), usual},
		"refused":     {way, but(func(b *stun.Behaviour) { b.Unsolicited = stun.RST }), usual},
		"let in":      {way, but(func(b *stun.Behaviour) { b.Filtering = stun.EIF }), usual},
		"predicted":   {way, but(func(b *stun.Behaviour) { b.Mapping, b.Ports = stun.APDM, stun.Preserved }), usual},
		"unknown":     {way, stun.Behaviour{}, usual},
	} {
		for i, sides := range [][2]stun.Behaviour{{drops, tc.other}, {tc.other, drops}} {
			s, r := newSession(false)
			s.onMessage(received("offer", behind(sides[1]), plain, func(m *message) { m.delay = tc.way }))
			s.onGathered(description{candidates: theirs.candidates, behaviour: sides[0]}, 50000, nil)
			if len(r.rounds) != 1 {
				t.Fatalf("%s, %d: did %q", name, i, r.did)
			}
			round := r.rounds[0]
			if v6 := [2]time.Duration{0, tc.way}; round.delay != tc.want || round.delayV6 != v6 {
				t.Errorf("%s, %d: %v, and %v in IPv6, want %v and %v", name, i, round.delay, round.delayV6, tc.want, v6)
			}
		}
	}
}

// TestFirstDelay: where a port is predicted, a responder's first port waits as well if a SYN that
// comes too early may spoil the pair.
func TestFirstDelay(t *testing.T) {
	t.Parallel()
	const way = 30 * time.Millisecond
	refuses := stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Unsolicited: stun.ICMP}
	drops := stun.Behaviour{Mapping: stun.EIM, Filtering: stun.APDF, Unsolicited: stun.Drop}
	refusing := preserving
	refusing.Unsolicited = stun.RST
	as := candidates(punch.Predicted, "46.0.3.1:50001")
	for name, tc := range map[string]struct {
		own, theirs stun.Behaviour
		following   bool             // in the first round
		want        [2]time.Duration // in the first two rounds
		late        bool             // in the second
	}{
		"refused with RST":     {preserving, portFilter, false, [2]time.Duration{way, way}, true},
		"refused with ICMP":    {preserving, refuses, false, [2]time.Duration{way, way}, true},
		"dropped":              {preserving, drops, false, [2]time.Duration{0, way}, true},
		"unknown":              {preserving, stun.Behaviour{}, false, [2]time.Duration{0, way}, true},
		"the initiator's port": {drops, sequential, true, [2]time.Duration{0, way}, true},
		"both refuse":          {refusing, portFilter, false, [2]time.Duration{way, 0}, false},
		"here it is refused":   {portFilter, sequential, true, [2]time.Duration{0, 0}, false},
		"nothing is predicted": {drops, portFilter, false, [2]time.Duration{0, 0}, false},
	} {
		s, r := newSession(false)
		own := description{candidates: as, behaviour: tc.own}
		s.onMessage(received("offer", behind(tc.theirs), plain, func(m *message) { m.delay, m.following = way, tc.following }))
		s.onGathered(own, 50000, nil)
		s.onMessage(received("retry", behind(tc.theirs), inRound(1)))
		s.onGathered(own, 50001, nil)
		if len(r.rounds) != 2 {
			t.Fatalf("%s: did %q", name, r.did)
		}
		for i, want := range tc.want {
			if got := r.rounds[i].delay; got != [2]time.Duration{want, way} {
				t.Errorf("%s, round %d: %v, want %v", name, i, got, want)
			}
		}
		if r.rounds[0].late || r.rounds[1].late != tc.late {
			t.Errorf("%s: late %v, then %v, want %v", name, r.rounds[0].late, r.rounds[1].late, tc.late)
		}
	}
}

// TestLateAndPassive: which side waits for the other.
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
