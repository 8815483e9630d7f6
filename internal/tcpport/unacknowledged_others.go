//go:build !linux

package tcpport

import "net"

// Unacknowledged returns 0: only Linux is asked.
func Unacknowledged(*net.TCPConn) int { return 0 }
