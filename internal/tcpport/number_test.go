package tcpport

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestOpenNumber(t *testing.T) {
	// A number that was free a moment ago, and that no other program is likely to get.
	first := newTestPort(t)
	number := first.Number()
	first.Close()
	p, err := OpenNumber(number, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Number() != number {
		t.Errorf("port %d, want %d", p.Number(), number)
	}
	if q, err := OpenNumber(number, nil, nil); !errors.Is(err, ErrPortInUse) {
		t.Errorf("port %v, error %v for a port that is shared already, want ErrPortInUse", q, err)
	}
	p.Close()
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, address)
			if err != nil {
				needIPv6(t, err)
			}
			defer l.Close()
			taken := uint16(l.Addr().(*net.TCPAddr).Port)
			if p, err := OpenNumber(taken, nil, nil); !errors.Is(err, ErrPortInUse) {
				t.Errorf("port %v, error %v for one that somebody listens on, want ErrPortInUse", p, err)
			}
		})
	}
	q, err := OpenNumber(0, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if q.Number() == 0 {
		t.Error("port 0")
	}
}

// TestOpenNumberAgain: a port can be opened again while a connection from it is in TIME-WAIT.
func TestOpenNumberAgain(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p := newTestPort(t)
	c, err := p.Connect(testContext(t), server.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	other, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	other.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	c.Close()
	p.Close()
	again, err := OpenNumber(p.Number(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
