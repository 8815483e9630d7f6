package gather

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestKeepAliveShortened: keep-alives are more frequent after the NAT has forgotten a mapping, and
// not for anything else that ends a connection.
func TestKeepAliveShortened(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lasts  time.Duration // the connections to the observer
		then   string        // what it reports after the first
		second string        // what another observer reports, whose connection stays
		want   time.Duration
	}{
		"forgotten":              {20 * time.Second, "46.0.0.1:4001", "", 7 * time.Second},
		"the same port":          {20 * time.Second, "46.0.0.1:4000", "", keepAlive},
		"another address":        {20 * time.Second, "46.0.0.2:4001", "", keepAlive},
		"before a keep-alive":    {keepAlive - 1, "46.0.0.1:4001", "", keepAlive},
		"much later":             {time.Minute, "46.0.0.1:4001", "", keepAlive},
		"a port per destination": {20 * time.Second, "46.0.0.1:4001", "46.0.0.1:5000", keepAlive},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newFake("46.0.1.1:3478", "46.0.0.1:4000")
				a.hold, a.err = tc.lasts, errFake
				servers := observers(a)
				if tc.second != "" {
					servers = observers(a, newFake("46.0.1.2:3478", tc.second))
				}
				g := newFakeGatherer(t, new(fakeNetwork), servers, Config{Ports: 1})
				g.SetWarm(true)
				synctest.Wait()
				a.setAnswer(tc.then)
				time.Sleep(tc.lasts)
				synctest.Wait()
				if asked, _ := a.state(); asked != 2 {
					t.Fatalf("asked %d times", asked)
				}
				if got := g.keepAliveNow(); got != tc.want {
					t.Errorf("keep-alives after %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// TestKeepAliveBound: keep-alives do not become ever more frequent, and at another place they are
// as before.
func TestKeepAliveBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := new(fakeNetwork)
		n.setSource("10.0.0.1")
		a := newFake("46.0.1.1:3478", "46.0.0.1:4000")
		a.hold, a.err = 20*time.Second, errFake
		g := newFakeGatherer(t, n, observers(a), Config{Ports: 1})
		g.SetWarm(true)
		synctest.Wait()
		for i, want := range []time.Duration{7 * time.Second, minKeepAlive, minKeepAlive, minKeepAlive} {
			a.mu.Lock()
			a.sees = netip.AddrPortFrom(a.sees.Addr(), a.sees.Port()+1)
			hold := a.hold
			a.hold = 3 * want / 2 // of the next one
			a.mu.Unlock()
			time.Sleep(hold)
			synctest.Wait()
			asked, active := a.state()
			if i >= 2 { // it cannot be held
				if asked != i+1 || active != 0 {
					t.Errorf("asked %d times, %d connections; want %d, and none", asked, active, i+1)
				}
				d, _ := mustGather(t, g) // asks first
				d.Release()
				asked, active = a.state()
			}
			if asked != i+2 || active != 1 {
				t.Errorf("asked %d times, %d connections; want %d and one", asked, active, i+2)
			}
			if got := g.keepAliveNow(); got != want {
				t.Errorf("after %d: %v, want %v", i+1, got, want)
			}
		}
		n.setSource("10.0.0.9")
		time.Sleep(networkCheck)
		synctest.Wait()
		if got := g.keepAliveNow(); got != keepAlive {
			t.Errorf("elsewhere: %v, want %v", got, keepAlive)
		}
	})
}

// keepAliveNow returns the keep-alive of new connections.
func (g *Gatherer) keepAliveNow() (d time.Duration) {
	done := make(chan struct{})
	g.enqueue(func() {
		d = g.epoch.keepAlive
		close(done)
	})
	<-done
	return d
}

// TestSlept: after the machine has slept, nothing that was known before is named, and the NAT's
// behaviour is searched for again.
func TestSlept(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sleeps time.Duration
		moved  bool
	}{
		"for a moment": {keepAlive, false},
		"for minutes":  {10 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNetwork{report: &stun.Report{Behaviour: worst, Complete: true}}
				server := newFake("46.0.1.1:3478", "46.0.0.1:4000")
				server.delay = 100 * time.Millisecond
				g := newFakeGatherer(t, n, observers(server), Config{Ports: 1})
				g.SetWarm(true)
				time.Sleep(time.Second)
				n.sleep(tc.sleeps)
				server.setAnswer("46.0.0.1:4999")
				n.setReport(&stun.Report{Behaviour: stun.Behaviour{Filtering: stun.EIF}, Complete: true})
				d, took := mustGather(t, g)
				defer d.Release()
				want, behaviour, asked := "46.0.0.1:4000", worst, 1
				if tc.moved {
					want, behaviour, asked = "46.0.0.1:4999", stun.Behaviour{Filtering: stun.EIF}, 2
				}
				if d.Candidates[0].Addr.String() != want || d.Behaviour != behaviour || took != time.Duration(asked-1)*server.delay {
					t.Errorf("%v, %s after %v; want %s, %s", d.Candidates, d.Behaviour, took, want, behaviour)
				}
				if got, active := server.state(); got != asked || active != 1 || len(n.searched()) != asked {
					t.Errorf("asked %d times, %d connections, %d searches", got, active, len(n.searched()))
				}
			})
		})
	}
}

// TestIdle: a host whose ports are not in use has not slept.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNetwork{report: &stun.Report{Behaviour: worst, Complete: true}}
		g := newFakeGatherer(t, n, observers(newFake("46.0.1.1:3478", "46.0.0.1:4000")), Config{})
		for range 3 {
			d, _ := mustGather(t, g)
			d.Release()
			time.Sleep(5 * time.Minute)
		}
		if got := len(n.searched()); got != 1 {
			t.Errorf("%d searches, want 1", got)
		}
	})
}
