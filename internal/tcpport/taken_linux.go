package tcpport

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Linux answers EADDRNOTAVAIL to a connect(2) whose 4-tuple is in its table of
// established connections.
func isTupleTaken(err error) bool { return errors.Is(err, unix.EADDRNOTAVAIL) }
