package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

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
		want := "no observer reported an address: 46.0.1.1:3478 has not answered: context deadline exceeded\n" +
			"46.0.2.1:4001 has not answered: context deadline exceeded"
		if took := time.Since(begin); took != askTimeout || !errors.Is(err, ErrNoAddress) || !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("after %v got %v\nwant %s", took, err, want)
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

// TestSecondPortsServer: the second port, which asks one server, does not depend on that one.
func TestSecondPortsServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dead, alive := failing("46.0.1.1:3478"), newFake("46.0.1.2:3478", "46.0.0.1:4000")
		g := newFakeGatherer(t, new(fakeNetwork), observers(dead, alive), Config{Ports: 2})
		if _, err := g.Port(); err != nil {
			t.Fatal(err)
		}
		g.enqueue(func() { g.ports[1].servers = observers(dead) }) // by chance
		g.SetWarm(true)
		time.Sleep(2 * retryMin)
		synctest.Wait()
		if _, active := alive.state(); active != 2 {
			t.Errorf("%d ports have an address, want 2", active)
		}
		time.Sleep(10 * retryMax)
		if asked, _ := alive.state(); asked != 2 {
			t.Errorf("the server that has answered was asked %d times", asked)
		}
	})
}

// TestObserverHangs: an observer that does not end when it should delays no other observer.
func TestObserverHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		o := observerFunc(func(context.Context, func(remote, reflexive netip.AddrPort)) error {
			<-end
			return nil
		})
		server := failing("46.0.1.1:3478")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Ports: 1, Observers: func(uint16) []Observer { return []Observer{&o} }})
		g.SetWarm(true)
		time.Sleep(time.Minute)
		if asked, _ := server.state(); asked < 4 {
			t.Errorf("the server was asked %d times in a minute", asked)
		}
		server.setAnswer("46.0.0.1:4000")
		d, took := mustGather(t, g)
		d.Release()
		if took > quorumWait {
			t.Errorf("Gather took %v", took)
		}
		close(end)
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
