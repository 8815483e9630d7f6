package punch

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestStreamDeadlines: deadlines end what waits before the choice, and what was set before holds
// after it.
func TestStreamDeadlines(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	timeout := func(what string, n int, err error) {
		t.Helper()
		ne, ok := err.(net.Error)
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !ok || !ne.Timeout() {
			t.Errorf("%s: %d, %v; want %v", what, n, err, os.ErrDeadlineExceeded)
		}
	}
	buf := make([]byte, maxKept)
	past := time.Unix(1, 0)

	a.SetDeadline(past)
	n, err := a.Read(buf)
	timeout("read with a past deadline", n, err)
	n, err = a.Write(buf[:1])
	timeout("write with a past deadline", n, err)

	// A deadline that is set or moved while they wait.
	a.SetDeadline(time.Now().Add(time.Hour))
	write(t, a, string(buf))
	read, wrote := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := a.Read(buf)
		read <- err
	}()
	go func() {
		_, err := a.Write(buf[:1])
		wrote <- err
	}()
	a.SetReadDeadline(time.Now().Add(time.Millisecond))
	timeout("waiting read", 0, <-read)
	a.SetWriteDeadline(past)
	timeout("waiting write", 0, <-wrote)

	// The deadlines in force hold after the choice, and others do then.
	fromA, fromB := join(t, a, b)
	wantServed(t, fromA, nil) // the past deadline does not keep what was written before
	wantServed(t, fromB, nil)
	wantRead(t, b, string(buf))
	n, err = a.Read(buf)
	timeout("read after the choice", n, err)
	n, err = a.Write(buf[:1])
	timeout("write after the choice", n, err)
	a.SetDeadline(time.Time{})
	write(t, a, "on")
	write(t, b, "and")
	wantRead(t, b, "on")
	wantRead(t, a, "and")
	b.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, err = b.Read(buf)
	timeout("read later", n, err)
}

// TestStreamDeadlineAcross: a Read that has waited since before the choice ends by its deadline.
func TestStreamDeadlineAcross(t *testing.T) {
	t.Parallel()
	a, b := newStreams(t)
	a.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	read := make(chan error, 1)
	go func() {
		_, err := a.Read(make([]byte, 1))
		read <- err
	}()
	join(t, a, b)
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}
