package tcpport

import (
	"errors"
	"net/netip"
	"testing"
)

// TestConnectSaysWhenNothingWasSent: a failure before a SYN has left is distinguished from a
// router's answer, also where segments are bounded.
func TestConnectSaysWhenNothingWasSent(t *testing.T) {
	t.Parallel()
	p := newTestPort(t)
	ours := netip.MustParseAddr("2001:db8::1")
	for name, tc := range map[string]struct {
		port *Port
		to   string
		want bool
	}{
		"no route":              {p.Port, "[fe80::1]:9", true},
		"no route, small":       {p.WithMaxSegment(1220), "[fe80::1]:9", true},
		"lost address":          {p.ConnectingFrom(ours), "[::1]:9", true},
		"nobody listens":        {p.Port, "127.0.0.1:9", false},
		"nobody listens, small": {p.WithMaxSegment(1220), "127.0.0.1:9", false},
	} {
		_, err := tc.port.Connect(testContext(t), netip.MustParseAddrPort(tc.to))
		if err == nil || errors.Is(err, ErrUnsent) != tc.want {
			t.Errorf("%s: got %v; matches %q: want %v", name, err, ErrUnsent, tc.want)
		}
	}
}
