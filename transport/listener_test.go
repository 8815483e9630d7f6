package transport

import (
	"context"
	"errors"
	"testing"

	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
)

// A transport listens at one address, once at a time, and until it is closed.
func TestListen(t *testing.T) {
	t.Parallel()
	tr := newByHand(t, newHost(t))
	for _, a := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/simopen"} {
		if _, err := tr.Listen(ma.StringCast(a)); err == nil {
			t.Errorf("listens at %s", a)
		}
	}
	l, err := tr.Listen(simopenAddr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Listen(simopenAddr); err == nil {
		t.Error("listens twice")
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, tpt.ErrListenerClosed) {
		t.Errorf("got %v, want ErrListenerClosed", err)
	}
	if l, err = tr.Listen(simopenAddr); err != nil {
		t.Fatalf("after the end of a listener: %v", err)
	}
	defer l.Close()
	tr.Close()
	if _, err := tr.Listen(simopenAddr); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// A closableConn records that it was closed.
type closableConn struct {
	tpt.CapableConn
	closed bool
}

func (c *closableConn) Close() error   { c.closed = true; return nil }
func (c *closableConn) IsClosed() bool { return c.closed }

// A connection that is not accepted is closed.
func TestDeliver(t *testing.T) {
	t.Parallel()
	tr := newByHand(t, newHost(t))
	l, err := tr.Listen(simopenAddr)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := new(closableConn)
	if tr.currentListener().deliver(ended, c) || !c.closed {
		t.Error("delivered to nobody")
	}
	own := tr.currentListener()
	delivered := make(chan bool, 2)
	good := new(closableConn)
	go func() {
		delivered <- own.deliver(t.Context(), c) // which has ended by itself meanwhile
		delivered <- own.deliver(t.Context(), good)
	}()
	got, err := l.Accept()
	if err != nil || got != tpt.CapableConn(good) {
		t.Errorf("accepted %v, %v", got, err)
	}
	for range 2 {
		if !<-delivered {
			t.Error("not delivered")
		}
	}
	l.Close()
	last := new(closableConn)
	if own.deliver(t.Context(), last) || !last.closed {
		t.Error("delivered to a closed listener")
	}
}
