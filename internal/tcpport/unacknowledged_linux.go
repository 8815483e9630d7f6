package tcpport

import (
	"net"

	"golang.org/x/sys/unix"
)

// Unacknowledged returns how many of the bytes written to a connection the other end has not
// acknowledged, or 0 if the system does not say.
func Unacknowledged(c *net.TCPConn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n
}
