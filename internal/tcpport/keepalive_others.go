//go:build !(linux || darwin || windows)

package tcpport

import (
	"net"
	"time"
)

// setUserTimeout does nothing: this system has no bound for unacknowledged data.
func setUserTimeout(uintptr) {}

// Silence returns false: this system does not report it.
func Silence(*net.TCPConn) (time.Duration, bool) { return 0, false }
