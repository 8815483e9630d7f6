//go:build !linux

package tcpport

import (
	"net"
	"time"
)

// RTT returns 0: only Linux is asked.
func RTT(*net.TCPConn) time.Duration { return 0 }

// DistrustRTT does nothing: only Linux's congestion control builds on the RTT of the first
// exchange.
func DistrustRTT(*net.TCPConn, time.Duration) {}
