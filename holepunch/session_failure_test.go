package holepunch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

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

// TestAnswers: what an initiator makes of what comes in reply to its OFFER. With an ANSWER that it
// refuses it chooses no connection, whose end the peer would take for the reason.
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
		got := strings.Join(slices.DeleteFunc(r.did, func(d string) bool { return d == "fail" }), ", ")
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

// TestTold: a peer learns of a failure what the table of reasons allows, and once SYNs were sent,
// nothing about their outcome.
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
		case row.Reason == ErrGated, row.Reason == ErrResourceLimit, // the connection had the right token
			row.Reason == ErrNoSocket: // nothing was sent
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

// TestRoundError: the error is the most specific one of the connects.
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

// TestRetryAfterDone: a peer that has reported success gets no other round. Nobody would give back
// what was gathered for the one before.
func TestRetryAfterDone(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, false, theirs)
	s.onMessage(received("retry"))
	r.want(t, "end round", "trace round failed", "gather fresh")
	s.onMessage(received("done"))
	s.onMessage(received("retry", inRound(2)))
	s.onGathered(theirs, 50001, nil)
	s.onMessage(received("retry", inRound(3)))
	r.want(t)
}
