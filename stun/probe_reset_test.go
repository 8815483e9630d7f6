package stun

import (
	"net"
	"testing"
	"time"
)

// TestReconnectWhileForked: a process that another part of the program starts holds the socket of a
// connection that was closed, for as long as it takes to start. The connection is reset after that.
func TestReconnectWhileForked(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() {
		s.Close()
		<-served
	}()
	server := l.Addr().(*net.TCPAddr).AddrPort()
	p, err := newProbe(t.Context(), server, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.mapped, err = p.conn.Binding(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := p.conn.nc.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { held.Close() })
	if got := p.reconnect(t.Context(), server); got != Yes {
		t.Errorf("persistent: %v, want %v", got, Yes)
	}
}
