package tcpport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout bounds how long data may remain unacknowledged (RFC 9293, section 3.8.3), also
// while other packets come. Linux applies it to keep-alives as well, in place of their count.
func setUserTimeout(fd uintptr) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(DeadAfter.Milliseconds()))
}

// Silence returns how long ago the last packet came from the other end, or 0 where the system does
// not report it. With SetKeepAlive packets come all the time. The system itself begins to count
// anew when data is sent on a connection that it has probed in vain for a while.
func Silence(c *net.TCPConn) (d time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d = time.Duration(min(i.Last_ack_recv, i.Last_data_recv)) * time.Millisecond
		}
	})
	return d
}
