package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// logged is a handler that sends what is logged.
type logged chan string

func (l logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l logged) WithGroup(string) slog.Handler            { return l }
func (l logged) Handle(_ context.Context, r slog.Record) error {
	select {
	case l <- r.Message:
	default: // it is not read
	}
	return nil
}

// The relayed connection is closed when the direct one has taken its place.
func TestRelayedConnectionIsClosed(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"initiator", "responder"} {
		t.Run(side, func(t *testing.T) {
			servers := WithSTUNServers(stuntest.New(t))
			relay := newRelay(t)
			grace := map[string]time.Duration{"initiator": -1, "responder": -1, side: time.Millisecond}
			a := newPeer(t, Enable(servers, WithRelayGrace(grace["responder"])))
			b := newPeer(t, Enable(servers, WithRelayGrace(grace["initiator"])))
			connectRelayed(t, relay, a, b)
			c, err := DirectConnect(testContext(t), b, a.ID())
			if err != nil {
				t.Fatal(err)
			}
			awaitConns(t, b, "closing", func() bool { return relayedConn(b, a.ID()) == nil })
			if c.IsClosed() {
				t.Error("the direct connection was closed, too")
			}
		})
	}
}

// A stream on the relayed connection is not cut, however long it lasts.
func TestRelayedStreamIsNotCut(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	logs := make(logged, 1000)
	a := newPeer(t, Enable(servers, WithRelayGrace(-1)))
	b := newPeer(t, Enable(servers, WithRelayGrace(time.Millisecond), WithOnRequestOnly(), WithLogger(slog.New(logs))))
	a.SetStreamHandler("/echo", func(s network.Stream) {
		io.Copy(s, s)
		s.Close()
	})
	relayed := connectRelayed(t, relay, a, b)
	ctx := testContext(t)
	s, err := b.NewStream(ctx, a.ID(), "/echo") // there is no other connection yet
	if err != nil {
		t.Fatal(err)
	}
	echo := func() {
		t.Helper()
		s.SetDeadline(time.Now().Add(testTimeout))
		if _, err := s.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	echo()
	if !isRelayed(s.Conn()) {
		t.Fatal("the stream is not over the relay")
	}
	if _, err := DirectConnect(ctx, b, a.ID()); err != nil {
		t.Fatal(err)
	}
	for looks := 0; looks < 2; {
		select {
		case msg := <-logs:
			if strings.Contains(msg, "streams") {
				looks++
				echo()
			}
		case <-ctx.Done():
			t.Fatal("nobody looked whether the relayed connection may be closed")
		}
	}
	s.Close()
	awaitConns(t, b, "closing", relayed.IsClosed)
}

// A stream on the relayed connection is reset, where that is wished, and the next one is over the
// direct connection. The peer sees the end of the first before it has the next.
func TestRelayedStreamIsReset(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a := newPeer(t, Enable(servers, WithRelayGrace(-1)))
	b := newPeer(t, Enable(servers, WithRelayGrace(time.Millisecond), WithOnRequestOnly(), WithRelayStreamsReset()))
	seen := make(chan string, 4)
	a.SetStreamHandler("/wait", func(s network.Stream) {
		seen <- "begin"
		io.Copy(io.Discard, s)
		seen <- "end"
	})
	connectRelayed(t, relay, a, b)
	ctx := testContext(t)
	open := func() network.Stream {
		t.Helper()
		s, err := b.NewStream(ctx, a.ID(), "/wait")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte{1}); err != nil { // go-libp2p says which protocol it is with the first byte
			t.Fatal(err)
		}
		return s
	}
	wantSeen := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("the peer has seen the %s of a stream, want the %s", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("the peer has not seen the %s of a stream", want)
		}
	}
	s := open()
	if !isRelayed(s.Conn()) {
		t.Fatal("the stream is not over the relay")
	}
	wantSeen("begin")
	direct, err := DirectConnect(ctx, b, a.ID())
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(testTimeout))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, network.ErrReset) {
		t.Errorf("the stream has ended with %v, want %v", err, network.ErrReset)
	}
	s = open()
	defer s.Reset()
	if s.Conn() != direct {
		t.Errorf("the next stream is over %v, want %v", s.Conn(), direct)
	}
	wantSeen("end")
	wantSeen("begin")
}

// The host that resets the streams gets no new one of the peer's before its own applications, which
// may be busy, have seen the end of the old ones.
func TestPeerStreamIsHeld(t *testing.T) {
	t.Parallel()
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	a := newPeer(t, Enable(servers, WithRelayGrace(-1)))
	long := func(c *config) error { c.noticeTime = 4 * defaultNoticeTime; return nil } // for a slow machine
	b := newPeer(t, Enable(servers, WithRelayGrace(time.Millisecond), WithOnRequestOnly(), WithRelayStreamsReset(), long))
	ctx := testContext(t)
	reopen := func(s network.Stream) {
		io.Copy(io.Discard, s)
		if s, err := a.NewStream(ctx, b.ID(), "/back"); err == nil {
			s.Write([]byte{1})
		}
	}
	a.SetStreamHandler("/wait", reopen)
	seen := make(chan string, 2)
	b.SetStreamHandler("/back", func(network.Stream) { seen <- "begin" })
	connectRelayed(t, relay, a, b)
	s, err := b.NewStream(ctx, a.ID(), "/wait")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := DirectConnect(ctx, b, a.ID()); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, s)
	time.Sleep(20 * time.Millisecond) // busy
	seen <- "end"
	if got := <-seen; got != "end" {
		t.Errorf("this host has seen the %s of a stream, want the end of the one before", got)
	}
	select {
	case <-seen:
	case <-ctx.Done():
		t.Error("the peer's stream has not come")
	}
}
