//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package tcpport

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The BSDs and macOS answer EADDRINUSE to a connect(2) whose 4-tuple exists.
func isTupleTaken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }
