package tcpport

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// fewFiles leaves the process no file descriptor for the length of the test.
func fewFiles(t *testing.T) {
	t.Helper()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	free, err := os.Open("/dev/null") // the lowest number that is free
	if err != nil {
		t.Fatal(err)
	}
	few := lim
	few.Cur = uint64(free.Fd())
	free.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			t.Error(err)
		}
	})
}

func TestNoFileDescriptors(t *testing.T) {
	p, at := open4(t)
	fewFiles(t)
	if _, err := p.Connect(testContext(t), at); !errors.Is(err, ErrShort) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("connect: got %v, want %v", err, ErrShort)
	}
	if p, err := Open(); !errors.Is(err, ErrShort) {
		t.Errorf("open: got %v, %v, want %v", p, err, ErrShort)
	}
}
