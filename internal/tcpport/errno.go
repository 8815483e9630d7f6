package tcpport

import (
	"errors"
	"os"
	"slices"
)

// What the system's error numbers mean is in errno_*.go.

// IsRefused reports whether a connect ended with a RST, as the answer to our SYN or after the
// peer's SYN has come in as well, or with an ICMP error that the system does not distinguish from a
// RST.
func IsRefused(err error) bool { return isAny(err, refused) }

func isTupleTaken(err error) bool { return isAny(err, tupleTaken) }

// isFromBind reports whether it is bind(2) that has failed. Linux has the same error number for an
// address that is not the host's, and for a 4-tuple that is taken.
func isFromBind(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind"
}

func isPortInUse(err error) bool { return isAny(err, portInUse) }

func isNotLocal(err error) bool { return isAny(err, notLocal) }

func isShort(err error) bool { return isAny(err, short) }

func isAny(err error, errnos []error) bool {
	return slices.ContainsFunc(errnos, func(e error) bool { return errors.Is(err, e) })
}
