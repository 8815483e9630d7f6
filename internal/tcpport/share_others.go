//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || windows)

package tcpport

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

func share(string, string, syscall.RawConn) error {
	return fmt.Errorf("a TCP port cannot be shared between sockets on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
