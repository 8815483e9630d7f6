//go:build !linux

package tcpport

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// errorQueue is for Linux: the others do not say what refused a connect.
type errorQueue struct{}

func (errorQueue) watch(_, _ string, _ syscall.RawConn) error { return nil }

func (errorQueue) has() bool { return false }

func (errorQueue) close() {}

// synTwice is for Linux: elsewhere the context bounds the SYNs.
func synTwice(_, _ string, _ syscall.RawConn) error { return nil }

func deafen(_, _ string, _ syscall.RawConn) error {
	return fmt.Errorf("a port cannot be silent on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
