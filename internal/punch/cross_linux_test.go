package punch

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// TestCross: crossed pairs are connected when it is time, unless a connection came up. After a
// refusal they take the place of the others.
func TestCross(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		peer     func(t *testing.T) netip.AddrPort // a port of the peer
		ready    func(o *Opening) bool
		cross    bool
		replaces bool
	}{
		"silence": {
			func(t *testing.T) netip.AddrPort { _, addr := listenSilent(t); return addr },
			func(*Opening) bool { return true },
			true, false,
		},
		"refused": {
			func(t *testing.T) netip.AddrPort { s := newSide(t); s.port.Close(); return s.addr },
			func(o *Opening) bool { return o.result.Refused > 0 },
			true, true,
		},
		"up": {
			func(t *testing.T) netip.AddrPort { return newSide(t).addr },
			func(o *Opening) bool { return o.result.Up > 0 },
			false, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			here := []*side{newSide(t), newSide(t)}
			there := []netip.AddrPort{tc.peer(t), tc.peer(t)}
			seen := newSteps()
			r := Round{
				Ports:  []*tcpport.Port{here[0].port, here[1].port},
				Remote: []Candidate{{Kind: Reflexive, Addr: there[0]}, {Kind: Reflexive, Addr: there[1], Port: 1}},
				Serve: func(c *net.TCPConn) error {
					<-ctx.Done()
					tcpport.Reset(c)
					return ctx.Err()
				},
				Trace: seen.trace,
				times: quick,
			}
			o := Open(ctx, r)
			pairs := func(i, j int) int { return seen.connects(here[i].port, there[j]) }
			for ready := false; !ready || pairs(0, 0) == 0 || pairs(1, 1) == 0; {
				time.Sleep(time.Millisecond)
				o.mu.Lock()
				ready = tc.ready(o)
				o.mu.Unlock()
			}
			if pairs(0, 1)+pairs(1, 0) > 0 {
				t.Error("crossed before it is time")
			}
			o.Cross(0)
			before := pairs(0, 0) + pairs(1, 1)
			for tc.cross && (pairs(0, 1) == 0 || pairs(1, 0) == 0) || tc.replaces && pairs(0, 1)+pairs(1, 0) < 50 {
				<-seen.seen
			}
			if n := pairs(0, 0) + pairs(1, 1) - before; tc.replaces && n > 2 { // each had one under way
				t.Errorf("%d more connects of the pairs that were replaced", n)
			}
			cancel()
			o.Wait()
			if !tc.cross && pairs(0, 1)+pairs(1, 0) > 0 {
				t.Error("crossed")
			}
		})
	}
}
