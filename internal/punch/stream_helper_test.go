package punch

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// ownToken is what a stream of these tests is shown, and peerToken what it shows.
var ownToken, peerToken = Token{1}, Token{2}

// newStream returns a stream for a test, with the peer's token.
func newStream(tb testing.TB, cfg StreamConfig) *Stream {
	tb.Helper()
	cfg.Token = ownToken
	s := NewStream(cfg)
	s.SetPeerToken(peerToken)
	tb.Cleanup(func() { s.Close() })
	return s
}

// newStreams returns the two streams of an attempt.
func newStreams(tb testing.TB) (initiator, responder *Stream) {
	a := newStream(tb, StreamConfig{Initiator: true})
	b := NewStream(StreamConfig{Token: peerToken})
	b.SetPeerToken(ownToken)
	tb.Cleanup(func() { b.Close() })
	return a, b
}

// connPair returns the ends of a TCP connection.
func connPair(tb testing.TB) (a, b *net.TCPConn) {
	tb.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	a, err = net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		tb.Fatal(err)
	}
	b, err = l.AcceptTCP()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// serve serves a connection until the test ends. The result comes through the channel.
func serve(tb testing.TB, s *Stream, c *net.TCPConn, accepted bool) <-chan error {
	result, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		result <- s.Serve(c, accepted)
	}()
	tb.Cleanup(func() {
		s.Close()
		<-ended
	})
	return result
}

// join makes a connection a copy of two streams.
func join(tb testing.TB, a, b *Stream) (fromA, fromB <-chan error) {
	x, y := connPair(tb)
	return serve(tb, a, x, false), serve(tb, b, y, false)
}

// wantServed waits for the result of a call of Serve.
func wantServed(t *testing.T, result <-chan error, want error) {
	t.Helper()
	select {
	case err := <-result:
		if !errors.Is(err, want) {
			t.Errorf("served: %v, want %v", err, want)
		}
	case <-time.After(testTimeout):
		t.Fatalf("still being served, want %v", want)
	}
}

func wantClosed(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(testTimeout):
		t.Fatalf("%s is not closed", what)
	}
}

func wantOpen(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
		t.Errorf("%s is closed", what)
	default:
	}
}

// wantRead reads what is wanted, and no more than that.
func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(testTimeout))
	defer c.SetReadDeadline(time.Time{})
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %.80q, %v; want %.80q", got[:n], err, want)
	}
}

// wantEnd reads to the end of a connection.
func wantEnd(t *testing.T, c net.Conn, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(testTimeout))
	if got, err := io.ReadAll(c); err != nil || string(got) != want {
		t.Fatalf("read %.80q, %v; want %.80q", got, err, want)
	}
}

// wantDropped reads until the other end has reset a connection.
func wantDropped(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(testTimeout))
	if got, err := io.ReadAll(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %q, %v; want a reset", got, err)
	}
}

// wantNoMore checks that nothing waits to be read.
func wantNoMore(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	defer c.SetReadDeadline(time.Time{})
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d, %v; want nothing", n, err)
	}
}

func write(t *testing.T, c net.Conn, parts ...string) {
	t.Helper()
	for _, s := range parts {
		if n, err := io.WriteString(c, s); n != len(s) || err != nil {
			t.Fatalf("wrote %d of %d bytes: %v", n, len(s), err)
		}
	}
}

// preamble returns the line that shows a token.
func preamble(t Token) string { return string(t.AppendPreamble(nil)) }

// framed returns a frame.
func framed(s string) string { return string(appendFrames(nil, []byte(s))) }

// theMarker is the marker as a string.
const theMarker = string(kindMarker)

// pattern returns n bytes in which a gap or a repetition shows.
func pattern(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.Write([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	return b.Bytes()[:n]
}

// nothingLeft checks that a stream holds no connection but the chosen one.
func nothingLeft(t *testing.T, s *Stream) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.choice.copies {
		if c != s.choice.chosen {
			t.Error("a connection is left")
		}
	}
	if s.choice.err != nil && len(s.spares) > 0 {
		t.Error("a spare connection is left")
	}
}
