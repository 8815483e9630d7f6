package holepunch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// testTimeout ends a test that waits for what does not come.
const testTimeout = 30 * time.Second

// A side is one peer of a punch on loopback, where the SYNs of both meet at once
// and every connection is a candidate's or a stranger's with the same address.
type side struct {
	port   *tcpport.Port
	addr   netip.AddrPort
	expect *tcpport.Expectation
}

func newSide(t *testing.T) *side {
	t.Helper()
	p, err := tcpport.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &side{p, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p.Number()), p.Expect()}
	t.Cleanup(func() {
		s.expect.Close()
		p.Close()
	})
	return s
}

func (s *side) punch(peer *side) Punch {
	s.expect.From([]netip.AddrPort{peer.addr})
	return Punch{Locals: []Local{{s.port, s.expect}}, Remote: Reflexive(peer.addr)}
}

// hello and reply stand in for the security handshake: the initiator speaks
// first, and both prove who they are.
const (
	hello = "hello, it is me"
	reply = "and it is me"
)

func shakeInitiator(ctx context.Context, c *Conn) (*net.TCPConn, error) {
	return shake(ctx, c, func() error {
		if _, err := io.WriteString(c, hello); err != nil {
			return err
		}
		return expectText(c, reply)
	})
}

func shakeResponder(ctx context.Context, c *Conn) (*net.TCPConn, error) {
	return shake(ctx, c, func() error {
		if err := expectText(c, hello); err != nil {
			return err
		}
		_, err := io.WriteString(c, reply)
		return err
	})
}

func shake(ctx context.Context, c *Conn, f func() error) (*net.TCPConn, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := f(); err != nil {
		return nil, err
	}
	return c.TCPConn, nil
}

func expectText(r io.Reader, want string) error {
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if string(b) != want {
		return fmt.Errorf("got %q", b)
	}
	return nil
}

// punchBoth runs both sides and returns the connection of each.
func punchBoth(t *testing.T, initiator, responder *side) (i, r *net.TCPConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	var wg sync.WaitGroup
	delivered := 0
	wg.Go(func() {
		err := Serve(ctx, responder.punch(initiator), shakeResponder, func(c *net.TCPConn) {
			delivered++
			r = c
		})
		if err != nil {
			t.Error(err)
		}
	})
	i, err := Open(ctx, initiator.punch(responder), shakeInitiator)
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if delivered != 1 {
		t.Fatalf("%d connections were delivered to the responder, want 1", delivered)
	}
	t.Cleanup(func() {
		tcpport.Reset(i)
		tcpport.Reset(r)
	})
	return i, r
}

// wantSame checks that two sockets are the ends of one connection.
func wantSame(t *testing.T, a, b *net.TCPConn) {
	t.Helper()
	if a.LocalAddr().String() != b.RemoteAddr().String() || a.RemoteAddr().String() != b.LocalAddr().String() {
		t.Fatalf("%v to %v and %v to %v are not one connection", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}
	if _, err := io.WriteString(a, "ping"); err != nil {
		t.Fatal(err)
	}
	if err := expectText(b, "ping"); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	a, b := newSide(t), newSide(t)
	i, r := punchBoth(t, a, b)
	wantSame(t, i, r)
}

// A stranger that shares the peer's address reaches the punching port first.
func TestStrangerDoesNotWin(t *testing.T) {
	behaviour := map[string]func(c net.Conn){
		"silent":       func(net.Conn) {},
		"babbles":      func(c net.Conn) { io.WriteString(c, "SSH-2.0-nobody\r\n") },
		"hangs up":     func(c net.Conn) { c.Close() },
		"resets":       func(c net.Conn) { tcpport.Reset(c.(*net.TCPConn)) },
		"impersonates": func(c net.Conn) { io.WriteString(c, hello[:5]) },
	}
	for name, act := range behaviour {
		for _, victim := range []string{"initiator", "responder"} {
			t.Run(victim+"/"+name, func(t *testing.T) {
				t.Parallel()
				a, b := newSide(t), newSide(t)
				v, peer := a, b
				if victim == "responder" {
					v, peer = b, a
				}
				v.expect.From([]netip.AddrPort{peer.addr})
				for range 3 {
					c, err := net.Dial("tcp4", v.addr.String())
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					act(c)
				}
				i, r := punchBoth(t, a, b)
				wantSame(t, i, r)
			})
		}
	}
}

// Strangers that take every place there is to wait in do not keep the peer out.
func TestCrowdOfStrangersDoesNotWin(t *testing.T) {
	for _, victim := range []string{"initiator", "responder"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			a, b := newSide(t), newSide(t)
			v, peer := a, b
			if victim == "responder" {
				v, peer = b, a
			}
			more := make(chan []Candidate)
			p := v.punch(peer)
			p.Remote, p.More = nil, more // until the strangers are there
			came := make(chan struct{}, 1000)
			p.Trace = func(e Event) {
				switch {
				case e.Kind == Accepted && e.Remote != peer.addr:
					came <- struct{}{}
				case e.Kind == Unsecured && e.Remote == peer.addr:
					t.Errorf("the peer's connection was given up: %v", e.Err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			var both sync.WaitGroup
			defer both.Wait()
			both.Go(func() { runSide(ctx, t, p, victim == "initiator") })

			for range 2 * maxStrangers {
				c, err := net.Dial("tcp4", v.addr.String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				<-came
			}
			more <- Reflexive(peer.addr)
			runSide(ctx, t, peer.punch(v), victim != "initiator")
		})
	}
}

func runSide(ctx context.Context, t *testing.T, p Punch, initiator bool) {
	var c *net.TCPConn
	var err error
	if initiator {
		c, err = Open(ctx, p, shakeInitiator)
	} else {
		err = Serve(ctx, p, shakeResponder, func(s *net.TCPConn) { c = s })
	}
	if err != nil {
		t.Error(err)
		return
	}
	tcpport.Reset(c)
}

func TestOpenSaysWhyNot(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		a, b := newSide(t), newSide(t)
		p := a.punch(b)
		b.expect.Close()
		b.port.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := Open(ctx, p, shakeInitiator)
		var punch *PunchError
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoConnection) || !strings.Contains(err.Error(), "connection refused") {
			t.Fatalf("got %v, want DeadlineExceeded, with the refusal in the text", err)
		}
		if !errors.As(err, &punch) || punch.Attempts < 2 || punch.Local != a.port.Number() || punch.Remote[0] != b.addr {
			t.Fatalf("got %+v, want where and how often", punch)
		}
	})
	t.Run("cancelled with a reason", func(t *testing.T) {
		a, b := newSide(t), newSide(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("told to stop")
		cancel(reason)
		if _, err := Open(ctx, a.punch(b), shakeInitiator); !errors.Is(err, reason) {
			t.Fatalf("got %v, want the reason", err)
		}
	})
	t.Run("peer is somebody else", func(t *testing.T) {
		a, b := newSide(t), newSide(t)
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		b.expect.From([]netip.AddrPort{a.addr})
		go func() {
			for c := range b.expect.Conns() {
				io.WriteString(c, "I am somebody else")
				tcpport.Reset(c)
			}
		}()
		// It ends before ctx does, after some connections.
		if _, err := Open(ctx, a.punch(b), shakeInitiator); !errors.Is(err, ErrHandshake) {
			t.Fatalf("got %v, want ErrHandshake", err)
		}
	})
	t.Run("port closed", func(t *testing.T) {
		a, b := newSide(t), newSide(t)
		p := a.punch(b)
		a.port.Close()
		b.port.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := Open(ctx, p, shakeInitiator); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the context's error", err)
		}
	})
}

// A context that ends at any point ends the punch, and nothing is left.
func TestOpenEndsWithItsContext(t *testing.T) {
	for d := time.Duration(0); d < 4*time.Millisecond; d += 200 * time.Microsecond {
		a, b := newSide(t), newSide(t)
		ctx, cancel := context.WithTimeout(t.Context(), d)
		var wg sync.WaitGroup
		for _, role := range []func(){
			func() {
				if c, err := Open(ctx, a.punch(b), shakeInitiator); err == nil {
					tcpport.Reset(c)
				}
			},
			func() {
				Serve(ctx, b.punch(a), shakeResponder, func(c *net.TCPConn) { tcpport.Reset(c) })
			},
		} {
			wg.Go(role)
		}
		wg.Wait()
		cancel()
	}
}
