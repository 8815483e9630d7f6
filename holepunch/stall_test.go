package holepunch

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
)

// A handshake that hangs, as on a connection whose NAT mapping is gone, is given up by
// both sides, and the next connection between the same ports is the one.
func TestHandshakeThatHangs(t *testing.T) {
	a, b := newSide(t), newSide(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	var hung atomic.Int32
	first := func(shake func(context.Context, *Conn) (*net.TCPConn, error)) func(context.Context, *Conn) (*net.TCPConn, error) {
		var calls atomic.Int32
		return func(ctx context.Context, c *Conn) (*net.TCPConn, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				hung.Add(1)
				return nil, ctx.Err()
			}
			return shake(ctx, c)
		}
	}
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, b.punch(a), first(shakeResponder), func(c *net.TCPConn) { c.Close() })
	}()
	c, err := Open(ctx, a.punch(b), first(shakeInitiator))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if hung.Load() != 2 {
		t.Errorf("%d handshakes hung, want one on each side", hung.Load())
	}
}
