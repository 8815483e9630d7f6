package holepunch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) { synctest.Test(t, testLimiter) }

func testLimiter(t *testing.T) {
	l := NewLimiter()
	var budgets []*Budget
	for range maxPeerAttempts {
		b, err := l.Begin("a")
		if err != nil {
			t.Fatal(err)
		}
		budgets = append(budgets, b)
	}
	if _, err := l.Begin("a"); !errors.Is(err, ErrBusy) {
		t.Fatalf("attempt %d of a peer: %v, want ErrBusy", maxPeerAttempts+1, err)
	}
	b, err := l.Begin("b")
	if err != nil {
		t.Fatal(err)
	}
	b.End()
	for _, b := range budgets {
		b.End()
	}
	// All attempts of a peer share its SYNs.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	spent := 0
	for {
		b, err := l.Begin("a")
		if err != nil {
			t.Fatal(err)
		}
		err = b.Spend(ctx)
		b.End()
		if err != nil {
			break
		}
		spent++
	}
	if spent < peerBurst || spent > peerBurst+2*peerRate {
		t.Fatalf("%d SYNs within a second, want about %d", spent, peerBurst+peerRate)
	}
	if _, err := l.Begin("c"); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.peers["b"]; ok {
		t.Error("a peer without a debt is remembered")
	}
	if _, ok := l.peers["a"]; !ok {
		t.Error("a peer's debt is forgotten")
	}
}

// Ports are guessed for one peer at a time, and seldom.
func TestBeginGuess(t *testing.T) {
	l := NewLimiter()
	end, err := l.BeginGuess()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.BeginGuess(); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one at the same time: %v, want ErrBusy", err)
	}
	end()
	if _, err := l.BeginGuess(); !errors.Is(err, ErrBusy) {
		t.Errorf("another at once: %v, want ErrBusy", err)
	}
	l.GuessPause = 0
	if _, err := l.BeginGuess(); err != nil {
		t.Errorf("another after the pause: %v", err)
	}
}
