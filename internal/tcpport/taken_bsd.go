//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package tcpport

import (
	"errors"

	"golang.org/x/sys/unix"
)

// isTupleTaken reports whether a connect failed because the 4-tuple is in use: the BSDs and macOS
// answer EADDRINUSE.
func isTupleTaken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }
