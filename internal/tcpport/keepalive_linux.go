package tcpport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout sets none: Linux's also ends a connection whose other end acknowledges all probes,
// and has no room for more data, since its process stands still. See [Silence].
func setUserTimeout(uintptr) {}

// windowProbes is how many probes of a closed window are unanswered when the other end's silence
// counts. The time between two doubles up to 2 min.
const windowProbes = 3

// Silence returns how long ago the last packet came from the other end, or for how long sent data
// has been repeated without an acknowledgement, also while other packets come. It is 0 while the
// other end advertises a window of zero: the probes of such an end become ever rarer. Otherwise,
// with SetKeepAlive, packets come all the time. The system itself restarts its count when data is
// sent on a connection whose probes had no answer for a while. The bool is false where the system
// does not report the time.
func Silence(c *net.TCPConn) (d time.Duration, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	raw.Control(func(fd uintptr) {
		if i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			d, ok = silence(i), true
		}
	})
	return d, ok
}

func silence(i *unix.TCPInfo) time.Duration {
	ms := min(i.Last_ack_recv, i.Last_data_recv)
	switch waiting := i.Unacked == 0 && i.Notsent_bytes > 0; {
	case waiting && i.Probes < windowProbes, i.Unacked > 0 && i.Snd_wnd == 0:
		return 0
	case i.Unacked > 0 && i.Backoff > 0:
		// The time between two repetitions, in µs, has doubled with each.
		ms = max(ms, (i.Rto-i.Rto>>i.Backoff)/1000+i.Last_data_sent)
	}
	return time.Duration(ms) * time.Millisecond
}
