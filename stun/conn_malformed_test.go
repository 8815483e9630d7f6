package stun_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// fake is a server on loopback that does as handle says with one connection, and then closes it.
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

// readRequest reads a request of the client, which is a header and a FINGERPRINT long.
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

// success returns the response to req with the mapped address 192.0.2.1 and port.
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
		"resets after half an answer": {
			handle: func(t *testing.T, nc net.Conn) {
				_, _ = nc.Write(success(readRequest(t, nc), 1)[:30])
				_ = nc.(*net.TCPConn).SetLinger(0)
			},
			want: []error{stun.ErrDisconnected, io.EOF},
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
