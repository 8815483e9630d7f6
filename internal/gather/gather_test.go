package gather

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

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

// TestFreshPorts: a further round has ports of its own, as many as the first one, where NATs keep
// their numbers. Release closes them.
func TestFreshPorts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		preserving bool
		behaviour  stun.Behaviour
		want       bool
	}{
		"as the ports show":  {true, stun.Behaviour{}, true},
		"as discovery shows": {false, stun.Behaviour{Mapping: stun.EIM, Ports: stun.Preserved}, true},
		"other numbers":      {false, stun.Behaviour{}, false},
		"in sequence":        {true, stun.Behaviour{Mapping: stun.EIM, Ports: stun.Sequential}, false},
		"lets anybody in":    {true, stun.Behaviour{Mapping: stun.APDM, Filtering: stun.EIF, Ports: stun.Preserved}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			external := netip.MustParseAddr("46.0.0.1")
			known := snapshot{behaviour: tc.behaviour}
			for i, p := range openPorts(t) {
				seen := uint16(4000 + i)
				if tc.preserving {
					seen = p.Number()
				}
				known.ports = append(known.ports, observedPort{p, []netip.AddrPort{netip.AddrPortFrom(external, seen)}})
			}
			if got := known.preserved(); got != tc.want {
				t.Fatalf("preserved: %v", got)
			}
			g := New(Config{})
			t.Cleanup(func() { g.Close() })
			released := 0
			fresh, release := g.onFreshPorts(known, func() { released++ })
			if len(fresh.ports) != len(known.ports) {
				t.Fatalf("%d ports, want %d", len(fresh.ports), len(known.ports))
			}
			var want []punch.Candidate
			for i, p := range fresh.ports {
				if p.Number() == known.ports[i].Number() {
					t.Errorf("port %d is not fresh", p.Number())
				}
				want = append(want, punch.Candidate{Kind: punch.Reflexive, Addr: netip.AddrPortFrom(external, p.Number()), Port: i})
			}
			if got := candidates(fresh, fresh.ports[0].Number(), false, netip.Addr{}, Options{}); tc.want && !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			release()
			release()
			if released != 1 {
				t.Errorf("released %d times", released)
			}
			for _, p := range fresh.ports {
				if err := p.Close(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("port %d was not closed: %v", p.Number(), err)
				}
			}
		})
	}
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
		g.openPort = func() (*tcpport.Port, error) {
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

// TestDoesNotBlock: the Gatherer's callback may wait for a caller that is passing something to the
// Gatherer.
func TestDoesNotBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		blocked := make(chan struct{})
		g := newFakeGatherer(t, new(fakeNetwork), nil, Config{Ports: 1, Observers: func(uint16) []Observer {
			<-blocked
			return nil
		}})
		go g.Gather(t.Context(), Options{})
		synctest.Wait()
		g.SetConns(nil, nil)
		g.SetWarm(true)
		g.Prepare()
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
		g.SetConns(nil, nil)
		if len(g.queue) > 0 {
			t.Error("events are kept that nobody takes")
		}
	})
}

// TestUnused: a Gatherer that was not used has no goroutine. A libp2p host whose making fails, as
// where a port is taken, drops its transports without closing them.
func TestUnused(t *testing.T) {
	before := goleak.IgnoreCurrent()
	g := New(Config{})
	goleak.VerifyNone(t, before)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// TestClosedWhileOpening: calls that Close ends use nothing that the Gatherer's goroutine still
// changes, as the race detector shows.
func TestClosedWhileOpening(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		opens error
		call  func(*testing.T, *Gatherer)
	}{
		"Port": {ErrClosed, func(t *testing.T, g *Gatherer) {
			if n, err := g.Port(); n != 0 || err != ErrClosed {
				t.Errorf("got %d, %v; want 0, %v", n, err, ErrClosed)
			}
		}},
		"Asks": {nil, func(_ *testing.T, g *Gatherer) { g.Asks() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opened int
				g := newFakeGatherer(t, new(fakeNetwork), nil, Config{Ports: 1})
				g.openPort = func() (*tcpport.Port, error) {
					opened++
					<-g.ctx.Done()
					return new(tcpport.Port), tc.opens
				}
				time.AfterFunc(time.Second, func() { g.Close() })
				tc.call(t, g)
				g.Close()
				if opened == 0 {
					t.Error("Close came before the call")
				}
			})
		})
	}
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
