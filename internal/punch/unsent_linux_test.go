package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestUnsent: a candidate that the host cannot send to, as an IPv6 one where it has no IPv6, is
// tried again now and then. That costs no SYNs of the budget. It is a reason to look further only
// if there is no other candidate.
func TestUnsent(t *testing.T) {
	t.Parallel()
	t.Run("alone", func(t *testing.T) { testUnsent(t) })
	t.Run("beside another", func(t *testing.T) { testUnsent(t, newSide(t).addr) })
}

func testUnsent(t *testing.T, others ...netip.AddrPort) {
	t.Parallel()
	s := newSide(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	to := netip.MustParseAddrPort("[fe80::1]:4001") // no interface is named
	tries := 0
	budget := newBudget(1 + len(others))
	o := Open(ctx, Round{
		Ports:  []*tcpport.Port{s.port},
		Remote: reflexive(append(others, to)...),
		Budget: budget,
		Serve: func(c *net.TCPConn) error {
			<-ctx.Done()
			c.Close()
			return ErrSilent
		},
		Trace: func(step Step, _ uint16, remote netip.AddrPort, _ error) {
			if step == Connecting && remote == to {
				tries++
			}
		},
	})
	r := o.Wait()
	if !errors.Is(r.Err, tcpport.ErrUnsent) || r.Connects != len(others) || tries < 2 || tries > 4 {
		t.Errorf("got %+v after %d tries, want %v, %d connects, 2 to 4 tries", r, tries, tcpport.ErrUnsent, len(others))
	}
	failing := false
	select {
	case <-o.Failing():
		failing = true
	default:
	}
	if alone := len(others) == 0; failing != alone {
		t.Errorf("failing: %v, want %v", failing, alone)
	}
}
