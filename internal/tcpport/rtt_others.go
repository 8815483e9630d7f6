//go:build !linux

package tcpport

import (
	"net"
	"time"
)

// distrustRTT is for Linux: the others' congestion control does not build on
// the RTT of the first exchange.
func distrustRTT(*net.TCPConn, time.Duration) {}
