//go:build !unix

package tcpport

import "net"

// Ended returns nil: only Unix is asked.
func Ended(*net.TCPConn) error { return nil }
