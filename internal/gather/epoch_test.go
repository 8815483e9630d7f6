package gather

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

var worst = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.APDF, Ports: stun.Random}

func TestIsElsewhere(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		addrs, reflexive []string
		want             bool
	}{
		"nothing known":        {nil, []string{"46.0.0.1:4000"}, false},
		"no answer":            {[]string{"46.0.0.1"}, nil, false},
		"the same":             {[]string{"46.0.0.1"}, []string{"46.0.0.1:4000"}, false},
		"another address":      {[]string{"46.0.0.1"}, []string{"46.0.0.2:4000"}, true},
		"one of two":           {[]string{"46.0.0.1", "46.0.0.2"}, []string{"46.0.0.3:4000", "46.0.0.2:4000"}, false},
		"IPv6 besides":         {[]string{"46.0.0.1"}, []string{"46.0.0.1:4000", "[2a00::1]:4000"}, false},
		"IPv6 alone for once":  {[]string{"46.0.0.1"}, []string{"[2a00::1]:4000"}, false},
		"the same IPv6":        {[]string{"46.0.0.1", "2a00::1"}, []string{"46.0.0.2:4000", "[2a00::1]:4000"}, true},
		"known of IPv6 alone":  {[]string{"2a00::1"}, []string{"46.0.0.2:4000"}, false},
		"another one, in IPv6": {[]string{"2a00::1"}, []string{"[2a00::2]:4000"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var e epoch
			for _, a := range tc.addrs {
				e.addrs = append(e.addrs, netip.MustParseAddr(a))
			}
			if got := e.isElsewhere(addrPorts(tc.reflexive...)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// wantBehaviour gathers, and wants a behaviour after some time.
func wantBehaviour(t *testing.T, g *Gatherer, want stun.Behaviour, after time.Duration) {
	t.Helper()
	d, took := mustGather(t, g)
	d.Release()
	if d.Behaviour != want || took != after {
		t.Errorf("%s after %v, want %s after %v", d.Behaviour, took, want, after)
	}
}

// TestSearchAgain: a server that was restarted is asked again soon, one that is gone now and then,
// and after a complete search none for long.
func TestSearchAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := new(fakeNetwork)
		var mu sync.Mutex
		var heard []error
		g := newFakeGatherer(t, n, observers(newFake("46.0.1.1:3478", "46.0.0.1:4000")), Config{Ports: 1, OnBehaviour: func(_ stun.Behaviour, err error) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, err)
		}})
		g.SetWarm(true)
		synctest.Wait()
		search := func(r *stun.Report, after time.Duration) { // the next one has result r
			t.Helper()
			n.setReport(r)
			count := len(n.searched())
			time.Sleep(after - 1)
			synctest.Wait()
			if len(n.searched()) != count {
				t.Errorf("searched again before %v", after)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if len(n.searched()) != count+1 {
				t.Errorf("not searched again after %v", after)
			}
		}
		for _, s := range []time.Duration{2, 4, 8, 16, 32, 60} {
			search(nil, s*time.Second)
		}
		search(&stun.Report{}, time.Minute)
		search(&stun.Report{}, 2*time.Minute)
		search(nil, 4*time.Minute)
		search(&stun.Report{Complete: true}, searchRetry)
		search(nil, searchStale)
		mu.Lock()
		defer mu.Unlock()
		if i := len(heard); i != len(n.searched()) || heard[0] != errFake || heard[i-4] != errIncomplete || heard[i-2] != nil {
			t.Errorf("heard %v of %d searches", heard, len(n.searched()))
		}
	})
}

// TestCutOffSearch: a search that is cut off takes nothing away that is known.
func TestCutOffSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{report: &stun.Report{Behaviour: worst, Complete: true}}
		g := newFakeGatherer(t, n, observers(newFake("46.0.1.1:3478", "46.0.0.1:4000")), Config{Ports: 1})
		g.SetWarm(true)
		synctest.Wait()
		n.setReport(new(stun.Report))
		time.Sleep(searchStale)
		synctest.Wait()
		wantBehaviour(t, g, worst, 0)
		// After an hour without a complete search the last result counts.
		time.Sleep(2 * searchStale)
		synctest.Wait()
		wantBehaviour(t, g, stun.Behaviour{}, 0)
	})
}

// TestSearchIsWaitedFor: an attempt waits for a search only where the port has shown that it
// matters, and not for long.
func TestSearchIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		second string // what the second observer reports
		takes  time.Duration
		took   time.Duration
		want   stun.Behaviour
	}{
		"EIM":         {"46.0.0.1:4000", time.Second, 0, stun.Behaviour{Mapping: stun.EIM}},
		"APDM":        {"46.0.0.1:4001", time.Second, time.Second, worst},
		"APDM, slow":  {"46.0.0.1:4001", 4 * time.Second, searchWait, stun.Behaviour{Mapping: stun.APDM}},
		"not to tell": {"46.0.0.2:4001", time.Second, 0, stun.Behaviour{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNetwork{takes: tc.takes, report: &stun.Report{Behaviour: worst, Complete: true}}
				g := newFakeGatherer(t, n, observers(newFake("46.0.1.1:3478", "46.0.0.1:4000"), newFake("46.0.1.2:3478", tc.second)), Config{Ports: 1})
				g.SetWarm(true)
				synctest.Wait()
				wantBehaviour(t, g, tc.want, tc.took)
				// What is known is known while it is searched for again.
				time.Sleep(10 * time.Second)
				n.setTakes(time.Minute)
				time.Sleep(searchStale)
				if len(n.searched()) != 2 {
					t.Fatalf("%d searches", len(n.searched()))
				}
				known := worst
				if tc.want.Mapping == stun.EIM {
					known.Mapping = stun.EIM // the port shows it
				}
				wantBehaviour(t, g, known, 0)
			})
		})
	}
}

// TestTotalBound: late answers and a slow search take 4.5 s together.
func TestTotalBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{takes: 8 * time.Second, report: &stun.Report{Behaviour: worst, Complete: true}}
		a, b := newFake("46.0.1.1:3478", "46.0.0.1:4000"), newFake("46.0.1.2:3478", "46.0.0.1:4001")
		a.delay, b.delay = 3*time.Second, 3*time.Second
		g := newFakeGatherer(t, n, observers(a, b), Config{})
		wantBehaviour(t, g, stun.Behaviour{Mapping: stun.APDM}, gatherTimeout)
	})
	synctest.Test(t, func(t *testing.T) { // an observer is asked again while Gather waits
		n := new(fakeNetwork)
		server := silent("46.0.1.1:3478")
		g := newFakeGatherer(t, n, observers(server), Config{})
		time.AfterFunc(2*time.Second, func() { g.enqueue(func() { g.renew("a test") }) })
		begin := time.Now()
		_, err := g.Gather(t.Context(), Options{})
		if took := time.Since(begin); took != gatherTimeout || !errors.Is(err, ErrNoAddress) {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestMoves: a host that sends from another address asks all observers again and forgets what it
// knows of the NAT, once. A host whose observers see it elsewhere does the same.
func TestMoves(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		move  func(n *fakeNetwork, a, b *fakeObserver)
		moved bool
	}{
		"stays":              {func(*fakeNetwork, *fakeObserver, *fakeObserver) {}, false},
		"sends from another": {func(n *fakeNetwork, _, _ *fakeObserver) { n.setSource("10.0.0.9") }, true},
		"has no route":       {func(n *fakeNetwork, _, _ *fakeObserver) { n.setSource("") }, false},
		"has a route again": {func(n *fakeNetwork, _, _ *fakeObserver) {
			n.setSource("")
			time.Sleep(networkCheck + time.Second)
			n.setSource("10.0.0.1")
		}, true},
		"is seen elsewhere":      {func(_ *fakeNetwork, a, b *fakeObserver) { a.setAnswer("46.0.0.9:4000"); b.setAnswer("46.0.0.9:4000") }, true},
		"is seen there, not yet": {func(_ *fakeNetwork, a, _ *fakeObserver) { a.setAnswer("46.0.0.9:4000") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNetwork{takes: time.Second, report: &stun.Report{Behaviour: worst, Addrs: []netip.Addr{netip.MustParseAddr("46.0.0.1")}, Complete: true}}
				n.setSource("10.0.0.1")
				a, b := newFake("46.0.1.1:3478", "46.0.0.1:4000"), newFake("46.0.1.2:3478", "46.0.0.1:4001")
				a.hold, b.hold = time.Minute, time.Minute+time.Second // they have reported by then where they see it
				g := newFakeGatherer(t, n, observers(a, b), Config{Ports: 2})
				g.SetWarm(true)
				time.Sleep(30 * time.Second)
				wantBehaviour(t, g, worst, 0)
				n.setReport(&stun.Report{Behaviour: stun.Behaviour{Filtering: stun.EIF}, Addrs: []netip.Addr{netip.MustParseAddr("46.0.0.9")}, Complete: true})
				tc.move(n, a, b)
				time.Sleep(time.Minute)
				synctest.Wait()
				want, searches := worst, 1
				if tc.moved {
					want, searches = stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF}, 2
					if a.answer() == netip.MustParseAddrPort("46.0.0.9:4000") {
						want.Mapping = stun.EIM
					}
				}
				wantBehaviour(t, g, want, 0)
				if got := len(n.searched()); got != searches {
					t.Errorf("searched %d times, want %d", got, searches)
				}
				if a.most > 2 || b.most > 2 {
					t.Errorf("%d and %d connections to an observer at a time, want one for a port", a.most, b.most)
				}
			})
		})
	}
}

// TestMovesSoon: a move is noticed at the next check, and the old connections are closed.
func TestMovesSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := new(fakeNetwork)
		n.setSource("10.0.0.1")
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		g := newFakeGatherer(t, n, observers(server), Config{Ports: 1})
		g.SetWarm(true)
		time.Sleep(time.Second)
		d, _ := mustGather(t, g)
		defer d.Release()
		n.setSource("10.0.0.9")
		server.setAnswer("46.0.0.9:4000")
		time.Sleep(networkCheck)
		synctest.Wait()
		if asked, active := server.state(); asked != 2 || active != 1 {
			t.Errorf("asked %d times, %d connections", asked, active)
		}
		after, took := mustGather(t, g)
		defer after.Release()
		if want := netip.MustParseAddrPort("46.0.0.9:4000"); took != 0 || after.Candidates[0].Addr != want {
			t.Errorf("%v after %v, want %v", after.Candidates, took, want)
		}
	})
}

// TestSearchOfBefore: what a search finds that began before a move is of no use.
func TestSearchOfBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{takes: 8 * time.Second, report: &stun.Report{Behaviour: worst, Complete: true}}
		n.setSource("10.0.0.1")
		g := newFakeGatherer(t, n, observers(newFake("46.0.1.1:3478", "46.0.0.1:4000")), Config{Ports: 1})
		g.SetWarm(true)
		time.Sleep(time.Second)
		n.setSource("10.0.0.9")
		time.Sleep(n.takes)
		wantBehaviour(t, g, stun.Behaviour{}, 0)
		time.Sleep(n.takes)
		wantBehaviour(t, g, worst, 0)
	})
}

// TestBehaviourSince: what a search finds after an attempt was described is known at the attempt's
// end, unless the host has moved meanwhile.
func TestBehaviourSince(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		moves bool
		want  stun.Behaviour
	}{
		"stays": {false, worst},
		"moves": {true, stun.Behaviour{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNetwork{takes: 2 * time.Second, report: &stun.Report{Behaviour: worst, Complete: true}}
				n.setSource("10.0.0.1")
				g := newFakeGatherer(t, n, observers(newFake("46.0.1.1:3478", "46.0.0.1:4000")), Config{Ports: 1})
				g.SetWarm(true)
				synctest.Wait()
				d, err := g.Gather(t.Context(), Options{})
				if err != nil {
					t.Fatal(err)
				}
				if got := g.BehaviourSince(d); got != d.Behaviour {
					t.Errorf("at once it is %v, want %v", got, d.Behaviour)
				}
				if tc.moves {
					n.setSource("10.0.0.9")
				}
				time.Sleep(time.Minute)
				d.Release()
				if got := g.BehaviourSince(d); got != tc.want {
					t.Errorf("after the search it is %v, want %v", got, tc.want)
				}
				g.Close()
				if got := g.BehaviourSince(d); got != d.Behaviour {
					t.Errorf("when closed it is %v, want %v", got, d.Behaviour)
				}
			})
		})
	}
}

// TestSeveralExternalAddresses: a NAT may show the search another of its addresses than the ports
// have. The host does not take itself for moved all the time.
func TestSeveralExternalAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{takes: time.Second, report: &stun.Report{Behaviour: worst, Addrs: []netip.Addr{netip.MustParseAddr("46.0.0.9")}, Complete: true}}
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		g := newFakeGatherer(t, n, observers(server), Config{Ports: 1})
		g.SetWarm(true)
		time.Sleep(time.Minute)
		if asked, _ := server.state(); asked != 1 || len(n.searched()) != 1 {
			t.Errorf("asked %d times, searched %d times", asked, len(n.searched()))
		}
		wantBehaviour(t, g, worst, 0)
	})
}

// TestAddressPool: a server hangs up once a minute, and the NAT has another address for each
// connection. That is no other network each time.
func TestAddressPool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{takes: time.Second, report: &stun.Report{Behaviour: worst, Addrs: []netip.Addr{netip.MustParseAddr("46.0.0.1")}, Complete: true}}
		n.setSource("10.0.0.1")
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		server.hold, server.err = time.Minute, errFake
		g := newFakeGatherer(t, n, observers(server), Config{Ports: 1})
		g.SetWarm(true)
		for i := range 20 {
			time.Sleep(time.Minute - time.Second)
			server.setAnswer(netip.AddrPortFrom(netip.AddrFrom4([4]byte{46, 0, 0, byte(2 + i)}), 4000).String())
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if searches := len(n.searched()); searches > 2 {
			t.Errorf("searched %d times", searches)
		}
		wantBehaviour(t, g, worst, 0)
		n.setSource("10.0.0.9") // another network, this time
		time.Sleep(networkCheck)
		synctest.Wait()
		if searches := len(n.searched()); searches != 3 {
			t.Errorf("searched %d times after a move", searches)
		}
		server.setAnswer("46.0.0.99:4000") // and another one, with the same address inside
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if searches := len(n.searched()); searches != 4 {
			t.Errorf("searched %d times after another move", searches)
		}
		g.SetWarm(false) // and while it slept
		n.setSource("10.0.0.7")
		server.setAnswer("46.0.0.77:4000")
		time.Sleep(time.Minute)
		g.SetWarm(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if searches := len(n.searched()); searches != 5 {
			t.Errorf("searched %d times after a move in its sleep", searches)
		}
	})
}
