package tunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
)

func only(addr string) map[string]string { return map[string]string{"": addr} }

func TestEcho(t *testing.T) {
	p := newPair(t, pairConfig{services: only(serve(t, echo))})
	c := p.connect()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		_, _ = c.Write(sent) // what got through is compared
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(sent), err)
	}
	if e := p.event(Closed); e.Sent != int64(len(sent)) || e.Received != e.Sent || e.Err != "" || e.Peer != p.server.ID() {
		t.Errorf("%+v", e)
	}
}

// TestHalfClose: either side ends what it sends, and goes on to receive.
func TestHalfClose(t *testing.T) {
	t.Run("client first", func(t *testing.T) {
		p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
			request, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			_, _ = c.Write(bytes.ToUpper(request))
		}))})
		c := p.connect()
		write(t, c, "question")
		closeWrite(t, c)
		wantRead(t, c, "QUESTION")
	})
	t.Run("service first", func(t *testing.T) {
		got := make(chan string, 1)
		p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
			_, _ = c.Write([]byte("banner"))
			_ = c.CloseWrite()
			rest, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			got <- string(rest)
		}))})
		c := p.connect()
		wantRead(t, c, "banner")
		write(t, c, "more")
		closeWrite(t, c)
		if s := <-got; s != "more" {
			t.Errorf("the service got %q", s)
		}
	})
}

// TestReset: a reset is passed on as a reset.
func TestReset(t *testing.T) {
	t.Run("by the client", func(t *testing.T) {
		seen := make(chan error, 1)
		p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
			_, err := io.Copy(io.Discard, c)
			seen <- err
		}))})
		c := p.connect()
		p.event(Opened)
		if err := (tcpEnd{c}).Reset(); err != nil {
			t.Fatal(err)
		}
		if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the service sees %v", err)
		}
		if e := p.event(Closed); !strings.HasPrefix(e.Err, "the client: ") {
			t.Errorf("%+v", e)
		}
	})
	t.Run("by the service", func(t *testing.T) {
		p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
			wantBytes(t, c, "x")
			_ = tcpEnd{c}.Reset()
		}))})
		c := p.connect()
		write(t, c, "x")
		wantReset(t, c)
		if e := p.event(Closed); e.Err != errResetThere.Error() {
			t.Errorf("%+v", e)
		}
	})
	t.Run("by the service, after its last words", func(t *testing.T) {
		words := strings.Repeat("no ", 5_000)
		p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
			_, _ = c.Write([]byte(words))
			wantBytes(t, c, "x") // the words have left
			_ = tcpEnd{c}.Reset()
		}))})
		c := p.connect()
		write(t, c, "x")
		p.event(Closed)
		wantBytes(t, c, words)
		wantReset(t, c)
	})
	t.Run("by the client, which the service had half-closed", func(t *testing.T) {
		seen := make(chan error, 1)
		p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
			_ = c.CloseWrite()
			_, err := io.Copy(io.Discard, c)
			seen <- err
		}))})
		c := p.connect()
		wantRead(t, c, "")
		if err := (tcpEnd{c}).Reset(); err != nil {
			t.Fatal(err)
		}
		if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the service sees %v", err)
		}
	})
}

// TestRefused: what is refused is reset at once, and the event says why.
func TestRefused(t *testing.T) {
	two := map[string]string{"ssh": serve(t, echo), "web": serve(t, echo)}
	stranger, err := peer.Decode("12D3KooWNBgu298tLQiyYBJpGmbFWVTx1wj8m9GwceeeVUQpoqJQ")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cfg  pairConfig
		want string
	}{
		"by the service":   {pairConfig{services: only(tcptest.Refusing(t).String())}, "the service refuses connections"},
		"not allowed":      {pairConfig{services: only(serve(t, echo)), allow: map[peer.ID]bool{stranger: true}}, "this peer is not allowed"},
		"no such service":  {pairConfig{services: two, service: "mail"}, `no such service ("services: ssh, web")`},
		"one of several":   {pairConfig{services: two}, `no such service ("services: ssh, web")`},
		"not an address":   {pairConfig{services: only("256.0.0.1:22")}, "the service cannot be reached"},
		"name of the only": {pairConfig{services: map[string]string{"ssh": tcptest.Refusing(t).String()}}, "the service refuses connections"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, test.cfg)
			p.wantReset()
			if e := p.event(Refused); !strings.Contains(e.Err, test.want) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestNoForwardServe(t *testing.T) {
	p := newPair(t, pairConfig{services: only(serve(t, echo))})
	p.Server.Close()
	p.wantReset()
	if e := p.event(Refused); e.Err != "the other side is no forward serve" {
		t.Errorf("%+v", e)
	}
}

// TestThousand has a thousand connections open at a time.
func TestThousand(t *testing.T) {
	const n = 1000
	p := newPair(t, pairConfig{services: only(serve(t, echo))})
	conns := make([]*net.TCPConn, n)
	for i := range conns {
		conns[i] = p.connect()
		write(t, conns[i], "first")
	}
	for _, c := range conns { // in order: all are open until the last has answered
		wantBytes(t, c, "first")
	}
	var ending sync.WaitGroup
	for _, c := range slices.Backward(conns) {
		ending.Go(func() {
			write(t, c, "last")
			closeWrite(t, c)
			wantRead(t, c, "last")
		})
	}
	ending.Wait()
}

// TestTooMany: beyond the limit a connection is refused, and those that are open stay.
func TestTooMany(t *testing.T) {
	p := newPair(t, pairConfig{services: only(serve(t, echo))})
	c := p.connect()
	write(t, c, "x")
	wantBytes(t, c, "x")
	var full []*entry
	for {
		e, ok := p.Server.table.add()
		if !ok {
			break
		}
		full = append(full, e)
	}
	p.wantReset()
	if e := p.event(Refused); !strings.Contains(e.Err, "too many connections") {
		t.Errorf("%+v", e)
	}
	for _, e := range full {
		p.Server.table.remove(e)
	}
	write(t, c, "y")
	closeWrite(t, c)
	wantRead(t, c, "y")
}

// TestSlowReader: a connection whose reader stands still holds up its own sender, and no other one.
func TestSlowReader(t *testing.T) {
	stop := make(chan struct{})
	p := newPair(t, pairConfig{
		services: map[string]string{"": serve(t, func(c *net.TCPConn) {
			first := make([]byte, 1)
			if _, err := io.ReadFull(c, first); err == nil && first[0] == 's' {
				<-stop
			}
			_, _ = c.Write(first)
			echo(c)
		})},
	})
	slow := p.connect()
	write(t, slow, "s")
	const much = 64 << 20 // more than all buffers hold
	written := make(chan error, 1)
	go func() {
		block := make([]byte, 1<<20)
		for range much / len(block) {
			if _, err := slow.Write(block); err != nil {
				written <- err
				return
			}
		}
		written <- slow.CloseWrite()
	}()
	for range 50 {
		other := p.connect()
		write(t, other, "other")
		closeWrite(t, other)
		wantRead(t, other, "other")
	}
	select {
	case err := <-written:
		t.Fatalf("%d bytes were taken from the client for a service that reads nothing: %v", much, err)
	default:
	}
	close(stop)
	if n, err := io.Copy(io.Discard, slow); n != much+1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// TestConnectionLost: with the libp2p connection, its connections end on both sides, also those
// that are half-closed and idle.
func TestConnectionLost(t *testing.T) {
	for name, half := range map[string]bool{"open": false, "half-closed": true} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan error, 1)
			p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
				_, _ = c.Write([]byte("x"))
				if half {
					_ = c.CloseWrite()
				}
				_, err := io.Copy(io.Discard, c)
				seen <- err
			}))})
			c := p.connect()
			wantBytes(t, c, "x")
			if half {
				wantRead(t, c, "")
			}
			_ = p.client.Network().ClosePeer(p.server.ID())
			if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the service sees %v", err)
			}
			if e := p.event(Closed); e.Err != errPeerLost.Error() {
				t.Errorf("%+v", e)
			}
			if again := p.connect(); !half { // a new one works at once
				wantBytes(t, again, "x")
			}
		})
	}
}

// TestClose: both ends of a transfer that is cut by the program's end see a reset.
func TestClose(t *testing.T) {
	seen := make(chan error, 1)
	p := newPair(t, pairConfig{services: only(serve(t, func(c *net.TCPConn) {
		_, err := io.Copy(c, zeros{})
		seen <- err
	}))})
	c := p.connect()
	if _, err := io.CopyN(io.Discard, c, 1<<20); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	if err := <-seen; err == nil {
		t.Error("the service notices nothing")
	}
}

// TestSilentPeer: a stream on which nothing is asked ends with the Server.
func TestSilentPeer(t *testing.T) {
	p := newPair(t, pairConfig{services: only(serve(t, echo))})
	conn, err := p.Client.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := conns.Open(t.Context(), conn, Protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	write(t, s, "\x05") // the length of a name
	for len(p.Server.table.entries()) == 0 {
		runtime.Gosched() // until the request is read
	}
	p.Close()
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("there is an answer")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := w.Write([]byte(s)); err != nil {
		t.Error(err)
	}
}

func closeWrite(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
}

// wantBytes reads what is expected, and no more.
func wantBytes(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// wantRead reads what is expected, and the end.
func wantRead(t *testing.T, r io.Reader, want string) {
	t.Helper()
	if got, err := io.ReadAll(r); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q and the end", got, err, want)
	}
}

func wantReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if b, err := io.ReadAll(c); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v; want a reset", b, err)
	}
}
