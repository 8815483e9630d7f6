//go:build !linux

package tcpport

import (
	"net"
	"time"
)

// DistrustRTT does nothing: only Linux's congestion control builds on the RTT of the first
// exchange.
func DistrustRTT(*net.TCPConn, time.Duration) {}
