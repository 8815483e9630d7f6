package tcptest

import (
	"net"
	"testing"
)

func TestRefusing(t *testing.T) {
	a, b := Refusing(t), Refusing(t)
	if a == b {
		t.Errorf("%v twice", a)
	}
	if c, err := net.Dial("tcp4", a.String()); err == nil {
		c.Close()
		t.Errorf("connected to %v", a)
	}
	// A listener may name the port, but is not given it. That is so while it cannot be bound
	// without SO_REUSEADDR, as by what connects from it.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(a)}
	if c, err := from.Dial("tcp4", l.Addr().String()); err == nil {
		c.Close()
		t.Errorf("%v is free", a)
	}
}

func TestFree(t *testing.T) {
	a, b := Free(t), Free(t)
	if a == b {
		t.Errorf("%s twice", a)
	}
	for _, port := range []string{a, b} {
		l, err := net.Listen("tcp4", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}
