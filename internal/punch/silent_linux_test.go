package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// listenSilent binds a port that ignores SYNs, as a peer does whose NAT drops them.
func listenSilent(t *testing.T) (*tcpport.SilentPort, netip.AddrPort) {
	t.Helper()
	s, err := tcpport.ListenSilent(localhost)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, netip.AddrPortFrom(localhost, s.Number())
}

// TestContestedAndConnected: where the SYNs cross, the peer has connected as well and shows its
// token at once. The first connection is the one, whichever attempt has connected it.
func TestContestedAndConnected(t *testing.T) {
	t.Parallel()
	for name, liarFirst := range map[string]bool{"liar first": true, "liar second": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			host, peer := newSide(t), newSide(t)
			silent, addr := listenSilent(t)
			a, b := host.attempt(t, true), peer.attempt(t, false)
			introduce(a, b)
			l := host.liar(t)
			times := *quick
			times.minTokenWait, times.maxTokenWait = testTimeout, testTimeout
			first, second := a, l
			if liarFirst {
				first, second = l, a
			}
			for _, x := range []*attempt{first, second} {
				x.round.times = &times
				x.open(ctx, addr)
				untilTaken(ctx, host.port, addr)
			}
			c, err := silent.Connect(ctx, host.addr)
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- b.stream.Serve(c, false) }()
			wantSame(t, a, b)
			if err := <-served; err != nil {
				t.Errorf("the peer's first connection is not the one: %v", err)
			}
			if accepted := <-a.served; !accepted || len(a.served) > 0 || len(l.served) > 0 {
				t.Error("the connection was not attributed by its token")
			}
		})
	}
}

// untilTaken waits until a SYN is on its way to an address that does not answer.
func untilTaken(ctx context.Context, port *tcpport.Port, to netip.AddrPort) {
	for sleep(ctx, 10*time.Millisecond) { // or else this one has the 4-tuple all the time
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		_, err := port.Connect(short, to)
		cancel()
		if errors.Is(err, tcpport.ErrTupleTaken) {
			return
		}
	}
}

// TestCross: crossed pairs are connected when it is time, unless a SYN was refused or a connection
// came up: where NATs answer with RST no SYN is lost, and a crossed one may do harm.
func TestCross(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		peer  func(t *testing.T) netip.AddrPort // a port of the peer
		ready func(o *Opening) bool
		cross bool
	}{
		"silence": {
			func(t *testing.T) netip.AddrPort { _, addr := listenSilent(t); return addr },
			func(*Opening) bool { return true },
			true,
		},
		"refused": {
			func(t *testing.T) netip.AddrPort { s := newSide(t); s.port.Close(); return s.addr },
			func(o *Opening) bool { return o.result.Refused > 0 },
			false,
		},
		"up": {
			func(t *testing.T) netip.AddrPort { return newSide(t).addr },
			func(o *Opening) bool { return o.result.Up > 0 },
			false,
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
			o.Cross()
			for tc.cross && (pairs(0, 1) == 0 || pairs(1, 0) == 0) {
				<-seen.seen
			}
			cancel()
			o.Wait()
			if !tc.cross && pairs(0, 1)+pairs(1, 0) > 0 {
				t.Error("crossed")
			}
		})
	}
}
