package stun_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// pipeListener hands out pipes, for tests in synctest bubbles.
type pipeListener struct {
	conns  chan net.Conn
	errs   chan error // for Accept to return
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{
		conns:  make(chan net.Conn),
		errs:   make(chan error, 16),
		closed: make(chan struct{}),
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// dial returns the client's end of a connection from remote.
func (l *pipeListener) dial(t *testing.T, remote string) net.Conn {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { _ = a.Close() })
	l.conns <- pipeConn{b, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))}
	return a
}

// pipeConn is a pipe that looks like TCP from remote.
type pipeConn struct {
	net.Conn
	remote net.Addr
}

func (c pipeConn) RemoteAddr() net.Addr { return c.remote }

// servePipes runs a server on pipes until the test ends.
func servePipes(t *testing.T, cfg *stun.ServerConfig) (*stun.Server, *pipeListener) {
	t.Helper()
	s, l := stun.NewServer(cfg), newPipeListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, stun.ErrServerClosed) {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
	return s, l
}

func write(t *testing.T, nc net.Conn, b []byte) {
	t.Helper()
	if _, err := nc.Write(b); err != nil {
		t.Errorf("write: %v", err)
	}
}

// exchange sends a Binding request and reads the response.
func exchange(t *testing.T, nc net.Conn) {
	t.Helper()
	req := pion.MustBuild(pion.TransactionID, pion.BindingRequest)
	write(t, nc, req.Raw)
	readResponse(t, nc, req)
}

// readResponse reads the success response to req.
func readResponse(t *testing.T, nc net.Conn, req *pion.Message) {
	t.Helper()
	resp := &pion.Message{Raw: make([]byte, 20+12+12)}
	if _, err := io.ReadFull(nc, resp.Raw); err != nil {
		t.Errorf("read: %v", err)
		return
	}
	if err := resp.Decode(); err != nil || resp.Type != pion.BindingSuccess || resp.TransactionID != req.TransactionID {
		t.Errorf("response %x: %v", resp.Raw, err)
	}
}

// wantClosed checks that the server closes nc when after has passed, and sends nothing before.
func wantClosed(t *testing.T, nc net.Conn, after time.Duration) {
	t.Helper()
	begun := time.Now()
	var got bytes.Buffer
	_ = nc.SetReadDeadline(begun.Add(time.Hour))
	_, err := io.Copy(&got, nc)
	if took := time.Since(begun); err != nil || took != after || got.Len() > 0 {
		t.Errorf("closed after %v, want %v; read %x, %v", took, after, got.Bytes(), err)
	}
}
