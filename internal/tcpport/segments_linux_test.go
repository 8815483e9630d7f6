package tcpport

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMaxSegment: both ends of a connection keep to what the one that connects has set.
func TestMaxSegment(t *testing.T) {
	t.Parallel()
	const max = 1220
	p, other := newTestPort(t), newTestPort(t)
	c, err := p.WithMaxSegment(max).Connect(t.Context(), other.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer Reset(c)
	for name, c := range map[string]*net.TCPConn{"connected": c, "accepted": other.next(t)} {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			size, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
			if err != nil || size > max {
				t.Errorf("%s: segments of %d bytes, %v; want %d at most", name, size, err, max)
			}
		})
	}
}
