package gather

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A neighbourhood is a Gatherer without STUN servers, and the observers that it may ask.
type neighbourhood struct {
	*Gatherer
	mu     sync.Mutex
	others []*fakeObserver
}

func newNeighbourhood(t *testing.T, ports []*tcpport.Port, others ...*fakeObserver) *neighbourhood {
	n := &neighbourhood{others: others}
	n.Gatherer = newFakeGatherer(t, new(fakeNetwork), nil, Config{Ports: 2, Observers: func(uint16) []Observer {
		n.mu.Lock()
		defer n.mu.Unlock()
		return observers(n.others...)
	}})
	n.openPort = func() (*tcpport.Port, error) {
		p := ports[0]
		ports = ports[1:]
		return p, nil
	}
	n.SetWarm(true)
	synctest.Wait()
	return n
}

// openPorts opens two ports, outside of a bubble.
func openPorts(t *testing.T) (ports []*tcpport.Port) {
	t.Helper()
	for range 2 {
		p, err := tcpport.Open(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		ports = append(ports, p)
	}
	return ports
}

// own returns an address with the number of the first port in place of 0.
func own(ports []*tcpport.Port, addr string) netip.AddrPort {
	a := netip.MustParseAddrPort(addr)
	if a.Port() == 0 {
		a = netip.AddrPortFrom(a.Addr(), ports[0].Number())
	}
	return a
}

func (n *neighbourhood) set(others ...*fakeObserver) {
	n.mu.Lock()
	n.others = others
	n.mu.Unlock()
}

// seen returns an application's connection from a local port, as a server sees it.
func seen(local, server, mapped string) stun.ObservedConn {
	return stun.ObservedConn{Local: netip.MustParseAddrPort(local), Server: netip.MustParseAddrPort(server), Mapped: netip.MustParseAddrPort(mapped)}
}

func wantConns(t *testing.T, when string, want int, os ...*fakeObserver) {
	t.Helper()
	synctest.Wait()
	got := 0
	for _, o := range os {
		_, active := o.state()
		got += active
	}
	if got != want {
		t.Errorf("%s: %d connections to observers, want %d", when, got, want)
	}
}

// TestOthersOneAtATime: observers that are no STUN servers have one connection in all, of the first
// port, from when an attempt is likely until a while after the last one.
func TestOthersOneAtATime(t *testing.T) {
	t.Parallel()
	ports := openPorts(t)
	synctest.Test(t, func(t *testing.T) {
		bad, late, good, more := failing("46.0.2.1:4001"), silent("46.0.2.2:4001"), newFake("46.0.2.3:4001", "46.0.0.1:5000"), newFake("46.0.2.4:4001", "46.0.0.1:5000")
		g := newNeighbourhood(t, ports, bad, late, good, more)
		time.Sleep(time.Hour)
		wantConns(t, "idle", 0, bad, late, good, more)
		if !g.Asks() {
			t.Error("an attempt would ask nobody")
		}
		g.Prepare()
		wantConns(t, "one has failed", 1, bad, late, good, more)
		time.Sleep(headStart)
		wantConns(t, "one is late", 1, good)
		if g.Asks() {
			t.Error("an attempt would ask again")
		}
		d, took := mustGather(t, g.Gatherer)
		if took != 0 || len(d.Ports) != 1 || d.Candidates[0].Addr != good.sees || d.Doubt != nil {
			t.Errorf("after %v %d ports and %v, doubt: %v", took, len(d.Ports), d.Candidates, d.Doubt)
		}
		time.Sleep(time.Hour)
		wantConns(t, "in the attempt", 1, bad, late, good, more)
		d.Release()
		time.Sleep(linger - time.Nanosecond)
		wantConns(t, "soon after it", 1, good)
		time.Sleep(time.Nanosecond)
		wantConns(t, "later", 0, bad, late, good, more)
		if asked, _ := more.state(); asked != 0 {
			t.Error("one more was asked")
		}
	})
}

// TestOtherLeaves: an observer that may not be asked any more has its connection closed, whether or
// not there is another one.
func TestOtherLeaves(t *testing.T) {
	t.Parallel()
	ports := openPorts(t)
	synctest.Test(t, func(t *testing.T) {
		a, b := newFake("46.0.2.1:4001", "46.0.0.1:5000"), newFake("46.0.2.2:4001", "46.0.0.1:5001")
		g := newNeighbourhood(t, ports, a)
		d, _ := mustGather(t, g.Gatherer)
		defer d.Release()
		wantConns(t, "there is one", 1, a)
		g.set()
		g.SetConns(nil, nil)
		wantConns(t, "it has left", 0, a)
		g.set(b)
		g.SetConns(nil, nil)
		wantConns(t, "there is another", 1, b)
	})
}

// TestForgetsWhoLeft: nothing is kept of observers that may not be asked any more.
func TestForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	ports := openPorts(t)
	synctest.Test(t, func(t *testing.T) {
		a := newFake("46.0.2.1:4001", "46.0.0.1:5000")
		a.hold, a.err = 20*time.Second, errFake
		g := newNeighbourhood(t, ports, a)
		d, _ := mustGather(t, g.Gatherer)
		defer d.Release()
		a.mu.Lock()
		a.sees = netip.AddrPort{} // it fails from now on
		a.mu.Unlock()
		time.Sleep(a.hold)
		synctest.Wait()
		broken := func() (n int) {
			g.call(func() { n = len(g.ports[0].broken) })
			return n
		}
		if n := broken(); n != 1 {
			t.Fatalf("%d connections are remembered, want 1", n)
		}
		g.set(newFake("46.0.2.2:4001", "46.0.0.1:5001"))
		g.SetConns(nil, nil)
		if n := broken(); n != 0 {
			t.Errorf("%d connections are remembered, want none", n)
		}
	})
}

// TestServersComeBack: while others answer in their place, STUN servers that have failed are asked
// again.
func TestServersComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, other := failing("46.0.1.1:3478"), newFake("46.0.2.1:4001", "46.0.0.1:4000")
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Ports: 1, Observers: func(uint16) []Observer { return observers(other) }})
		g.SetWarm(true)
		d, _ := mustGather(t, g)
		time.Sleep(10 * time.Minute)
		server.setAnswer("46.0.0.1:4000")
		time.Sleep(retryMax)
		synctest.Wait()
		if _, active := server.state(); active != 1 {
			t.Error("the server is back, and has no connection")
		}
		if asked, active := other.state(); asked != 1 || active != 1 {
			t.Errorf("the other was asked %d times, and has %d connections", asked, active)
		}
		d.Release()
		time.Sleep(linger)
		synctest.Wait()
		if _, active := other.state(); active != 0 {
			t.Error("the other has a connection that nobody needs")
		}
	})
}

// TestOtherIsLetGo: an observer that was asked in place of a server has no connection any more when
// the attempt is over, and no other one is likely, although the server has answered meanwhile.
func TestOtherIsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, other := newFake("46.0.1.1:3478", "46.0.0.1:4000"), newFake("46.0.2.1:4001", "46.0.0.1:4000")
		server.delay = 2 * headStart
		g := newFakeGatherer(t, new(fakeNetwork), observers(server), Config{Ports: 1, Observers: func(uint16) []Observer { return observers(other) }})
		g.SetWarm(true)
		d, took := mustGather(t, g)
		if took != headStart+quorumWait {
			t.Errorf("Gather took %v", took)
		}
		time.Sleep(server.delay)
		d.Release()
		synctest.Wait()
		if _, active := other.state(); active != 1 {
			t.Errorf("%d connections, want one while an attempt is likely", active)
		}
		time.Sleep(linger)
		synctest.Wait()
		if _, active := other.state(); active != 0 {
			t.Errorf("%d connections are left", active)
		}
	})
}
