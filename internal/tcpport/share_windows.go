package tcpport

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// share lets other sockets bind the same port: on Windows SO_REUSEADDR alone means what
// SO_REUSEPORT means elsewhere.
func share(_, _ string, c syscall.RawConn) error {
	var errAddr error
	err := c.Control(func(fd uintptr) {
		errAddr = windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
	})
	return errors.Join(err, errAddr)
}
