package tcpport

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestNoFileDescriptors(t *testing.T) {
	p := newTestPort(t)
	labtest.NoFiles(t)
	if _, err := p.Connect(testContext(t), p.addr); !errors.Is(err, ErrShort) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("connect: got %v, want %v", err, ErrShort)
	}
	if p, err := Open(nil, nil); !errors.Is(err, ErrShort) {
		t.Errorf("open: got %v, %v, want %v", p, err, ErrShort)
	}
	if a, err := SourceAddr(p.addr, nil); !errors.Is(err, ErrShort) {
		t.Errorf("source: got %v, %v, want %v", a, err, ErrShort)
	}
	if p.unsent(unix.EHOSTUNREACH, p.addr) {
		t.Error("without a file descriptor to find out whether there is a route, there seems to be none")
	}
}

// TestNoIPv6Socket: without a file descriptor for the listener in IPv6 there is no port. One in
// IPv4 alone would stay so.
func TestNoIPv6Socket(t *testing.T) {
	short := func(network, _ string, _ syscall.RawConn) error {
		if network == "tcp6" {
			return unix.EMFILE
		}
		return nil
	}
	if p, err := Open(nil, short); !errors.Is(err, ErrShort) {
		t.Errorf("got %v, %v, want %v", p, err, ErrShort)
	}
}
