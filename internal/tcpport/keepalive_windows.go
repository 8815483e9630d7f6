package tcpport

import (
	"net"
	"time"

	"golang.org/x/sys/windows"
)

// setUserTimeout bounds how long data may remain unacknowledged (RFC 9293, section 3.8.3).
func setUserTimeout(fd uintptr) {
	windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_TCP, windows.TCP_MAXRTMS, int(DeadAfter.Milliseconds()))
}

// Silence returns false: this system does not report it.
func Silence(*net.TCPConn) (time.Duration, bool) { return 0, false }
