//go:build !linux

package tcpport

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// errorQueue is for Linux: the others do not say what refused a connect.
type errorQueue struct{}

func (errorQueue) watch(_, _ string, _ syscall.RawConn) error { return nil }

func (errorQueue) has() bool { return false }

func (errorQueue) close() {}

// by is for Linux: elsewhere the program ends the connect.
func by(time.Time) Control {
	return func(_, _ string, _ syscall.RawConn) error { return nil }
}

func deafen(_, _ string, _ syscall.RawConn) error {
	return fmt.Errorf("a port cannot be silent on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
