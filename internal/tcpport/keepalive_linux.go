package tcpport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout does nothing: Linux begins to count TCP_USER_TIMEOUT anew when data is sent on a
// connection that has been probed in vain, so that it would end after twice the time.
func setUserTimeout(uintptr) {}

// Silence returns how long ago the last packet came from the other end, or 0 where the system does
// not report it. With SetKeepAlive packets come all the time.
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
