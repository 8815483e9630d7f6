package gather

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// newEgressGatherer returns a warm one whose connections out fare as fact says, and counts how often
// that is tested.
func newEgressGatherer(t *testing.T, n *fakeNetwork, fact *stun.Fact, tests *atomic.Int32) *Gatherer {
	t.Helper()
	six, four := newFake("[2a00::1]:3478", "[2a00::9]:4000"), newFake("46.0.1.1:443", "46.0.0.1:4000")
	g := newFakeGatherer(t, n, observers(six, four), Config{Ports: 1})
	g.testEgress = func(ctx context.Context, open netip.AddrPort) (stun.Fact, error) {
		if want := netip.MustParseAddrPort("46.0.1.1:443"); open != want {
			t.Errorf("tested by %v, want %v", open, want)
		}
		tests.Add(1)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		return *fact, errFake
	}
	g.SetWarm(true)
	synctest.Wait()
	return g
}

// TestEgress: what was found holds for all, for a while.
func TestEgress(t *testing.T) {
	t.Parallel()
	for fact, holds := range map[stun.Fact]time.Duration{stun.No: searchStale, stun.Yes: searchStale, stun.Unknown: searchRetry} {
		t.Run(fact.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tests atomic.Int32
				g := newEgressGatherer(t, &fakeNetwork{source: netip.MustParseAddr("10.0.0.1")}, &fact, &tests)
				ask := func() {
					if got, err := g.Egress(t.Context(), addrPorts("46.0.9.1:4000")); got != fact || !errors.Is(err, errFake) {
						t.Errorf("got %v, %v", got, err)
					}
				}
				var all sync.WaitGroup
				for range 3 {
					all.Go(ask)
				}
				all.Wait()
				time.Sleep(holds - time.Second)
				ask()
				d, _ := mustGather(t, g)
				d.Release()
				if tests.Load() != 1 || d.Behaviour.Egress != fact {
					t.Errorf("tested %d times, known as %v", tests.Load(), d.Behaviour.Egress)
				}
				time.Sleep(time.Second)
				d, _ = mustGather(t, g)
				d.Release()
				if d.Behaviour.Egress != stun.Unknown {
					t.Errorf("known as %v after %v", d.Behaviour.Egress, holds)
				}
				if ask(); tests.Load() != 2 {
					t.Errorf("tested %d times", tests.Load())
				}
			})
		})
	}
}

// TestGotOut: with a connection to a peer nothing has to be found out.
func TestGotOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fact := stun.No
		var tests atomic.Int32
		g := newEgressGatherer(t, &fakeNetwork{
			source: netip.MustParseAddr("10.0.0.1"),
			report: &stun.Report{Behaviour: stun.Behaviour{Mapping: stun.EIM, BareSYN: stun.No}, Complete: true},
		}, &fact, &tests)
		peer := addrPorts("46.0.9.1:4000")
		if got, _ := g.Egress(t.Context(), peer); got != stun.No {
			t.Fatalf("got %v", got)
		}
		d, _ := mustGather(t, g)
		d.Release()
		if want := (stun.Behaviour{Mapping: stun.EIM, Egress: stun.No}); d.Behaviour != want { // the test of bare SYNs takes one that gets out
			t.Errorf("known as %v, want %v", d.Behaviour, want)
		}
		go g.GotOut()
		synctest.Wait()
		if got, err := g.Egress(t.Context(), peer); got != stun.Yes || err != nil || tests.Load() != 1 {
			t.Errorf("got %v, %v, tested %d times", got, err, tests.Load())
		}
		// What is being found out is not overtaken.
		time.Sleep(searchStale)
		go g.Egress(t.Context(), peer)
		synctest.Wait()
		g.GotOut()
		time.Sleep(time.Second)
		synctest.Wait()
		if got, _ := g.Egress(t.Context(), peer); got != stun.No || tests.Load() != 2 {
			t.Errorf("got %v, tested %d times", got, tests.Load())
		}
	})
}

// TestEgressElsewhere: what was found in one network is not believed in another.
func TestEgressElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{source: netip.MustParseAddr("10.0.0.1")}
		fact := stun.No
		var tests atomic.Int32
		g := newEgressGatherer(t, n, &fact, &tests)
		peers := addrPorts("46.0.9.1:4000")
		if got, _ := g.Egress(t.Context(), peers); got != stun.No {
			t.Fatalf("got %v", got)
		}
		n.setSource("10.0.0.2")
		time.Sleep(networkCheck)
		fact = stun.Yes
		if got, _ := g.Egress(t.Context(), peers); got != stun.Yes || tests.Load() != 2 {
			t.Errorf("got %v, tested %d times", got, tests.Load())
		}
		// Without a route to the peer nothing is tested, and it says nothing of others.
		n.setSource("")
		if got, err := g.Egress(t.Context(), peers); got != stun.Unknown || !errors.Is(err, ErrNoRoute) || tests.Load() != 2 {
			t.Errorf("without a route: %v, %v", got, err)
		}
	})
}

// TestEgressWithoutObserver: nobody has answered, or the caller does not wait.
func TestEgressWithoutObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{})
		if got, err := g.Egress(t.Context(), nil); got != stun.Unknown || err == nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		fact := stun.No
		g := newEgressGatherer(t, new(fakeNetwork), &fact, new(atomic.Int32))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if got, err := g.Egress(ctx, nil); got != stun.Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
