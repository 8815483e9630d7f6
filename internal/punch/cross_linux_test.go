package punch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
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
			func(t *testing.T) netip.AddrPort { return tcptest.Refusing(t) },
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
			seen := newConnects()
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
			pairs := func(i, j int) int { return seen.of(here[i].port, there[j]) }
			until(t, "ready", func() bool {
				o.mu.Lock()
				defer o.mu.Unlock()
				return tc.ready(o) && pairs(0, 0) > 0 && pairs(1, 1) > 0
			})
			if pairs(0, 1)+pairs(1, 0) > 0 {
				t.Error("crossed before it is time")
			}
			o.Cross(0, 0)
			before := pairs(0, 0) + pairs(1, 1)
			until(t, "crossed", func() bool {
				one, other := pairs(0, 1), pairs(1, 0)
				return !tc.cross || one > 0 && other > 0 && (!tc.replaces || one+other >= 50)
			})
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

// TestSpoiled: pairs are spoiled when Cross was called a while ago and all have been refused since
// then, also those that begin with it.
func TestSpoiled(t *testing.T) {
	t.Parallel()
	refusing := func(t *testing.T) netip.AddrPort { return tcptest.Refusing(t) }
	silent := func(t *testing.T) netip.AddrPort { _, addr := listenSilent(t); return addr }
	for name, tc := range map[string]struct {
		atCross bool
		second  func(t *testing.T) netip.AddrPort // the peer's second port
		spoiled bool
	}{
		"crossed pairs":            {false, refusing, true},
		"begun with CROSS":         {true, refusing, true},
		"one is silent":            {false, silent, false},
		"one is silent from CROSS": {true, silent, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			here := []*side{newSide(t), newSide(t)}
			there := []netip.AddrPort{tcptest.Refusing(t), tc.second(t)}
			seen, times := newConnects(), *quick
			times.spoiled = time.Millisecond
			o := Open(ctx, Round{
				Ports:   []*tcpport.Port{here[0].port, here[1].port},
				Remote:  []Candidate{{Kind: Reflexive, Addr: there[0]}, {Kind: Reflexive, Addr: there[1], Port: 1}},
				AtCross: tc.atCross,
				Trace:   seen.trace,
				times:   &times,
			})
			pairs := func(i, j int) int { return seen.of(here[i].port, there[j]) }
			// When it connects once more, it was refused as often.
			until(t, "many were refused", func() bool { return tc.atCross || pairs(0, 0) > spoiledFailures })
			o.mu.Lock()
			o.checkSpoiled()
			o.mu.Unlock()
			select {
			case <-o.Spoiled():
				t.Error("spoiled before Cross")
			default:
			}
			if tc.atCross && pairs(0, 0)+pairs(1, 1) > 0 {
				t.Error("connects before Cross")
			}
			o.Cross(0, 0)
			if tc.spoiled {
				wantClosed(t, "Spoiled", o.Spoiled())
			} else {
				// Of the crossed pairs, the second port's goes to the first one there.
				other := 0
				if !tc.atCross {
					other = 1
				}
				until(t, "many were refused", func() bool { return pairs(other, 0) > spoiledFailures })
				time.Sleep(times.spoiled)
				o.mu.Lock()
				o.checkSpoiled()
				o.mu.Unlock()
				select {
				case <-o.Spoiled():
					t.Error("spoiled, and one is pending")
				default:
				}
			}
			if crossed := pairs(0, 1) + pairs(1, 0); (crossed > 0) == tc.atCross {
				t.Errorf("%d connects of crossed pairs", crossed)
			}
			cancel()
			o.Wait()
		})
	}
}

// TestRefusedBeforeTheMoment: the initiator's second port begins before the moment of Cross. Where
// it is refused it repeats a burst, waits for the moment, and has all of its quick repeats then.
func TestRefusedBeforeTheMoment(t *testing.T) {
	t.Parallel()
	for _, atCross := range []bool{false, true} {
		t.Run(fmt.Sprint(atCross), func(t *testing.T) {
			t.Parallel()
			const later = 200 * time.Millisecond
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			here := []*side{newSide(t), newSide(t)}
			there := []netip.AddrPort{tcptest.Refusing(t), tcptest.Refusing(t)}
			seen, times := newConnects(), *quick
			times.burstPause = time.Hour // what comes after the quick repeats is too late
			o := Open(ctx, Round{
				Ports:     []*tcpport.Port{here[0].port, here[1].port},
				Remote:    []Candidate{{Kind: Reflexive, Addr: there[0]}, {Kind: Reflexive, Addr: there[1], Port: 1}},
				Initiator: true,
				AtCross:   atCross,
				Trace:     seen.trace,
				times:     &times,
			})
			second := func() int { return seen.of(here[1].port, there[0]) }
			if atCross {
				second = func() int { return seen.of(here[1].port, there[1]) }
			} else {
				until(t, "a connect is refused", func() bool { return seen.of(here[0].port, there[0]) > 1 })
			}
			nearly := time.Now().Add(later - 10*time.Millisecond) // just before the moment they go on
			o.Cross(0, later)
			before := 0
			for {
				n := second()
				if time.Now().After(nearly) {
					break
				}
				before = n
				time.Sleep(time.Millisecond)
			}
			if before > 1+burst {
				t.Errorf("%d connects before the moment, want %d at most", before, 1+burst)
			}
			quick := quickRepeats
			if atCross {
				quick = burst
			}
			until(t, "all quick repeats are made", func() bool { return second() >= before+quick })
			cancel()
			o.Wait()
		})
	}
}
