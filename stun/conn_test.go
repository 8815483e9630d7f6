package stun_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// fake is a server on loopback that does as handle says with one connection,
// and then closes it.
func fake(t *testing.T, handle func(nc net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		handle(nc)
		_ = nc.Close()
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// readRequest reads a request of the client, which is a header and a
// FINGERPRINT long.
func readRequest(t *testing.T, nc net.Conn) *pion.Message {
	t.Helper()
	m := &pion.Message{Raw: make([]byte, 28)}
	if _, err := io.ReadFull(nc, m.Raw); err != nil {
		t.Error(err)
		return m
	}
	if err := m.Decode(); err != nil || m.Type != pion.BindingRequest {
		t.Errorf("request %v: %v", m, err)
	}
	if err := pion.Fingerprint.Check(m); err != nil {
		t.Errorf("request %v: %v", m, err)
	}
	return m
}

// success is the response to req that tells 192.0.2.1 and port.
func success(req *pion.Message, port int) []byte {
	return pion.MustBuild(req, pion.BindingSuccess,
		&pion.XORMappedAddress{IP: net.IPv4(192, 0, 2, 1), Port: port}, pion.Fingerprint).Raw
}

// drain waits for the client to close the connection.
func drain(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }

func TestBadServer(t *testing.T) {
	// respond sends what a function of the request says.
	respond := func(f func(req *pion.Message) []byte) func(*testing.T, net.Conn) {
		return func(t *testing.T, nc net.Conn) {
			_, _ = nc.Write(f(readRequest(t, nc)))
			drain(nc)
		}
	}
	refuse := func(code pion.ErrorCode) func(*testing.T, net.Conn) {
		return respond(func(req *pion.Message) []byte {
			return pion.MustBuild(req, pion.BindingError, code, pion.Fingerprint).Raw
		})
	}
	for name, tt := range map[string]struct {
		handle func(t *testing.T, nc net.Conn)
		want   []error
		code   int
	}{
		"closes at once": {
			handle: func(*testing.T, net.Conn) {},
			want:   []error{stun.ErrDisconnected, io.EOF},
		},
		"resets after the request": {
			handle: func(t *testing.T, nc net.Conn) { readRequest(t, nc); _ = nc.(*net.TCPConn).SetLinger(0) },
			want:   []error{stun.ErrDisconnected, io.EOF},
		},
		"closes after the request": {
			handle: func(t *testing.T, nc net.Conn) { readRequest(t, nc) },
			want:   []error{stun.ErrDisconnected, io.EOF},
		},
		"closes after half an answer": {
			handle: func(t *testing.T, nc net.Conn) { _, _ = nc.Write(success(readRequest(t, nc), 1)[:30]) },
			want:   []error{stun.ErrDisconnected, io.ErrUnexpectedEOF},
		},
		"garbage": {
			handle: respond(func(*pion.Message) []byte { return []byte{0xde, 0xad, 0xbe, 0xef} }),
			want:   []error{stun.ErrMalformed},
		},
		"a byte of garbage": {
			handle: respond(func(*pion.Message) []byte { return []byte{0xff} }),
			want:   []error{stun.ErrMalformed},
		},
		"speaks first": {
			handle: func(_ *testing.T, nc net.Conn) { _, _ = io.WriteString(nc, "SSH-2.0-OpenSSH_9.6\r\n"); drain(nc) },
			want:   []error{stun.ErrMalformed},
		},
		"HTTP": {
			handle: respond(func(*pion.Message) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }),
			want:   []error{stun.ErrMalformed},
		},
		"echo": {
			handle: respond(func(req *pion.Message) []byte { return req.Raw }),
			want:   []error{stun.ErrMalformed},
		},
		"wrong transaction": {
			handle: respond(func(req *pion.Message) []byte { req.TransactionID[11]++; return success(req, 1) }),
			want:   []error{stun.ErrTransaction},
		},
		"wrong transaction, error": {
			handle: respond(func(req *pion.Message) []byte {
				req.TransactionID[0]++
				return pion.MustBuild(req, pion.BindingError, pion.CodeServerError).Raw
			}),
			want: []error{stun.ErrTransaction},
		},
		"wrong fingerprint": {
			handle: respond(func(req *pion.Message) []byte { b := success(req, 1); b[len(b)-1]++; return b }),
			want:   []error{stun.ErrMalformed, pion.ErrFingerprintMismatch},
		},
		"wrong cookie": {
			handle: respond(func(req *pion.Message) []byte { b := success(req, 1); b[4]++; return b }),
			want:   []error{stun.ErrMalformed},
		},
		"too long": {
			handle: respond(func(*pion.Message) []byte { return []byte{1, 1, 0xff, 0xfc} }),
			want:   []error{stun.ErrTooLong},
		},
		"no mapped address": {
			handle: respond(func(req *pion.Message) []byte { return pion.MustBuild(req, pion.BindingSuccess).Raw }),
			want:   []error{stun.ErrNoMappedAddress},
		},
		"port 0": {
			handle: respond(func(req *pion.Message) []byte { return success(req, 0) }),
			want:   []error{stun.ErrNoMappedAddress},
		},
		"300": {handle: refuse(300), code: 300},
		"400": {handle: refuse(400), code: 400},
		"500": {handle: refuse(500), code: 500},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			addr := fake(t, func(nc net.Conn) { tt.handle(t, nc) })
			c, err := stun.Dial(ctx, &net.Dialer{}, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, err = c.Binding(ctx)
			var e *stun.Error
			if !errors.As(err, &e) || e.Op != "binding" || e.Server != addr {
				t.Fatalf("error is %#v, want an *Error", err)
			}
			var resp *stun.ResponseError
			if tt.code != 0 {
				if !errors.As(err, &resp) || resp.Code != tt.code {
					t.Errorf("error is %v, want code %d", err, tt.code)
				}
				if err := c.Err(); err != nil {
					t.Errorf("connection ended: %v", err)
				}
				return
			}
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("error is %v, want %v", err, want)
				}
				if <-c.Done(); !errors.Is(c.Err(), want) {
					t.Errorf("connection ended with %v, want %v", c.Err(), want)
				}
			}
			if _, again := c.Binding(ctx); !errors.Is(again, tt.want[0]) {
				t.Errorf("the next Binding returned %v, want %v", again, tt.want[0])
			}
		})
	}
}

func TestBindingSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			for _, b := range success(readRequest(t, server), 7) {
				time.Sleep(100 * time.Millisecond)
				_, _ = server.Write([]byte{b})
			}
		}()
		got, err := c.Binding(t.Context())
		if want := netip.MustParseAddrPort("192.0.2.1:7"); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	})
}

// TestBindingConcurrently sends two answers in one segment, the later first.
func TestBindingConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			first, second := readRequest(t, server), readRequest(t, server)
			_, _ = server.Write(append(success(second, 5), success(first, 5)...))
		}()
		errs := make(chan error)
		for range 2 {
			go func() { _, err := c.Binding(t.Context()); errs <- err }()
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBindingTimeout(t *testing.T) {
	for name, answer := range map[string]int{"no answer": 0, "a byte": 1, "half an answer": 25, "all but a byte": 39} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, server := pipe(t)
				go func() { _, _ = server.Write(success(readRequest(t, server), 1)[:answer]) }()
				begun := time.Now()
				_, err := c.Binding(t.Context())
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v, want context.DeadlineExceeded", err)
				}
				if took := time.Since(begun); took != stun.DefaultTimeout {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestBindingOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			req := readRequest(t, server)
			time.Sleep(3 * stun.DefaultTimeout)
			_, _ = server.Write(success(req, 1))
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 4*stun.DefaultTimeout)
		defer cancel()
		if _, err := c.Binding(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestBindingLateAnswer has an answer come after its Binding has given up. The
// next Binding must get its own.
func TestBindingLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			late := readRequest(t, server)
			next := readRequest(t, server)
			_, _ = server.Write(success(late, 1))
			_, _ = server.Write(success(next, 2))
		}()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Binding(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		got, err := c.Binding(t.Context())
		if want := netip.MustParseAddrPort("192.0.2.1:2"); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	})
}

// TestBindingCancelWrite cancels while the request cannot be sent.
func TestBindingCancelWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipe(t) // Nobody reads at the other end.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Binding(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		<-c.Done()
		if err := c.Err(); !errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
			t.Errorf("the connection ended with %v, want net.ErrClosed", err)
		}
	})
}

func TestBindingCancelledBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipe(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Binding(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled", err)
		}
		if err := c.Err(); err != nil {
			t.Errorf("the connection ended with %v", err)
		}
	})
}

func TestBindingAnswerThenClose(t *testing.T) {
	// The answer must win over the end that follows it at once.
	for range 100 {
		addr := fake(t, func(nc net.Conn) { _, _ = nc.Write(success(readRequest(t, nc), 1)) })
		c, err := stun.Dial(t.Context(), &net.Dialer{}, addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Binding(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.Done()
		if err := c.Err(); !errors.Is(err, stun.ErrDisconnected) {
			t.Errorf("the connection ended with %v, want ErrDisconnected", err)
		}
		_ = c.Close()
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go readRequest(t, server)
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if _, err := c.Binding(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Binding returned %v, want net.ErrClosed", err)
		}
		select {
		case <-c.Done():
		default:
			t.Error("Done is not closed")
		}
		if err := c.Err(); !errors.Is(err, net.ErrClosed) || errors.Is(err, stun.ErrDisconnected) {
			t.Errorf("Err is %v, want net.ErrClosed", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("the second Close returned %v", err)
		}
	})
}

func TestServerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		synctest.Wait()
		if err := c.Err(); err != nil {
			t.Fatalf("ended too early: %v", err)
		}
		_ = server.Close()
		<-c.Done()
		if err := c.Err(); !errors.Is(err, stun.ErrDisconnected) || !errors.Is(err, io.EOF) {
			t.Errorf("Err is %v, want ErrDisconnected and io.EOF", err)
		}
	})
}

func TestStrayAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		_, _ = server.Write(success(pion.MustBuild(pion.TransactionID), 1))
		<-c.Done()
		if err := c.Err(); !errors.Is(err, stun.ErrTransaction) {
			t.Errorf("Err is %v, want ErrTransaction", err)
		}
	})
}

func TestDialFails(t *testing.T) {
	blocked := dialerFunc(func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
	refused := errors.New("refused")
	t.Run("refused", func(t *testing.T) {
		_, err := stun.Dial(t.Context(), dialerFunc(func(context.Context) (net.Conn, error) { return nil, refused }), "h:1")
		var e *stun.Error
		if !errors.As(err, &e) || e.Op != "dial" || e.Server != "h:1" || !errors.Is(err, refused) {
			t.Errorf("error is %#v", err)
		}
		if !strings.Contains(err.Error(), "stun: dial h:1: refused") {
			t.Errorf("error reads %q", err)
		}
	})
	t.Run("bad server", func(t *testing.T) {
		var e *stun.Error
		if _, err := stun.Dial(t.Context(), blocked, "stuns:h"); !errors.As(err, &e) || e.Op != "parse" {
			t.Errorf("error is %#v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := stun.Dial(ctx, blocked, "h:1"); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v, want context.Canceled", err)
			}
		})
	})
	t.Run("timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			_, err := stun.Dial(t.Context(), blocked, "h:1")
			if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != stun.DefaultTimeout {
				t.Errorf("after %v: %v, want context.DeadlineExceeded", took, err)
			}
		})
	})
}

func TestConnAddrs(t *testing.T) {
	server := serve(t, nil)
	c, err := stun.Dial(t.Context(), &net.Dialer{}, server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for range 3 {
		got, err := c.Binding(t.Context())
		if err != nil || got != c.LocalAddr() {
			t.Errorf("got %v, %v, want %v", got, err, c.LocalAddr())
		}
	}
	if got := c.RemoteAddr(); got != server {
		t.Errorf("RemoteAddr is %v, want %v", got, server)
	}
	p, _ := pipe(t)
	if p.LocalAddr().IsValid() || p.RemoteAddr().IsValid() {
		t.Errorf("addresses of a pipe: %v, %v", p.LocalAddr(), p.RemoteAddr())
	}
}

// pipe returns a Conn and the server's end of its connection, on which a write
// waits for the reader.
func pipe(t *testing.T) (*stun.Conn, net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	c := stun.NewConn(a, "pipe")
	t.Cleanup(func() { _ = b.Close(); _ = c.Close() })
	return c, b
}

// dialerFunc is a Dialer that pays no attention to the address.
type dialerFunc func(context.Context) (net.Conn, error)

func (f dialerFunc) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return f(ctx) }
