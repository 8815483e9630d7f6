package transport

import (
	"io"
	"net"
	"testing"
)

func noPeers(uint16) []source { return nil }

// One server is good and one silent: the port is served by the good one, also
// to those who come while the other is still being asked.
func TestWarmPortWithOneGoodServer(t *testing.T) {
	silent := newBadSTUNServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	w, err := (&Transport{log: log}).newWarmPort([]string{newSTUNServer(t), silent}, noPeers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 3 {
		known, release, err := w.acquire(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(known.addrs) != 1 || known.addrs[0].Port() != w.Number() {
			t.Errorf("got %v, want the port %d", known.addrs, w.Number())
		}
		release()
	}
}

// A server that answers and hangs up, as coturn does with clients of STUN alone.
func TestWarmPortWithServerThatHangsUp(t *testing.T) {
	good := newSTUNServer(t)
	hangsUp := newBadSTUNServer(t, func(c net.Conn) {
		to, err := net.Dial("tcp4", good)
		if err != nil {
			return
		}
		defer to.Close()
		request := make([]byte, 28)
		io.ReadFull(c, request)
		to.Write(request)
		answer := make([]byte, 1024)
		if n, err := to.Read(answer); err == nil {
			c.Write(answer[:n])
		}
	})
	w, err := (&Transport{log: log}).newWarmPort([]string{hangsUp}, noPeers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.use(1) // somebody else keeps it warm
	for range 5 {
		_, release, err := w.acquire(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
}
