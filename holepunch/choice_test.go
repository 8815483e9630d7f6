package holepunch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
)

// TestChoose: of two connections on which an initiator shakes hands, the first that asks is
// chosen, and the other one only when the handshake on that has failed.
func TestChoose(t *testing.T) {
	for name, failure := range map[string]error{"the first is secured": nil, "the first fails": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			a := newSide(t)
			remote := []netip.AddrPort{listenSomewhere(t), listenSomewhere(t)}
			a.expect.From(remote)
			p := Punch{Locals: []Local{{a.port, a.expect}}, Remote: Reflexive(remote...)}

			var calls atomic.Int32
			both, chosen := make(chan struct{}), make(chan struct{})
			second := make(chan error, 1)
			got, err := Open(t.Context(), p, func(ctx context.Context, c *Conn) (*Conn, error) {
				if calls.Add(1) == 1 {
					<-both
					err := errors.Join(c.Choose(ctx), c.Choose(ctx)) // once is enough
					close(chosen)
					return c, errors.Join(err, failure)
				}
				close(both)
				<-chosen
				err := c.Choose(ctx)
				second <- err
				return c, err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if err := <-second; (err == nil) != (failure != nil) {
				t.Errorf("the second was told %v, when the first had %v", err, failure)
			}
		})
	}
}

// TestCandidate: a port that was guessed is none that the peer has named, and anybody's server may
// be there. If it were taken for the peer's, eight of them would end the punch.
func TestCandidate(t *testing.T) {
	named, guessed := listenSomewhere(t), listenSomewhere(t)
	p := &punch[*Conn]{Punch: Punch{Remote: Reflexive(named)}}
	for _, to := range []netip.AddrPort{named, guessed} {
		nc, err := net.Dial("tcp4", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := newConn(nc.(*net.TCPConn), false)
		if p.enqueue(c); c.Candidate != (to == named) {
			t.Errorf("to %s: candidate is %v", to, c.Candidate)
		}
	}
}

// listenSomewhere has the kernel accept connections.
func listenSomewhere(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}
