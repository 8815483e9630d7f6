package tcpport

import (
	"errors"
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
}
