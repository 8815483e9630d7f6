package tcpport

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The other end's process stands still for twice as long as keep-alives without an answer would
// take to end the connection, and its system says that it has no room: the connection stays, and
// Silence does not count. After 3 s the system asks for room every 3 s and less often.
func TestFullReceiverIsAlive(t *testing.T) {
	t.Parallel()
	p, q := newTestPort(t), newTestPort(t)
	c := p.connect(t, q.addr)
	q.next(t)
	quick := net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2}
	deadAfter := quick.Idle + time.Duration(quick.Count)*quick.Interval
	if err := c.SetKeepAliveConfig(quick); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(2 * deadAfter)
	c.SetWriteDeadline(end)
	written := make(chan error, 1)
	go func() {
		b := make([]byte, 1<<16)
		for {
			if _, err := c.Write(b); err != nil {
				written <- err
				return
			}
		}
	}()
	for {
		select {
		case err := <-written:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		case <-time.After(100 * time.Millisecond):
			if d, ok := Silence(c); !ok || d > deadAfter/2 {
				t.Fatalf("silence of %v, %v, %v before the end", d, ok, time.Until(end))
			}
		}
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		info unix.TCPInfo
		want time.Duration
	}{
		"idle":                      {unix.TCPInfo{Last_ack_recv: 3000, Last_data_recv: 9000, Snd_wnd: 1}, 3 * time.Second},
		"idle, no answer":           {unix.TCPInfo{Last_ack_recv: 9000, Last_data_recv: 9500, Probes: 5, Snd_wnd: 1}, 9 * time.Second},
		"full":                      {unix.TCPInfo{Last_ack_recv: 50000, Last_data_recv: 50000, Notsent_bytes: 9, Backoff: 8}, 0},
		"full, asked again":         {unix.TCPInfo{Last_ack_recv: 50000, Last_data_recv: 50000, Notsent_bytes: 9, Probes: 1}, 0},
		"full, no answer":           {unix.TCPInfo{Last_ack_recv: 9000, Last_data_recv: 50000, Notsent_bytes: 9, Probes: 3}, 9 * time.Second},
		"full, and data was thrown": {unix.TCPInfo{Last_ack_recv: 9000, Last_data_recv: 50000, Unacked: 1, Backoff: 6, Rto: 12800000}, 0},
		"busy, no answer":           {unix.TCPInfo{Last_ack_recv: 9000, Last_data_recv: 9000, Unacked: 1, Snd_wnd: 1}, 9 * time.Second},
		"only small packets":        {unix.TCPInfo{Last_ack_recv: 10, Last_data_recv: 10, Unacked: 1, Snd_wnd: 1, Backoff: 5, Rto: 6400000, Last_data_sent: 2300}, 8500 * time.Millisecond},
	} {
		if got := silence(&tc.info); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}
