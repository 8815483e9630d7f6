package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestHooks: the hooks learn of each answer and failure, and of what is held.
func TestHooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, bad, late, other := newFake("46.0.1.1:3478", "46.0.0.1:4000"), failing("46.0.1.2:3478"), silent("46.0.1.3:3478"), newFake("46.0.2.1:4001", "46.0.0.1:4000")
		good.hold, good.err = time.Minute, errFake
		var mu sync.Mutex
		var asked []string
		holding := 0
		g := newFakeGatherer(t, new(fakeNetwork), observers(good, bad, late), Config{
			Ports:     1,
			Observers: func(uint16) []Observer { return observers(other) },
			OnAsked: func(o Observer, stunServer bool, err error) {
				mu.Lock()
				defer mu.Unlock()
				what := map[bool]string{true: "server ", false: "other "}[stunServer] + o.String()
				switch {
				case errors.Is(err, context.DeadlineExceeded):
					what += " is late"
				case err != nil:
					what += " fails"
				}
				asked = append(asked, what)
			},
			OnHeld: func(delta int) {
				mu.Lock()
				defer mu.Unlock()
				holding += delta
			},
		})
		g.SetWarm(true)
		time.Sleep(time.Minute - time.Second)
		good.mu.Lock()
		good.sees = netip.AddrPort{} // and it fails from now on
		good.mu.Unlock()
		g.Prepare()
		time.Sleep(2*time.Second - time.Millisecond) // until they are asked again
		synctest.Wait()
		mu.Lock()
		slices.Sort(asked)
		want := "other 46.0.2.1:4001, server 46.0.1.1:3478, server 46.0.1.1:3478 fails, server 46.0.1.2:3478 fails, server 46.0.1.3:3478 is late"
		if got := strings.Join(asked, ", "); got != want || holding != 1 {
			t.Errorf("got  %s\nwant %s\n%d are held", got, want, holding)
		}
		mu.Unlock()
		g.SetWarm(false)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if holding != 0 || len(asked) != 5 {
			t.Errorf("%d are held, %d were asked", holding, len(asked))
		}
	})
}

// TestStubbornObserver: an observer that reports nothing of use, or twice, or too late, does no
// harm.
func TestStubbornObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		report := make(chan func(remote, reflexive netip.AddrPort), 1)
		o := observerFunc(func(ctx context.Context, r func(remote, reflexive netip.AddrPort)) error {
			r(netip.AddrPort{}, netip.AddrPort{})
			r(netip.AddrPort{}, netip.MustParseAddrPort("46.0.0.9:4000"))
			for _, nowhere := range addrPorts("0.0.0.0:4000", "[::ffff:0.0.0.0]:4000", "224.0.0.1:4000", "46.0.0.9:0", "[64:ff9b::a00:1]:4000") {
				r(netip.MustParseAddrPort("46.0.2.1:4001"), nowhere)
			}
			r(netip.MustParseAddrPort("46.0.2.1:4001"), netip.MustParseAddrPort("[::ffff:46.0.0.1]:4000"))
			r(netip.MustParseAddrPort("46.0.2.1:4001"), netip.MustParseAddrPort("46.0.0.9:4000"))
			report <- r
			<-ctx.Done()
			return nil
		})
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{Observers: func(uint16) []Observer { return []Observer{&o} }})
		d, _ := mustGather(t, g)
		if want := netip.MustParseAddrPort("46.0.0.1:4000"); d.Candidates[0].Addr != want {
			t.Errorf("got %v, want %v", d.Candidates, want)
		}
		d.Release()
		synctest.Wait()
		(<-report)(netip.MustParseAddrPort("46.0.2.1:4001"), netip.MustParseAddrPort("46.0.0.9:4000"))
	})
}

// TestReportsAtOnce: of concurrent reports one counts, also while the observer ends.
func TestReportsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var held atomic.Int32
		var reporting sync.WaitGroup
		o := observerFunc(func(_ context.Context, r func(remote, reflexive netip.AddrPort)) error {
			for range 10 {
				reporting.Go(func() { r(netip.MustParseAddrPort("46.0.2.1:4001"), netip.MustParseAddrPort("46.0.0.1:4000")) })
			}
			return errFake
		})
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{
			Ports:     1,
			Observers: func(uint16) []Observer { return []Observer{&o} },
			OnHeld:    func(delta int) { held.Add(int32(delta)) },
		})
		g.SetWarm(true)
		time.Sleep(time.Minute)
		g.SetWarm(false)
		synctest.Wait()
		reporting.Wait()
		if n := held.Load(); n != 0 {
			t.Errorf("%d connections are held", n)
		}
	})
}

// TestObserverWithoutError: an observer may end without a reason.
func TestObserverWithoutError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := observerFunc(func(context.Context, func(remote, reflexive netip.AddrPort)) error { return nil })
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{Observers: func(uint16) []Observer { return []Observer{&o} }})
		if _, err := g.Gather(t.Context(), Options{}); !errors.Is(err, ErrNoAddress) {
			t.Errorf("got %v, want %v", err, ErrNoAddress)
		}
	})
}
