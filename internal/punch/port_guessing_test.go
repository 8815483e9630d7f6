package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
)

// TestGuess: one side tries ports until it hits one that the other side offers, which connects only
// to a port without a host.
func TestGuess(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	times := *quick
	times.guessRate = 5000
	guesses, offers := newSide(t).attempt(t, true), newSide(t).attempt(t, false)
	introduce(guesses, offers)
	closed := tcptest.Refusing(t)
	offers.round.Guess, offers.round.times = OfferPorts, &times
	guesses.round.Guess, guesses.round.times = GuessPorts, &times
	// Strangers' ports are tried as well, which accept and say nothing.
	guessed := closed
	if runtime.GOOS == "linux" { // which has all of 127.0.0.0/8: what listens at 127.0.0.1 alone is not tried
		guessed = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.77"), closed.Port())
	}
	offers.open(ctx, closed)
	guesses.open(ctx, guessed)
	wantSame(t, guesses, offers)
	if r := guesses.close(); r.Connects < 2 || r.Up == 0 {
		t.Errorf("the side that guesses has %+v", r)
	}
	if r := offers.close(); r.Connects < 2 { // the first ports may be guessed
		t.Errorf("the side that offers has %+v", r)
	}
}

// TestOfferedPortsConnect: a mapping's own connect may come up, too, and is repeated.
func TestOfferedPortsConnect(t *testing.T) {
	t.Parallel()
	s, peer := newSide(t), newSide(t)
	useless := errors.New("of no use")
	first := make(chan struct{}, 1)
	first <- struct{}{}
	r := Open(testContext(t), Round{
		Ports:  []*tcpport.Port{s.port},
		Remote: reflexive(peer.addr),
		Guess:  OfferPorts,
		Serve: func(c *net.TCPConn) error {
			defer tcpport.Reset(c)
			if tupleOf(c).port == s.port.Number() {
				return useless
			}
			select {
			case <-first:
				return useless
			default:
				return nil
			}
		},
		times: quick,
	}).Wait()
	if r.Up < 2 || !errors.Is(r.Dropped, useless) {
		t.Errorf("got %+v", r)
	}
}

// TestNothingToGuessAt: guessing needs an IPv4 address outside the peer's network.
func TestNothingToGuessAt(t *testing.T) {
	t.Parallel()
	for name, cs := range map[string][]Candidate{
		"none":     nil,
		"LAN":      {{Kind: LAN, Addr: netip.AddrPortFrom(localhost, 1)}},
		"listener": {{Kind: Listener, Addr: netip.AddrPortFrom(localhost, 1)}},
		"IPv6":     {{Kind: Reflexive, Addr: netip.MustParseAddrPort("[::1]:1")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, g := range []Guess{GuessPorts, OfferPorts} {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				r := Open(ctx, Round{Ports: []*tcpport.Port{newSide(t).port}, Remote: cs, Guess: g, Budget: newBudget(0)}).Wait()
				if r.Connects > 0 {
					t.Errorf("%d connects, want none", r.Connects)
				}
			}
		})
	}
}
