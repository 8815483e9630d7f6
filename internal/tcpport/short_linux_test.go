package tcpport

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

func TestNoFileDescriptors(t *testing.T) {
	p, at := open4(t)
	labtest.NoFiles(t)
	if _, err := p.Connect(testContext(t), at); !errors.Is(err, ErrShort) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("connect: got %v, want %v", err, ErrShort)
	}
	if p, err := Open(); !errors.Is(err, ErrShort) {
		t.Errorf("open: got %v, %v, want %v", p, err, ErrShort)
	}
}
