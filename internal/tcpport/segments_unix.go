//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package tcpport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSegment bounds the size of segments. It is set before the connect, so that the SYN names it
// and the other end keeps to it as well. An error is of no consequence: the segments are larger.
func maxSegment(n int) Control {
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, n)
		})
	}
}
