//go:build !linux

package tcpport

import (
	"net"
	"time"
)

// DistrustRTT is for Linux: the others' congestion control does not build on
// the RTT of the first exchange.
func DistrustRTT(*net.TCPConn, time.Duration) {}
