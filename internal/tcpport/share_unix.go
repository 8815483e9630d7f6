//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package tcpport

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// share lets other sockets of this user bind the same port. SO_REUSEPORT allows it beside a
// listener; Linux wants SO_REUSEADDR too for a port that has a connection in TIME-WAIT.
func share(_, _ string, c syscall.RawConn) error {
	var errAddr, errPort error
	err := c.Control(func(fd uintptr) {
		errAddr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		errPort = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, errAddr, errPort)
}

// isRefused reports whether a connect ended with a RST: as the answer to our SYN, or after the
// peer's SYN has come in as well.
func isRefused(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET)
}

func isPortInUse(err error) bool { return errors.Is(err, unix.EADDRINUSE) }

func isShort(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}
