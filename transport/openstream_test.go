package transport

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// TestOpenStreamReason: a relayed connection that is lost just now is the reason of an attempt's
// end, and the end of its context stays that.
func TestOpenStreamReason(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	a, b := newPeer(t), newPeer(t)
	relayed := connectRelayed(t, relay, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openStream(ctx, relayed, nil); !errors.Is(err, context.Canceled) || holepunch.ReasonOf(err) != "" {
		t.Errorf("got %v, want context.Canceled", err)
	}
	relayed.Close()
	if _, err := openStream(testContext(t), relayed, nil); holepunch.ReasonOf(err) != holepunch.ErrSignalLost {
		t.Errorf("got %v, want ErrSignalLost", err)
	}
}

// TestLazyStream: nothing is proposed before the first write, and a read that waits for that ends
// by its deadline.
func TestLazyStream(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	a, b := newPeer(t), newPeer(t)
	served := make(chan network.Stream, 1)
	a.SetStreamHandler(holepunch.Protocol, func(s network.Stream) { served <- s })
	relayed := connectRelayed(t, relay, a, b)
	open := func(begun func() error) *lazyStream {
		s, err := openStream(testContext(t), relayed, begun)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	s := open(func() error { t.Error("begun by a read"); return nil })
	read := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		read <- err
	}()
	s.SetReadDeadline(time.Unix(1, 0))
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) || s.answered.Load() {
		t.Errorf("read %v, want the end of the deadline", err)
	}
	s.Reset()

	glare := open(func() error { return ErrGlare })
	if n, err := glare.Write([]byte{1}); n != 0 || !errors.Is(err, ErrGlare) || glare.hasBegun() {
		t.Errorf("written %d bytes, %v, although it did not begin", n, err)
	}
	glare.Reset()

	begun := 0
	s = open(func() error { begun++; return nil })
	defer s.Reset()
	for range 2 {
		if _, err := s.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	other := <-served
	defer other.Reset()
	other.Write([]byte{1})
	if _, err := s.Read(make([]byte, 1)); err != nil || !s.answered.Load() || begun != 1 {
		t.Errorf("read: %v; answered: %v; begun %d times", err, s.answered.Load(), begun)
	}
	if len(served) > 0 {
		t.Error("the stream without a write was served")
	}
}
