// Package tcptest has TCP addresses that refuse connections, for tests.
package tcptest

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// Refusing returns an address on loopback that refuses connections until the test ends, another one
// each time. Its port is that of an accepted connection whose listener is closed: the system gives
// it to nobody else meanwhile. The port of a closed listener alone may become another program's, and
// so may that of the end that connected, since the system may use one number for several of those.
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
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	l.Close()
	// A process that another test starts holds a copy of the listener until it executes its program.
	for range 1000 { // 10 s
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			return l.Addr().(*net.TCPAddr).AddrPort()
		}
		c.Close()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("a closed listener still accepts connections")
	return netip.AddrPort{}
}
