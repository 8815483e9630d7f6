// Package stuntest runs this project's STUN server for tests.
package stuntest

import (
	"net"
	"testing"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// Serve serves STUN on a listener until the test ends.
func Serve(t testing.TB, l net.Listener) {
	t.Helper()
	s := stun.NewServer(nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
}

// New serves STUN on loopback until the test ends, and returns the server's address.
func New(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, l)
	return l.Addr().String()
}
