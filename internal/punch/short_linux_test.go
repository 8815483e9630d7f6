package punch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestNoFileDescriptors: without a socket no SYN was sent, and no NAT is to blame.
func TestNoFileDescriptors(t *testing.T) {
	s, peer := newSide(t), newSide(t)
	labtest.NoFiles(t)
	for _, guess := range []Guess{NoGuess, OfferPorts} {
		budget := newBudget(1)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		r := Open(ctx, Round{Ports: []*tcpport.Port{s.port}, Remote: reflexive(peer.addr), Guess: guess, Budget: budget, times: quick}).Wait()
		if !errors.Is(r.Err, tcpport.ErrShort) {
			t.Errorf("got %v, want %v", r.Err, tcpport.ErrShort)
		}
	}
}
