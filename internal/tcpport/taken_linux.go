package tcpport

import (
	"errors"

	"golang.org/x/sys/unix"
)

// isTupleTaken reports whether a connect failed because the 4-tuple is in use. Linux answers
// EADDRNOTAVAIL to a connect(2) whose 4-tuple is in its table of established connections.
func isTupleTaken(err error) bool { return errors.Is(err, unix.EADDRNOTAVAIL) }
