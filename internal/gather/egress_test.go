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

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// newEgressGatherer returns a warm one whose connections out fare as fact says towards two
// observers in IPv4, and counts how often that is tested.
func newEgressGatherer(t *testing.T, n *fakeNetwork, fact *stun.Fact, tests *atomic.Int32) *Gatherer {
	t.Helper()
	six, four := newFake("[2a00::1]:3478", "[2a00::9]:4000"), newFake("46.0.1.1:443", "46.0.0.1:4000")
	g := newFakeGatherer(t, n, observers(six, four, newFake("46.0.1.2:443", "46.0.0.1:4000")), Config{Ports: 1})
	var mu sync.Mutex
	other := netip.AddrPort{} // that the last was not tested by
	g.testEgress = func(ctx context.Context, open netip.AddrPort) (stun.Fact, error) {
		mu.Lock()
		if !open.Addr().Is4() || open == other {
			t.Errorf("tested by %v, and then by %v", other, open)
		}
		if other = open; tests.Add(1)%2 == 0 || *fact == stun.Yes {
			other = netip.AddrPort{} // another time
		}
		mu.Unlock()
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
	for fact, holds := range map[stun.Fact]time.Duration{stun.No: egressNoStale, stun.Yes: searchStale, stun.Unknown: searchRetry} {
		t.Run(fact.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tests atomic.Int32
				once := int32(2)
				if fact == stun.Yes {
					once = 1
				}
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
				if tests.Load() != once || d.Behaviour.Egress != fact {
					t.Errorf("tested %d times, known as %v", tests.Load(), d.Behaviour.Egress)
				}
				time.Sleep(time.Second)
				d, _ = mustGather(t, g)
				d.Release()
				if d.Behaviour.Egress != stun.Unknown {
					t.Errorf("known as %v after %v", d.Behaviour.Egress, holds)
				}
				if ask(); tests.Load() != 2*once {
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
		local := netip.MustParseAddr("10.0.0.1")
		for name, gotOut := range map[string]func(){
			"from elsewhere": func() { g.GotOut(d, netip.MustParseAddr("10.0.0.2"), peer[0]) },
			"before a move":  func() { g.GotOut(&Description{epoch: new(epoch)}, local, peer[0]) },
		} {
			gotOut()
			if got, _ := g.Egress(t.Context(), peer); got != stun.No {
				t.Errorf("%s: got %v", name, got)
			}
		}
		g.GotOut(d, local, peer[0])
		synctest.Wait()
		if got, err := g.Egress(t.Context(), peer); got != stun.Yes || err != nil || tests.Load() != 2 {
			t.Errorf("got %v, %v, tested %d times", got, err, tests.Load())
		}
		// What is being found out is not overtaken.
		time.Sleep(searchStale)
		go g.Egress(t.Context(), peer)
		synctest.Wait()
		g.GotOut(d, local, peer[0])
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, _ := g.Egress(t.Context(), peer); got != stun.No || tests.Load() != 4 {
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
		if got, _ := g.Egress(t.Context(), peers); got != stun.Yes || tests.Load() != 3 {
			t.Errorf("got %v, tested %d times", got, tests.Load())
		}
		// Without a route to the peer nothing is tested, and it says nothing of others.
		n.setSource("")
		if got, err := g.Egress(t.Context(), peers); got != stun.Unknown || !errors.Is(err, ErrNoRoute) || tests.Load() != 3 {
			t.Errorf("without a route: %v, %v", got, err)
		}
	})
}

// TestEgressMoved: without STUN servers, and while no port is in use, the epoch does not end with a
// move. What was found elsewhere is not believed all the same, nor is what is being found.
func TestEgressMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{source: netip.MustParseAddr("10.0.0.1")}
		g := newFakeGatherer(t, n, nil, Config{})
		g.testEgress = func(context.Context, netip.AddrPort) (stun.Fact, error) {
			time.Sleep(time.Second)
			return stun.No, errFake
		}
		g.SetConns([]stun.ObservedConn{
			ownConn("46.0.1.1:4001", "46.0.0.1:4000"), ownConn("46.0.1.2:4001", "46.0.0.1:4000"),
		}, nil)
		known := func() (fact stun.Fact) {
			g.call(func() { fact = g.egressAt(time.Now()) })
			return fact
		}
		find := func() (stun.Fact, error) { return g.Egress(t.Context(), nil) }
		if got, err := find(); got != stun.No || known() != stun.No {
			t.Fatalf("got %v, %v", got, err)
		}
		for _, source := range []string{"10.0.0.2", ""} {
			if n.setSource(source); known() != stun.Unknown {
				t.Errorf("believed by a host at %q", source)
			}
		}
		n.setSource("10.0.0.2")
		time.AfterFunc(time.Second/2, func() { n.setSource("10.0.0.3") })
		if got, err := find(); got != stun.Unknown || !errors.Is(err, errMoved) || known() != stun.Unknown {
			t.Errorf("of a host that moved meanwhile: %v, %v", got, err)
		}
		if got, err := find(); got != stun.No {
			t.Errorf("at the third place: %v, %v", got, err)
		}
	})
}

// ownConn is a connection of the application's.
func ownConn(server, mapped string) stun.ObservedConn {
	return stun.ObservedConn{Local: netip.MustParseAddrPort("10.0.0.1:4000"), Server: netip.MustParseAddrPort(server), Mapped: netip.MustParseAddrPort(mapped)}
}

// TestEgressVotes: a No takes two observers at different addresses.
func TestEgressVotes(t *testing.T) {
	t.Parallel()
	const no, yes, unknown = stun.No, stun.Yes, stun.Unknown
	for name, tc := range map[string]struct {
		said        []stun.Fact
		want        stun.Fact
		unconfirmed bool
		asked       int
	}{
		"one":            {[]stun.Fact{no}, unknown, true, 1},
		"two":            {[]stun.Fact{no, no, yes}, no, false, 2},
		"two and a near": {[]stun.Fact{unknown, no, no}, no, false, 3},
		"one is near":    {[]stun.Fact{no, unknown}, unknown, true, 2},
		"contradiction":  {[]stun.Fact{no, yes}, unknown, true, 2},
		"out":            {[]stun.Fact{yes, no, no}, yes, false, 1},
		"all near":       {[]stun.Fact{unknown, unknown, unknown, unknown, no}, unknown, false, 4},
	} {
		t.Run(name, func(t *testing.T) {
			g, asked := New(Config{}), 0
			g.testEgress = func(context.Context, netip.AddrPort) (stun.Fact, error) {
				asked++
				return tc.said[asked-1], errFake
			}
			fact, err := g.askEgress(t.Context(), addrPorts("46.0.1.1:443", "46.0.1.2:443", "46.0.1.3:443", "46.0.1.4:443", "46.0.1.5:443")[:len(tc.said)])
			if fact != tc.want || errors.Is(err, ErrUnconfirmed) != tc.unconfirmed || !errors.Is(err, errFake) || asked != tc.asked {
				t.Errorf("got %v, %v of %d", fact, err, asked)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGatherer(t, &fakeNetwork{source: netip.MustParseAddr("10.0.0.1")}, nil, Config{})
		g.SetConns([]stun.ObservedConn{
			ownConn("46.0.1.1:4001", "46.0.0.1:4000"), ownConn("46.0.1.1:4002", "46.0.0.1:4000"),
		}, nil)
		g.testEgress = func(context.Context, netip.AddrPort) (stun.Fact, error) { return stun.No, errFake }
		if got, err := g.Egress(t.Context(), nil); got != stun.Unknown || !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("two ports of one address: %v, %v", got, err)
		}
	})
}

// TestShortOfSockets: where there is no file descriptor to find out how the host sends to an
// address, it is neither without a route nor elsewhere.
func TestShortOfSockets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{source: netip.MustParseAddr("10.0.0.1")}
		fact := stun.Yes
		g := newEgressGatherer(t, n, &fact, new(atomic.Int32))
		epoch := g.epoch
		peer := addrPorts("46.0.9.9:4001")
		n.setShort(true)
		time.Sleep(2 * networkCheck)
		if got, err := g.Egress(t.Context(), peer); got != stun.Unknown || !errors.Is(err, tcpport.ErrShort) {
			t.Errorf("got %v, %v", got, err)
		}
		n.setShort(false)
		if got, err := g.Egress(t.Context(), peer); got != stun.Yes {
			t.Errorf("when there are sockets again: %v, %v", got, err)
		}
		n.setShort(true)
		if got, err := g.Egress(t.Context(), peer); got != stun.Yes {
			t.Errorf("when it is known: %v, %v", got, err)
		}
		n.setShort(false)
		time.Sleep(2 * networkCheck)
		synctest.Wait()
		if g.epoch != epoch {
			t.Error("the host seems to have moved")
		}
	})
}

// TestEgressWithoutObserver: no observer has answered, or the caller does not wait.
func TestEgressWithoutObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{})
		if got, err := g.Egress(t.Context(), nil); got != stun.Unknown || err == nil {
			t.Errorf("got %v, %v", got, err)
		}
		if g.epoch.egress != nil {
			t.Error("who asks next does not look for an observer")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		fact := stun.No
		g := newEgressGatherer(t, &fakeNetwork{source: netip.MustParseAddr("10.0.0.1")}, &fact, new(atomic.Int32))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if got, err := g.Egress(ctx, nil); got != stun.Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
