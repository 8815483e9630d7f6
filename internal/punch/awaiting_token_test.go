package punch

import (
	"net"
	"net/netip"
	"testing"
)

func TestWaitingMakesWay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		from []string // in the order of their coming
		want int      // which makes way
	}{
		"one address":                {[]string{"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1"}, 0},
		"all from others":            {[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, 0},
		"busiest first":              {[]string{"192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}, 0},
		"busiest last":               {[]string{"192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.1"}, 2},
		"of two busy ones the older": {[]string{"192.0.2.2", "192.0.2.1", "192.0.2.1", "192.0.2.2"}, 0},
		"one /64":                    {[]string{"192.0.2.1", "2001:db8::1", "2001:db8::2", "192.0.2.2"}, 1},
		"two /64":                    {[]string{"192.0.2.1", "2001:db8::1", "2001:db8:0:1::1", "192.0.2.2"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w waiting
			var conns []*net.TCPConn
			for i, from := range tc.from {
				conns = append(conns, new(net.TCPConn))
				crowded := w.add(conns[i], netip.MustParseAddr(from), len(tc.from)-1)
				if want := i == len(tc.from)-1; want != (crowded != nil) || want && crowded != conns[tc.want] {
					t.Errorf("%v made way", crowded)
				}
			}
			for i, c := range conns {
				if was := w.remove(c); was == (i == tc.want) {
					t.Errorf("connection %d was there: %v", i, was)
				}
			}
			if len(w.conns) > 0 || len(w.count) > 0 {
				t.Errorf("%v is left", w)
			}
		})
	}
}

func TestWaitingClear(t *testing.T) {
	t.Parallel()
	var w waiting
	for range 3 {
		w.add(new(net.TCPConn), localhost, 3)
	}
	if conns := w.clear(); len(conns) != 3 || len(w.conns) > 0 || len(w.count) > 0 || len(w.clear()) > 0 {
		t.Errorf("%d connections were there, %v is left", len(conns), w)
	}
}
