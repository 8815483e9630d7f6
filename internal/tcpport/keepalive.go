package tcpport

import (
	"net"
	"time"
)

// An idle connection is probed after keepAliveIdle, and then every keepAliveInterval, the least
// that systems offer, until an answer comes. Until DeadAfter these are five: where 5 % of the
// packets are lost, all five are in 5 days. NATs forget an idle TCP connection after minutes.
const (
	keepAliveIdle     = 4 * time.Second
	keepAliveInterval = time.Second
	keepAliveCount    = 5
)

// DeadAfter is how long the other end of a connection with SetKeepAlive is silent until it can be
// taken for dead. Paths that change, as between the cells of a mobile network, are seldom gone for
// that long.
const DeadAfter = 8500 * time.Millisecond

// SetKeepAlive makes the system probe the other end of an idle connection 15 times a minute, and
// end the connection after 9 s without an answer. macOS and Windows also end it if data that was
// sent is not acknowledged for DeadAfter; on Linux [Silence] reports that. Errors are ignored: a
// muxer notices later.
func SetKeepAlive(c *net.TCPConn) {
	c.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable:   true,
		Idle:     keepAliveIdle,
		Interval: keepAliveInterval,
		Count:    keepAliveCount,
	})
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(setUserTimeout)
	}
}
