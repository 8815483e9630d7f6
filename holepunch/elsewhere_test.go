package holepunch

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestElsewhere: what comes from another port than those that are known to be the peer's is not chosen before these
// have had their time, though it has the right key.
func TestElsewhere(t *testing.T) {
	for name, tc := range map[string]struct{ exact, there, elsewhere bool }{
		"the port is known":                   {true, true, false},
		"it is known, and the peer not there": {true, false, true},
		"it is not known":                     {false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			victim := newSide(t)
			named := closedPort(t)
			victim.expect.From([]netip.AddrPort{named})
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			nc, err := net.Dial("tcp4", victim.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			go func() {
				if answer(nc) == nil && tc.there {
					l, err := net.Listen("tcp4", named.String())
					if err != nil {
						t.Error(err)
						return
					}
					defer l.Close()
					if c, err := l.Accept(); err == nil {
						answer(c)
						<-ctx.Done()
						c.Close()
					}
				}
			}()
			won, err := Open(ctx, Punch{Locals: []Local{{victim.port, victim.expect}}, Remote: Reflexive(named), Exact: tc.exact},
				func(ctx context.Context, c *Conn) (*Conn, error) {
					_, err := shakeInitiator(ctx, c)
					if err == nil {
						err = c.Choose(ctx)
					}
					return c, err
				})
			if err != nil {
				t.Fatal(err)
			}
			if elsewhere := won.Remote() != named; elsewhere != tc.elsewhere {
				t.Errorf("chosen is what came from %s; the peer named %s", won.Remote(), named)
			}
			tcpport.Reset(won.TCPConn)
		})
	}
}

// answer plays the responder's part.
func answer(c net.Conn) error {
	if _, err := io.ReadFull(c, make([]byte, len(hello))); err != nil {
		return err
	}
	_, err := io.WriteString(c, reply)
	return err
}

func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
