package tcpport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout bounds how long data may remain unacknowledged (RFC 9293, section 3.8.3).
func setUserTimeout(fd uintptr) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RXT_CONNDROPTIME, int(DeadAfter.Seconds()))
}

// Silence returns false: this system does not report it.
func Silence(*net.TCPConn) (time.Duration, bool) { return 0, false }
