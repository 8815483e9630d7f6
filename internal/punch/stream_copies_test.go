package punch

import (
	"context"
	"testing"
	"time"
)

// TestManyCopies: a peer that knows the token cannot have any number of connections up.
func TestManyCopies(t *testing.T) {
	t.Parallel()
	s := newStream(t, StreamConfig{})
	var served []<-chan error
	for range maxLiveCopies {
		x, y := connPair(t)
		served = append(served, serve(t, s, y, true))
		wantRead(t, x, string(peerToken.AppendPreamble(nil))) // it is up
	}
	_, y := connPair(t)
	wantServed(t, serve(t, s, y, true), errTooManyCopies)
	first, second := served[0], served[1]
	select {
	case err := <-first:
		t.Errorf("the first has ended: %v", err)
	case err := <-second:
		t.Errorf("the second has ended: %v", err)
	default:
	}
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
		s := newStream(t, StreamConfig{Initiator: true, CopyTimeout: time.Hour})
		wantClosed(t, "Settle without connections", settle(t.Context(), s))
		x, y := connPair(t)
		serve(t, s, y, true)
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
