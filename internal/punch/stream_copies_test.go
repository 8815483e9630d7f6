package punch

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestManyCopies: a peer that knows the token cannot have any number of connections up.
func TestManyCopies(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{})
	var served []<-chan error
	for range maxLiveCopies + 1 {
		served = append(served, serveUp(t, s, true))
	}
	wantServed(t, served[0], errTooManyCopies)
	for i, c := range served[1:] {
		wantServing(t, fmt.Sprintf("connection %d", i+1), c)
	}
}

// TestManySilentCopies: connections with strangers that say nothing do not keep out the peer's.
func TestManySilentCopies(t *testing.T) {
	t.Parallel()
	initiators := newStream(t, StreamConfig{Initiator: true, copyTimeout: time.Hour})
	oldest := serveUp(t, initiators, false)
	for range maxLiveCopies {
		serveUp(t, initiators, false)
	}
	wantServed(t, oldest, errTooManyCopies)

	s := newStream(t, StreamConfig{copyTimeout: time.Hour})
	shown := serveUp(t, s, true)
	var silent []<-chan error
	for range maxLiveCopies - 1 {
		silent = append(silent, serveUp(t, s, false))
	}
	last, peers := serveUp(t, s, false), serveUp(t, s, true)
	wantServed(t, silent[0], errTooManyCopies)
	wantServed(t, silent[1], errTooManyCopies)
	wantServing(t, "the first that has shown the token", shown)
	wantServing(t, "the third of the silent ones", silent[2])
	wantServing(t, "the last of the silent ones", last)
	wantServing(t, "the peer's", peers)
}

// serveUp serves a connection of which the other end is silent, and returns when it is up.
func serveUp(t *testing.T, s *Stream, accepted bool) <-chan error {
	t.Helper()
	x, y := connPair(t)
	served := serve(t, s, y, accepted)
	wantRead(t, x, preamble(peerToken))
	return served
}

func wantServing(t *testing.T, what string, served <-chan error) {
	t.Helper()
	select {
	case err := <-served:
		t.Errorf("%s has ended: %v", what, err)
	default:
	}
}

// TestChoiceTimeoutStartsAnew: a connection that a responder confirms later, as in another round,
// has all of choiceTimeout.
func TestChoiceTimeoutStartsAnew(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{choiceTimeout: time.Hour})
	serveUp(t, s, true)
	wantClosed(t, "Usable", s.Usable())
	s.update(func(*choice) { s.cfg.choiceTimeout = time.Millisecond })
	_, y := connPair(t)
	wantServed(t, serve(t, s, y, true), ErrNoChoice)
}

// TestChoiceTimeoutIsBounded: a peer cannot keep a stream for ever by one connection after another.
func TestChoiceTimeoutIsBounded(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{choiceTimeout: time.Hour})
	serveUp(t, s, true)
	wantClosed(t, "Usable", s.Usable())
	s.update(func(*choice) { s.choiceLimit = time.Now() })
	_, y := connPair(t)
	wantServed(t, serve(t, s, y, true), ErrNoChoice)
}

// TestSettle: it waits for connections that may still be chosen, and for no others.
func TestSettle(t *testing.T) {
	t.Parallel()
	settle := func(ctx context.Context, s *Stream) <-chan struct{} {
		settled := make(chan struct{})
		go func() {
			defer close(settled)
			s.Settle(ctx)
		}()
		return settled
	}
	newUp := func() (*Stream, <-chan struct{}) {
		s := newStream(t, StreamConfig{Initiator: true, copyTimeout: time.Hour})
		wantClosed(t, "Settle without connections", settle(t.Context(), s))
		x, y := connPair(t)
		serve(t, s, y, false)
		wantRead(t, x, string(peerToken.AppendPreamble(nil))) // it is up
		settled := settle(t.Context(), s)
		wantOpen(t, "Settle with a connection", settled)
		return s, settled
	}
	s, settled := newUp()
	s.Fail(ErrNoChoice)
	wantClosed(t, "Settle when the stream has failed", settled)

	s, settled = newUp()
	s.update(func(k *choice) { k.choose(k.copies[0]) })
	wantClosed(t, "Settle when a connection was chosen", settled)

	s, _ = newUp()
	ctx, cancel := context.WithCancel(t.Context())
	settled = settle(ctx, s)
	wantOpen(t, "Settle with a connection", settled)
	cancel()
	wantClosed(t, "Settle when its context has ended", settled)
}
