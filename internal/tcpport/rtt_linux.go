package tcpport

import (
	"math"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// RTT returns the shortest round trip of a connection that the kernel has measured, or 0 if it does
// not say.
func RTT(c *net.TCPConn) (rtt time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info.Min_rtt != math.MaxUint32 { // which says that there is none
			rtt = time.Duration(info.Min_rtt) * time.Microsecond
		}
	})
	return rtt
}

// DistrustRTT takes BBR off a connection whose RTT the kernel has measured wrong.
//
// When two SYNs cross, Linux takes the time from our SYN+ACK to the peer's for the RTT. Each was
// sent when the other's SYN came, so the two sides' measurements add up to one RTT: one has half of
// it or less. Loss-based congestion control is indifferent to that, but BBR builds on the lowest
// RTT, and keeps a window that is too small until it probes again after 10 s. Between sites 80 ms
// apart, 4 MiB took 11.5 s with BBR and 0.75 s with CUBIC or Reno. (Where BBR is the default,
// examples/demo shows it without this function.) The kernel's lowest RTT cannot be set right from
// outside, so the connection gets CUBIC, or Reno where CUBIC is not allowed.
//
// BBR allows twice the window that it deems necessary, so that half the RTT does no harm.
// DistrustRTT leaves BBR alone from there up: where packets are lost it is worth far more than the
// others.
//
// The parameter rtt is the connection's RTT as it is otherwise known. Errors are of no consequence:
// the connection works either way.
func DistrustRTT(c *net.TCPConn, rtt time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		name, err := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil || !strings.HasPrefix(name, "bbr") {
			return
		}
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || time.Duration(info.Min_rtt)*time.Microsecond > rtt/2 {
			return
		}
		for _, other := range []string{"cubic", "reno"} {
			if unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, other) == nil {
				return
			}
		}
	})
}
