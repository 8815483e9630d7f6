package punch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// expect returns a channel of what comes for a token.
func (s *side) expect(t *testing.T, token Token) <-chan *net.TCPConn {
	conns := make(chan *net.TCPConn, 1000)
	cancel := s.receiver.Expect(token, func(c *net.TCPConn) { conns <- c })
	t.Cleanup(func() {
		cancel()
		for len(conns) > 0 {
			(<-conns).Close()
		}
	})
	return conns
}

// nothingWaits waits until no connection waits for its token any more.
func nothingWaits(t *testing.T, r *Receiver) {
	t.Helper()
	until(t, "no connection waits", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.waiting.conns) == 0 && len(r.waiting.count) == 0
	})
}

func next(t *testing.T, conns <-chan *net.TCPConn) *net.TCPConn {
	t.Helper()
	select {
	case c := <-conns:
		t.Cleanup(func() { c.Close() })
		return c
	case <-time.After(testTimeout):
		t.Fatal("no connection was handed over")
		return nil
	}
}

func TestReceiver(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(c net.Conn, data []byte){
		"at once": func(c net.Conn, data []byte) { c.Write(data) },
		"a byte at a time": func(c net.Conn, data []byte) {
			for _, b := range data {
				c.Write([]byte{b})
			}
		},
		"in two parts": func(c net.Conn, data []byte) {
			c.Write(data[:10])
			time.Sleep(10 * time.Millisecond)
			c.Write(data[10:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSide(t)
			one, other := NewToken(), NewToken()
			ones, others := s.expect(t, one), s.expect(t, other)
			c := dial(t, "127.0.0.2", s.addr)
			write(c, append(one.AppendPreamble(nil), "more"...))
			got := next(t, ones)
			if tupleOf(got).remote.String() != c.LocalAddr().String() {
				t.Errorf("got the connection from %v, want %v", got.RemoteAddr(), c.LocalAddr())
			}
			// What follows the token is left to the attempt, which has no deadline.
			rest := make([]byte, 4)
			if _, err := io.ReadFull(got, rest); err != nil || string(rest) != "more" {
				t.Errorf("after the token comes %q, %v", rest, err)
			}
			if len(others) > 0 {
				t.Error("another attempt has a connection, too")
			}
			nothingWaits(t, s.receiver)
		})
	}
}

func TestReceiverResets(t *testing.T) {
	t.Parallel()
	token := NewToken()
	right := token.AppendPreamble(nil)
	unknown := NewToken().AppendPreamble(nil)
	for name, data := range map[string][]byte{
		"nothing":              nil,
		"a part of the token":  right[:preambleLen-1],
		"one byte":             right[:1],
		"another protocol":     []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
		"zeros":                make([]byte, preambleLen),
		"unknown token":        unknown,
		"data before token":    append([]byte("x"), right...),
		"no newline":           append(bytes.Clone(right[:preambleLen-1]), ' '),
		"very much":            make([]byte, 1<<20),
		"unknown, then right":  append(bytes.Clone(unknown), right...),
		"token without a word": []byte("Simopen " + string(right[8:])),
	} {
		for _, end := range []string{"waits", "hangs up", "half-closes"} {
			t.Run(name+"/"+end, func(t *testing.T) {
				t.Parallel()
				s := newSideWith(t, 100*time.Millisecond)
				conns := s.expect(t, token)
				c := dial(t, "127.0.0.2", s.addr)
				c.SetWriteDeadline(time.Now().Add(testTimeout))
				_, err := c.Write(data)
				switch end {
				case "hangs up":
					c.Close()
				case "half-closes":
					c.CloseWrite()
				}
				if err == nil && end != "hangs up" { // else it was reset before
					wantReset(t, c)
				}
				s.port.Close() // after which all that came was accepted
				s.receiver.Close()
				nothingWaits(t, s.receiver)
				if len(conns) > 0 {
					t.Error("the connection was handed over")
				}
			})
		}
	}
}

// TestReceiverForgetsTokens: the token of an attempt that has ended is as good as any other.
func TestReceiverForgetsTokens(t *testing.T) {
	t.Parallel()
	s := newSide(t)
	token := NewToken()
	conns := make(chan *net.TCPConn, 1)
	cancel := s.receiver.Expect(token, func(c *net.TCPConn) { conns <- c })
	first := dial(t, "127.0.0.2", s.addr)
	first.Write(token.AppendPreamble(nil))
	next(t, conns)
	again := dial(t, "127.0.0.2", s.addr) // has not shown its token yet
	cancel()
	cancel()
	again.Write(token.AppendPreamble(nil))
	wantReset(t, again)
	replayed := dial(t, "127.0.0.2", s.addr)
	replayed.Write(token.AppendPreamble(nil))
	wantReset(t, replayed)
	s.port.Close()
	s.receiver.Close()
	if len(conns) > 0 || len(s.receiver.attempts) > 0 {
		t.Errorf("%d connections were handed over, and %d attempts are left", len(conns), len(s.receiver.attempts))
	}
}

// TestReceiverIsBounded: of too many connections that have shown no token, the oldest from the
// busiest address makes way, so that strangers do not keep a peer out.
func TestReceiverIsBounded(t *testing.T) {
	t.Parallel()
	for name, peerFirst := range map[string]bool{"peer before strangers": true, "peer after strangers": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSideWith(t, testTimeout)
			token := NewToken()
			conns := s.expect(t, token)
			var peer *net.TCPConn
			if peerFirst {
				peer = dial(t, "127.0.0.1", s.addr)
			}
			first := dial(t, "127.0.0.2", s.addr)
			for range maxWaiting - 1 {
				dial(t, "127.0.0.2", s.addr)
			}
			if !peerFirst {
				peer = dial(t, "127.0.0.1", s.addr)
			}
			wantReset(t, first)
			peer.Write(token.AppendPreamble(nil))
			next(t, conns)
		})
	}
}

// TestReceiverWithManyAttempts: a host with many attempts under way keeps what all their peers
// bring, also if they share an address.
func TestReceiverWithManyAttempts(t *testing.T) {
	t.Parallel()
	const attempts = 2 * maxWaiting
	s := newSideWith(t, testTimeout)
	var tokens []Token
	var expected []<-chan *net.TCPConn
	for range attempts {
		tokens = append(tokens, NewToken())
		expected = append(expected, s.expect(t, tokens[len(tokens)-1]))
	}
	var peers []*net.TCPConn
	for range attempts {
		peers = append(peers, dial(t, "127.0.0.2", s.addr))
	}
	for i, peer := range peers {
		peer.Write(tokens[i].AppendPreamble(nil))
	}
	for i := range expected {
		if got := next(t, expected[i]); got.RemoteAddr().String() != peers[i].LocalAddr().String() {
			t.Fatalf("got %v, want %v", got.RemoteAddr(), peers[i].LocalAddr())
		}
	}
}

// TestReceiverUnderFlood: a peer gets through while strangers with wrong tokens come without a
// pause.
func TestReceiverUnderFlood(t *testing.T) {
	t.Parallel()
	s := newSide(t)
	token := NewToken()
	conns := s.expect(t, token)
	ctx, cancel := context.WithCancel(testContext(t))
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		for ctx.Err() == nil {
			c, err := net.Dial("tcp4", s.addr.String())
			if err != nil {
				continue
			}
			c.Write(NewToken().AppendPreamble(nil))
			c.SetReadDeadline(time.Now().Add(testTimeout))
			c.Read(make([]byte, 1))
			c.Close()
		}
	}()
	for range 20 {
		peer := dial(t, "127.0.0.2", s.addr)
		peer.Write(token.AppendPreamble(nil))
		next(t, conns)
	}
	cancel()
	<-flood
	nothingWaits(t, s.receiver)
}

func TestReceiverClose(t *testing.T) {
	t.Parallel()
	s := newSideWith(t, time.Hour)
	waits, half := dial(t, "127.0.0.2", s.addr), dial(t, "127.0.0.2", s.addr)
	half.Write([]byte("simopen "))
	s.port.Close()
	s.receiver.Close()
	for _, c := range []net.Conn{waits, half} {
		wantReset(t, c)
	}
	nothingWaits(t, s.receiver)

	late, peer := pipe(t)
	s.receiver.Accept(late)
	wantReset(t, peer)
	connected, peer := pipe(t)
	if err := s.receiver.awaitToken(t.Context(), connected, time.Hour); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
	wantReset(t, peer)
}

// pipe returns the ends of a connection.
func pipe(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b = dial(t, "127.0.0.1", l.Addr().(*net.TCPAddr).AddrPort())
	a, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, b
}
