package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestNoFileDescriptors: without a socket no SYN was sent, no NAT is to blame, and nothing is tried
// again.
func TestNoFileDescriptors(t *testing.T) {
	s, peer, other := newSide(t), newSide(t), newSide(t)
	labtest.NoFiles(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	budget := newBudget(2)
	o := Open(ctx, Round{Ports: []*tcpport.Port{s.port}, Remote: reflexive(peer.addr, other.addr), Budget: budget, times: quick})
	select {
	case <-o.Short():
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	o.Add(reflexive(s.addr)) // as a late message of the peer may have it
	cancel()
	if r := o.Wait(); !errors.Is(r.Err, tcpport.ErrShort) || r.Connects > 0 {
		t.Errorf("got %+v, want %v and no connect", r, tcpport.ErrShort)
	}
}

// TestFewFileDescriptors: while one pair has a socket, the punch goes on.
func TestFewFileDescriptors(t *testing.T) {
	s, peer := newSide(t), newSide(t)
	held, failed := make(chan struct{}), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	o := Open(ctx, Round{
		Ports:  []*tcpport.Port{s.port},
		Remote: reflexive(peer.addr),
		Serve: func(c *net.TCPConn) error {
			close(held)
			<-ctx.Done()
			c.Close()
			return ErrSilent
		},
		Trace: func(step Step, _ uint16, _ netip.AddrPort, _ error) {
			if step == ConnectFailed {
				failed <- struct{}{}
			}
		},
		times: quick,
	})
	wantClosed(t, "held", held)
	labtest.NoFiles(t)
	o.Add(reflexive(s.addr))
	wantClosed(t, "failed", failed)
	select {
	case <-o.Short():
		t.Error("it was given up")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if r := o.Wait(); !errors.Is(r.Err, tcpport.ErrShort) {
		t.Errorf("got %+v, want %v", r, tcpport.ErrShort)
	}
}

// TestNoFileDescriptorsToOffer: a side that offers ports to be guessed reports why there are none.
func TestNoFileDescriptorsToOffer(t *testing.T) {
	s, peer := newSide(t), newSide(t)
	labtest.NoFiles(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := Open(ctx, Round{Ports: []*tcpport.Port{s.port}, Remote: reflexive(peer.addr), Guess: OfferPorts, Budget: newBudget(1), times: quick}).Wait()
	if !errors.Is(r.Err, tcpport.ErrShort) {
		t.Errorf("got %v, want %v", r.Err, tcpport.ErrShort)
	}
}
