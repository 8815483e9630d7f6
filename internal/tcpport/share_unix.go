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
