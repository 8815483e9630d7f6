// Package tcptest has TCP ports for tests: one that refuses connections, and one to listen at.
package tcptest

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wsaECONNREFUSED is what a refused connect ends with on Windows.
const wsaECONNREFUSED = syscall.Errno(10061)

// Refusing returns an address on loopback that refuses connections until the test ends, another one
// each time. Its port is that of an accepted connection whose listener is closed. Linux and macOS
// give it to nobody who asks for any port. The port of a closed listener alone may become another
// program's, and so may that of the end that connected, since the system may use one number for
// several of those.
func Refusing(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	for {
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { accepted.Close() })
		if accepted.RemoteAddr().String() == dialled.LocalAddr().String() {
			break // not a stranger's connection, which may end at any time
		}
	}
	l.Close()
	// A process that another test starts holds a copy of the listener until it runs its program.
	patient := net.Dialer{Timeout: time.Second}
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		var c net.Conn
		c, err = patient.Dial("tcp4", l.Addr().String())
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaECONNREFUSED) {
			return l.Addr().(*net.TCPAddr).AddrPort()
		}
		if err == nil {
			c.Close()
		}
	}
	t.Fatalf("%v does not refuse connections, though its listener is closed: %v", l.Addr(), err)
	return netip.AddrPort{}
}

// given are the ports that Free has returned.
var given sync.Map

// Free returns a port at which nobody listens, another one each time. It is below those that Linux
// and macOS choose, from 32768 and 49152 up, so nobody who asks for any port gets it.
func Free(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(16384 + rand.N(16384))
		if _, ok := given.LoadOrStore(port, true); ok {
			continue
		}
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
