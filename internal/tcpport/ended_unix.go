//go:build unix

package tcpport

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Ended returns io.EOF or the kernel's error if the other end has closed or reset a connection, and
// nothing that it has sent is left to be read. It reads nothing, and does not wait. On systems
// other than Unix it returns nil.
func Ended(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	ended := error(nil)
	if err := raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == nil && n == 0:
			ended = io.EOF
		case err != nil && err != unix.EAGAIN && err != unix.EINTR:
			ended = err
		}
	}); err != nil {
		return err
	}
	return ended
}
