package holepunch

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
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

// A connect on a 4-tuple that the listener has already sends no SYN, and costs none of
// the budget however often it is tried.
func TestBudgetOfATakenTuple(t *testing.T) {
	a, b := newSide(t), newSide(t)
	a.expect.From([]netip.AddrPort{b.addr})
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	c, err := b.port.Connect(ctx, a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer tcpport.Reset(c)

	tries := make(chan struct{}, 3)
	p := a.punch(b)
	p.Budget = &Budget{ // of one SYN, for ever
		limiter: &Limiter{host: rate.NewLimiter(0, 1)},
		peer:    &peerLimit{syns: rate.NewLimiter(0, 1)},
	}
	p.Trace = func(e Event) {
		if e.Kind == Connecting {
			select {
			case tries <- struct{}{}:
			default:
			}
		}
	}
	won, err := Open(ctx, p, func(ctx context.Context, c *Conn) (*Conn, error) {
		for range cap(tries) {
			select {
			case <-tries:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return c, nil
	})
	if err != nil {
		t.Fatalf("%v, want %d tries with a budget of one SYN", err, cap(tries))
	}
	tcpport.Reset(won.TCPConn)
}
