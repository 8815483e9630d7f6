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

// Windows answers WSAEADDRINUSE to a connect whose 4-tuple exists.
func isTupleTaken(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }

func isRefused(err error) bool {
	return errors.Is(err, windows.WSAECONNREFUSED) || errors.Is(err, windows.WSAECONNRESET)
}

func isPortInUse(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }

func isShort(err error) bool {
	return errors.Is(err, windows.WSAEMFILE) || errors.Is(err, windows.WSAENOBUFS)
}
