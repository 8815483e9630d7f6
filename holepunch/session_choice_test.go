package holepunch

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// TestChosenBetweenRounds: a connection of the round before may be chosen while the next one is
// being prepared. Nothing is retried then, and nothing is waited for but the handshake.
func TestChosenBetweenRounds(t *testing.T) {
	t.Parallel()
	own := description{candidates: ours.candidates, behaviour: preserving}
	initiator := func() (*session, *recorder) {
		s, r := newSession(true, "/noise", "/tls/1.0.0")
		s.onGathered(own, 40000, nil)
		s.onMessage(received("other"))
		s.onTimer(roundTimer)
		s.onRoundEnded(0, punch.Result{})
		return s, r
	}
	responder := func() (*session, *recorder) {
		s, r := newSession(false, "/noise")
		s.onMessage(received("offer"))
		s.onGathered(description{candidates: theirs.candidates, behaviour: preserving}, 50000, nil)
		s.onMessage(received("flight"))
		s.onMessage(received("retry"))
		return s, r
	}
	gathered := func(s *session) { s.onGathered(own, 40001, nil) }
	for name, tc := range map[string]struct {
		begin  func() (*session, *recorder)
		before func(*session) // the choice
		after  func(*session)
	}{
		"initiator, gathering":  {initiator, func(*session) {}, gathered},
		"initiator, asking":     {initiator, gathered, func(s *session) { s.onTimer(answerTimer) }},
		"initiator, predicting": {initiator, gathered, func(s *session) { s.onPredicted(nil, errors.New("no observer")) }},
		"responder, gathering":  {responder, func(*session) {}, gathered},
		"responder, no address": {responder, func(*session) {}, func(s *session) { s.onGathered(description{}, 0, ErrNoAddress) }},
	} {
		s, r := tc.begin()
		tc.before(s)
		s.onChosen()
		r.did = nil
		tc.after(s)
		if len(r.did) > 0 {
			t.Errorf("%s: did %q after the choice", name, r.did)
		}
		r.did = nil
		s.onSecured(nil)
		r.want(t, "finish")
		if r.err != nil {
			t.Errorf("%s: %v", name, r.err)
		}
	}
}

// TestChosenAfterRound: a connection that is up when the last round's time is over, and on which
// the peer has yet to show its token, is given the time for that.
func TestChosenAfterRound(t *testing.T) {
	t.Parallel()
	h := &fakeHost{T: t}
	a := h.agent()
	defer func() { h.check(a) }()
	rounds := make(chan *watchedRound, 1)
	a.open = func(ctx context.Context, r punch.Round) opening {
		w := &watchedRound{h.openRound(ctx, r), make(chan struct{})}
		rounds <- w
		return w
	}
	x, y := pipe()
	at := newAttempt(testContext(t), a, y, nil, true)
	dialled := make(chan side, 1)
	go func() {
		conn, err := at.run()
		dialled <- side{conn, err}
	}()
	offer, err := readMessage(newReader(x))
	if err != nil {
		t.Fatal(err)
	}
	answer := vectors()["answer"]
	plain(answer)
	answer.attempt = offer.attempt
	(&handmadeInitiator{signal: x}).say(t, answer)
	round := <-rounds
	here, there := loopbackPair(t)
	at.helpers.Go(func() { at.stream.Serve(here, false) })
	// It is up when our token is there.
	if _, err := there.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	at.post(func() { at.session.onTimer(roundTimer) })
	<-round.ended
	select {
	case s := <-dialled:
		t.Fatalf("got %v, %v, before the peer has spoken", s.conn, s.err)
	case <-time.After(50 * time.Millisecond): // in which it would have failed
	}
	if _, err := there.Write(offer.token.AppendPreamble(nil)); err != nil {
		t.Fatal(err)
	}
	s := <-dialled
	if s.err != nil {
		t.Fatal(s.err)
	}
	s.conn.Close()
}

func loopbackPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if b, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a, b
}

// A watchedRound says when its connects have ended.
type watchedRound struct {
	opening
	ended chan struct{}
}

func (r *watchedRound) Wait() punch.Result {
	defer close(r.ended)
	return r.opening.Wait()
}
