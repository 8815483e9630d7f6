package gather

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestGatherOnDemand: without warm ports each Gather asks, and Release lets the observers go.
func TestGatherOnDemand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		server.delay = 30 * time.Millisecond
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{})
		g.SetWarm(true) // there is no port to be kept warm
		synctest.Wait()
		if asked, _ := server.state(); asked != 0 {
			t.Error("asked before anybody gathers")
		}
		first, took := mustGather(t, g)
		if took != server.delay {
			t.Errorf("it took %v", took)
		}
		second, took := mustGather(t, g)
		if took != 0 {
			t.Errorf("the second one took %v", took)
		}
		if !slices.Equal(first.Candidates, second.Candidates) || first.Candidates[0] != (punch.Candidate{Kind: punch.Reflexive, Addr: server.sees}) {
			t.Errorf("got %v and %v", first.Candidates, second.Candidates)
		}
		first.Release()
		first.Release()
		synctest.Wait()
		if _, active := server.state(); active != 1 {
			t.Error("the connection is not held for the second description")
		}
		second.Release()
		synctest.Wait()
		if asked, active := server.state(); asked != 1 || active != 0 {
			t.Errorf("%d connections, and asked %d times", active, asked)
		}
	})
}

// TestWarm: warm ports answer at once, and the second port has one observer.
func TestWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		servers := []*fakeObserver{newFake("46.0.1.1:3478", "46.0.0.1:4000"), newFake("46.0.1.2:3478", "46.0.0.1:4000"), newFake("46.0.1.3:3478", "46.0.0.1:4000")}
		g := newFakeGatherer(t, new(fakeNetwork), observers(servers...), Config{Ports: 2})
		g.SetWarm(true)
		synctest.Wait()
		connections := 0
		for _, s := range servers {
			asked, active := s.state()
			if asked != active {
				t.Error("an observer was asked twice")
			}
			connections += active
		}
		if connections != 4 {
			t.Errorf("%d connections are held, want 3 of the first port and 1 of the second", connections)
		}
		begin := time.Now()
		known, release, err := g.acquire(t.Context(), begin.Add(gatherTimeout))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 0 || len(known.ports) != 2 || known.behaviour.Mapping != stun.EIM {
			t.Errorf("%d ports, %v, after %v", len(known.ports), known.behaviour, took)
		}
		g.SetWarm(false)
		synctest.Wait()
		for _, s := range servers {
			if _, active := s.state(); active == 0 {
				t.Error("a connection was closed that a description needs")
			}
		}
		release()
		synctest.Wait()
		for _, s := range servers {
			if _, active := s.state(); active != 0 {
				t.Error("a connection is held that nobody needs")
			}
		}
	})
}

// TestSecondPortIsLate: an attempt does without a second port of which nothing is known soon.
func TestSecondPortIsLate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		late  time.Duration // the second port's answer after the first one's
		ports int
		took  time.Duration
	}{
		"soon":      {secondPortWait / 2, 2, secondPortWait / 2},
		"not known": {2 * secondPortWait, 1, secondPortWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
				late := newFake("46.0.1.2:3478", "46.0.0.1:4001")
				late.delay = tc.late
				g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Ports: 2})
				if _, err := g.Port(); err != nil {
					t.Fatal(err)
				}
				g.enqueue(func() { g.ports[1].servers = observers(late) })
				d, took := mustGather(t, g)
				defer d.Release()
				if len(d.Ports) != tc.ports || took != tc.took {
					t.Errorf("%d ports after %v, want %d after %v", len(d.Ports), took, tc.ports, tc.took)
				}
			})
		})
	}
}

// TestQuorum: the first answer waits for the others, but not for long.
func TestQuorum(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		delays  []time.Duration
		took    time.Duration
		mapping stun.Mapping
	}{
		"alone":         {[]time.Duration{10 * time.Millisecond}, 10 * time.Millisecond, stun.MappingUnknown},
		"two":           {[]time.Duration{10 * time.Millisecond, 50 * time.Millisecond}, 50 * time.Millisecond, stun.EIM},
		"one is late":   {[]time.Duration{10 * time.Millisecond, 200 * time.Millisecond}, 10*time.Millisecond + quorumWait, stun.MappingUnknown},
		"one is silent": {[]time.Duration{10 * time.Millisecond, 20 * time.Millisecond, time.Hour}, 10*time.Millisecond + quorumWait, stun.EIM},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var servers []*fakeObserver
				for i, d := range tc.delays {
					s := newFake("46.0.1."+string(rune('1'+i))+":3478", "46.0.0.1:4000")
					s.delay = d
					servers = append(servers, s)
				}
				g := newFakeGatherer(t, new(fakeNetwork), observers(servers...), Config{})
				d, took := mustGather(t, g)
				defer d.Release()
				if took != tc.took || d.Behaviour.Mapping != tc.mapping {
					t.Errorf("%v after %v, want %v after %v", d.Behaviour, took, tc.mapping, tc.took)
				}
			})
		})
	}
}

// TestIPv4IsWaitedFor: an answer in IPv6 waits for one in IPv4 while that may come.
func TestIPv4IsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		six, four := newFake("[2a00::1]:3478", "[2a00::9]:4000"), newFake("46.0.1.1:3478", "46.0.0.1:4000")
		four.delay = time.Second
		g := newFakeGatherer(t, new(fakeNetwork), observers(six, four), Config{})
		d, took := mustGather(t, g)
		defer d.Release()
		if took != four.delay || len(d.Candidates) < 2 {
			t.Errorf("%v after %v", d.Candidates, took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		six, four := newFake("[2a00::1]:3478", "[2a00::9]:4000"), silent("46.0.1.1:3478")
		g := newFakeGatherer(t, new(fakeNetwork), observers(six, four), Config{})
		d, took := mustGather(t, g)
		defer d.Release()
		if took != askTimeout || len(d.Candidates) != 1 {
			t.Errorf("%v after %v", d.Candidates, took)
		}
	})
}

// TestHeadStart: STUN servers are asked alone at first, and others when these are late or have
// failed.
func TestHeadStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		servers []*fakeObserver
		asked   int           // the other one
		took    time.Duration // until there is a description
	}{
		"server answers":     {[]*fakeObserver{newFake("46.0.1.1:3478", "46.0.0.1:4000")}, 0, 0},
		"one of two":         {[]*fakeObserver{newFake("46.0.1.1:3478", "46.0.0.1:4000"), silent("46.0.1.2:3478")}, 0, quorumWait},
		"server is silent":   {[]*fakeObserver{silent("46.0.1.1:3478")}, 1, headStart + quorumWait},
		"all servers fail":   {[]*fakeObserver{failing("46.0.1.1:3478"), failing("46.0.1.2:3478")}, 1, 0},
		"one of two fails":   {[]*fakeObserver{failing("46.0.1.1:3478"), silent("46.0.1.2:3478")}, 1, headStart + quorumWait},
		"there is no server": {nil, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other := newFake("46.0.2.1:4001", "46.0.0.1:4000")
				g := newFakeGatherer(t, new(fakeNetwork), observers(tc.servers...), Config{Observers: func(uint16) []Observer { return observers(other) }})
				d, took := mustGather(t, g)
				defer d.Release()
				if asked, _ := other.state(); asked != tc.asked || took != tc.took {
					t.Errorf("the other observer was asked %d times, and it took %v; want %d and %v", asked, took, tc.asked, tc.took)
				}
			})
		})
	}
}

// TestOthersHaveTheRest: observers that are asked after the servers have the rest of the time.
func TestOthersHaveTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, other := silent("46.0.1.1:3478"), silent("46.0.2.1:4001")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Observers: func(uint16) []Observer { return observers(other) }})
		begin := time.Now()
		_, err := g.Gather(t.Context(), Options{})
		if took := time.Since(begin); took != askTimeout || !errors.Is(err, ErrNoAddress) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

// TestFailure: the error has what each observer says, in an order that does not change.
func TestFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var servers []*fakeObserver
		var errs []error
		for _, s := range []string{"46.0.1.2:3478", "46.0.1.1:3478", "46.0.1.3:3478"} {
			o := failing(s)
			o.err = &stun.Error{Op: "dial", Server: s, Err: errFake}
			servers, errs = append(servers, o), append(errs, o.err)
		}
		g := newFakeGatherer(t, new(fakeNetwork), observers(servers...), Config{})
		for range 5 {
			_, err := g.Gather(t.Context(), Options{})
			want := "no observer reported an address: stun: dial 46.0.1.1:3478: connection refused\n" +
				"stun: dial 46.0.1.2:3478: connection refused\nstun: dial 46.0.1.3:3478: connection refused"
			if !errors.Is(err, ErrNoAddress) || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			for _, e := range errs {
				if !errors.Is(err, e) {
					t.Errorf("%v is not in the chain", e)
				}
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{})
		if _, err := g.Gather(t.Context(), Options{}); !errors.Is(err, ErrNoAddress) {
			t.Errorf("got %v without an observer, want %v", err, ErrNoAddress)
		}
	})
}

// TestShort: a host without sockets does not blame the observers.
func TestShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := failing("46.0.1.1:3478")
		server.err = tcpport.ErrShort
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{})
		if _, err := g.Gather(t.Context(), Options{}); !errors.Is(err, tcpport.ErrShort) || errors.Is(err, ErrNoAddress) {
			t.Errorf("got %v, want %v", err, tcpport.ErrShort)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Ports: 1})
		var mu sync.Mutex
		err := tcpport.ErrShort
		g.openPort = func(func(*net.TCPConn)) (*tcpport.Port, error) {
			mu.Lock()
			defer mu.Unlock()
			return new(tcpport.Port), err
		}
		if _, got := g.Port(); got != err {
			t.Errorf("Port: got %v, want %v", got, err)
		}
		if _, got := g.Gather(t.Context(), Options{}); got != err {
			t.Errorf("Gather: got %v, want %v", got, err)
		}
		g.SetWarm(true)
		synctest.Wait()
		mu.Lock()
		err = nil
		mu.Unlock()
		time.Sleep(networkCheck)
		synctest.Wait()
		if asked, _ := server.state(); asked != 1 {
			t.Error("the port was not opened later")
		}
	})
}

// TestRetry: observers that all fail are asked again with a back-off, and by Gather at once.
func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := failing("46.0.1.1:3478")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Ports: 1})
		g.SetWarm(true)
		time.Sleep(4*time.Minute - time.Second)
		var want []time.Duration
		for _, s := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			want = append(want, s*time.Second)
		}
		if got := server.pauses(); !slices.Equal(got, want) {
			t.Errorf("asked after %v, want %v", got, want)
		}
		server.setAnswer("46.0.0.1:4000")
		d, took := mustGather(t, g)
		defer d.Release()
		if took != 0 {
			t.Errorf("Gather took %v", took)
		}
	})
}

// TestOneOfTwoFails: while one observer answers, the others that have failed are left alone.
func TestOneOfTwoFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, bad := newFake("46.0.1.1:3478", "46.0.0.1:4000"), failing("46.0.1.2:3478")
		g := newFakeGatherer(t, new(fakeNetwork), observers(good, bad), Config{Ports: 1})
		g.SetWarm(true)
		time.Sleep(time.Hour)
		if asked, _ := bad.state(); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestShortLived: observers that answer and hang up are asked again with a back-off, and at once if
// they had held the connection for a while.
func TestShortLived(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		hold   time.Duration
		pauses []time.Duration
	}{
		"short": {3 * time.Second, []time.Duration{4 * time.Second, 5 * time.Second, 7 * time.Second, 11 * time.Second}},
		"long":  {time.Minute, []time.Duration{time.Minute, time.Minute, time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
				server.hold, server.err = tc.hold, errFake
				g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Ports: 1})
				g.SetWarm(true)
				for _, p := range tc.pauses {
					time.Sleep(p)
				}
				synctest.Wait()
				if got := server.pauses(); !slices.Equal(got, tc.pauses) {
					t.Errorf("asked after %v, want %v", got, tc.pauses)
				}
				for range 3 { // while it holds the connection, and after it has hung up
					d, took := mustGather(t, g)
					d.Release()
					if took != 0 {
						t.Errorf("Gather took %v", took)
					}
					time.Sleep(tc.hold)
					synctest.Wait()
				}
			})
		})
	}
}

// TestObserversChanged: new observers are asked, and ones that have left are let go, but for the
// last one that holds its connection.
func TestObserversChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newFake("46.0.2.1:4001", "46.0.0.1:4000"), newFake("46.0.2.2:4001", "46.0.0.1:4000")
		var mu sync.Mutex
		var now []Observer
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{Ports: 1, Observers: func(uint16) []Observer {
			mu.Lock()
			defer mu.Unlock()
			return now
		}})
		g.SetWarm(true)
		for i, tc := range []struct {
			observers []*fakeObserver
			a, b      int // connections
		}{
			{nil, 0, 0},
			{[]*fakeObserver{a}, 1, 0},
			{nil, 1, 0},
			{[]*fakeObserver{b}, 0, 1},
			{[]*fakeObserver{a, b}, 1, 1},
		} {
			mu.Lock()
			now = observers(tc.observers...)
			mu.Unlock()
			g.ObserversChanged()
			synctest.Wait()
			_, inA := a.state()
			_, inB := b.state()
			if inA != tc.a || inB != tc.b {
				t.Errorf("step %d: connections %d and %d, want %d and %d", i, inA, inB, tc.a, tc.b)
			}
		}
	})
}

// TestNotAskedWhileClosing: an observer is not asked again before its old connection is closed.
func TestNotAskedWhileClosing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		server.closing = time.Second
		other := newFake("46.0.2.1:4001", "46.0.0.1:4000")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Observers: func(uint16) []Observer { return observers(other) }})
		for i := range 3 {
			d, took := mustGather(t, g)
			if want := min(time.Duration(i), 1) * server.closing; took != want {
				t.Errorf("Gather took %v, want %v", took, want)
			}
			d.Release()
			synctest.Wait()
		}
		if server.most != 1 {
			t.Errorf("%d connections at a time", server.most)
		}
		if asked, _ := other.state(); asked != 0 {
			t.Error("another observer was asked, although the server is good")
		}
	})
}

// TestDoesNotBlock: the Gatherer's callback may wait for who tells the Gatherer something.
func TestDoesNotBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		blocked := make(chan struct{})
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{Ports: 1, Observers: func(uint16) []Observer {
			<-blocked
			return nil
		}})
		g.SetWarm(true)
		synctest.Wait()
		g.ObserversChanged()
		g.SetWarm(false)
		g.SetWarm(true)
		close(blocked)
	})
}

// TestGatherEnds: Gather ends with its context, and with the Gatherer.
func TestGatherEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := silent("46.0.1.1:3478")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Gather(ctx, Options{}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoAddress) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		synctest.Wait()
		if _, active := server.state(); active != 0 {
			t.Error("the observer is asked for nobody")
		}
		time.AfterFunc(time.Second, func() { g.Close() })
		if _, err := g.Gather(t.Context(), Options{}); err != ErrClosed {
			t.Errorf("got %v, want %v", err, ErrClosed)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if _, err := g.Gather(t.Context(), Options{}); err != ErrClosed {
			t.Errorf("after Close: got %v, want %v", err, ErrClosed)
		}
		if _, err := g.Port(); err != ErrClosed {
			t.Errorf("Port after Close: got %v, want %v", err, ErrClosed)
		}
		g.SetWarm(true)
		g.ObserversChanged()
	})
}

// TestFilteredGather: a filter that leaves nothing is the reason.
func TestFilteredGather(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{})
		none := func([]netip.AddrPort) []netip.AddrPort { return nil }
		if _, err := g.Gather(t.Context(), Options{Filter: none}); err != ErrFiltered {
			t.Errorf("got %v, want %v", err, ErrFiltered)
		}
		synctest.Wait()
		if _, active := server.state(); active != 0 {
			t.Error("a connection is held for nobody")
		}
	})
}

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
		time.Sleep(2 * time.Second)
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

type observerFunc func(context.Context, func(remote, reflexive netip.AddrPort)) error

func (f *observerFunc) String() string { return "func" }
func (f *observerFunc) IPv4() bool     { return true }
func (f *observerFunc) Observe(ctx context.Context, _ stun.Dialer, report func(remote, reflexive netip.AddrPort)) error {
	return (*f)(ctx, report)
}

// TestAnswersAndHangsUp: an answer is of use even if the observer has hung up by the time that the
// Gatherer gets to it.
func TestAnswersAndHangsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangUp, busy := make(chan struct{}), make(chan struct{})
		o := observerFunc(func(_ context.Context, report func(remote, reflexive netip.AddrPort)) error {
			<-hangUp
			report(netip.MustParseAddrPort("46.0.2.1:4001"), netip.MustParseAddrPort("46.0.0.1:4000"))
			return errFake
		})
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{Observers: func(uint16) []Observer { return []Observer{&o} }})
		go func() {
			synctest.Wait()
			g.enqueue(func() { <-busy })
			close(hangUp)
			synctest.Wait()
			close(busy)
		}()
		d, _ := mustGather(t, g)
		d.Release()
	})
}
