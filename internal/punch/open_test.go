package punch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	a, b := newSide(t).attempt(t, true), newSide(t).attempt(t, false)
	introduce(a, b)
	a.open(ctx, b.side.addr)
	b.open(ctx, a.side.addr)
	wantSame(t, a, b)
}

// TestOpenFromTwoPorts: every pair may come up, and both sides have the same one.
func TestOpenFromTwoPorts(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	a, b := newSide(t).attempt(t, true), newSide(t).attempt(t, false)
	introduce(a, b)
	candidates := make(map[*attempt][]Candidate)
	for _, x := range []*attempt{a, b} {
		second, err := tcpport.Open(x.side.receiver.Accept, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		x.round.Ports = append(x.round.Ports, second)
		candidates[x] = []Candidate{
			{Kind: Reflexive, Addr: x.side.addr},
			{Kind: Reflexive, Addr: netip.AddrPortFrom(localhost, second.Number()), Port: 1},
		}
	}
	for x, peer := range map[*attempt]*attempt{a: b, b: a} {
		x.open(ctx, peer.side.addr)
		x.opening.Add(candidates[peer])
		x.opening.Cross(0, 0)
	}
	wantSame(t, a, b)
	a.close()
	b.close()
}

// TestChosenStopsConnects: when Serve has returned nil, Wait needs no other end.
func TestChosenStopsConnects(t *testing.T) {
	t.Parallel()
	s, peer := newSide(t), newSide(t)
	token := NewToken()
	conns := peer.expect(t, token)
	nobody := netip.AddrPortFrom(localhost, 1) // refuses
	r := Open(testContext(t), Round{
		Ports:  []*tcpport.Port{s.port},
		Remote: reflexive(nobody, peer.addr),
		Serve: func(c *net.TCPConn) error {
			t.Cleanup(func() { c.Close() })
			_, err := c.Write(token.AppendPreamble(nil))
			return err
		},
		times: quick,
	}).Wait()
	next(t, conns)
	if r.Up != 1 || r.Dropped != nil {
		t.Errorf("got %+v, want one connection", r)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	s, peer := newSide(t), tcptest.Refusing(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	seen, budget := newConnects(), newBudget(1<<20)
	o := Open(ctx, Round{Ports: []*tcpport.Port{s.port}, Remote: reflexive(peer), Budget: budget, Trace: seen.trace, times: quick})
	wantClosed(t, "Failing", o.Failing())
	cancel()
	r := o.Wait()
	spent, pended := budget.counts()
	if r.Refused < manyFailed || r.Connects < manyFailed || r.Up != 0 || r.Dropped != nil || !errors.Is(r.Err, syscall.ECONNREFUSED) {
		t.Errorf("got %+v, want refusals", r)
	}
	if n := seen.of(s.port, peer); n != r.Connects || pended != n || spent < n || spent > n+1 {
		t.Errorf("%d connects were traced, %d counted, %d pended and %d paid for", n, r.Connects, pended, spent)
	}
}

func TestBudgetIsSpent(t *testing.T) {
	t.Parallel()
	for most, want := range map[int]error{0: errSpent, 2: syscall.ECONNREFUSED} {
		s, peer := newSide(t), tcptest.Refusing(t)
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		budget := newBudget(most)
		o := Open(ctx, Round{Ports: []*tcpport.Port{s.port}, Remote: reflexive(peer), Budget: budget, times: quick})
		wantClosed(t, "the budget", budget.over)
		cancel()
		if r := o.Wait(); r.Connects != most || !errors.Is(r.Err, want) {
			t.Errorf("with a budget of %d: %+v, want %v", most, r, want)
		}
		select {
		case <-o.Failing():
			t.Errorf("%d connects are many", most)
		default:
		}
	}
}

// TestUselessConnectionsAreRepeatedLater: a host that accepts and hangs up is no busy loop.
func TestUselessConnectionsAreRepeatedLater(t *testing.T) {
	t.Parallel()
	s := newSide(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var peer sync.WaitGroup
	defer peer.Wait()
	defer l.Close()
	peer.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tcpport.Reset(c.(*net.TCPConn))
		}
	})
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	const retry, most = 20 * time.Millisecond, 30 * time.Millisecond
	times, budget := *quick, newBudget(1<<20)
	times.retry, times.maxRetry = retry, most
	var served []time.Time
	useless := errors.New("of no use")
	r := Open(ctx, Round{
		Ports:  []*tcpport.Port{s.port},
		Remote: reflexive(l.Addr().(*net.TCPAddr).AddrPort()),
		Serve: func(c *net.TCPConn) error {
			c.Read(make([]byte, 1))
			tcpport.Reset(c)
			if served = append(served, time.Now()); len(served) == 5 {
				cancel()
			}
			return useless
		},
		Budget: budget,
		times:  &times,
	}).Wait()
	// The first repeat is quick. Of the others, the pauses are twice as long each time.
	if took := served[4].Sub(served[1]); took < retry+2*most {
		t.Errorf("connected three times more within %v, want %v at least", took, retry+2*most)
	}
	if spent, _ := budget.counts(); spent < 5 {
		t.Errorf("%d SYNs were paid for, want 5", spent)
	}
	if r.Up != 5 || !errors.Is(r.Dropped, useless) {
		t.Errorf("got %+v, want 5 connections of no use", r)
	}
}

// TestTaken: a connect whose 4-tuple is an accepted connection's sends nothing until that is
// gone, and begins then.
func TestTaken(t *testing.T) {
	t.Parallel()
	s, peer := newSide(t), newSide(t)
	token := NewToken()
	accepted, useless := make(chan struct{}), make(chan struct{})
	defer s.receiver.Expect(token, func(c *net.TCPConn) {
		close(accepted)
		<-useless
		tcpport.Reset(c)
	})()
	c, err := peer.port.Connect(testContext(t), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(token.AppendPreamble(nil))
	wantClosed(t, "accepted", accepted)

	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	times, budget := *quick, newBudget(1<<20)
	times.retry, times.maxRetry = time.Hour, time.Hour
	seen := newConnects()
	up := make(chan struct{})
	o := Open(ctx, Round{
		Ports:    []*tcpport.Port{s.port},
		Remote:   reflexive(peer.addr),
		Receiver: s.receiver,
		Serve: func(c *net.TCPConn) error {
			tcpport.Reset(c)
			close(up)
			return nil
		},
		Budget: budget,
		Trace:  seen.trace,
		times:  &times,
	})
	until(t, "the connect finds the 4-tuple taken", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return errors.Is(o.result.Err, tcpport.ErrTupleTaken)
	})
	o.mu.Lock()
	if o.result.Connects != 0 || !o.met {
		t.Errorf("%d connects are counted, up is %v; want none, and that the pair is connected", o.result.Connects, o.met)
	}
	o.mu.Unlock()
	close(useless)
	until(t, "another connect when the connection is gone", func() bool { return seen.of(s.port, peer.addr) > 1 })
	until(t, "up", func() bool {
		// A child process that another test starts holds a copy of each socket until it executes
		// its program, so that the 4-tuple may be free a moment later.
		s.receiver.tuples.free(tuple{s.port.Number(), peer.addr})
		return isClosed(up)
	})
	r := o.Wait()
	if spent, _ := budget.counts(); r.Connects != spent {
		t.Errorf("%d SYNs were sent, and %d paid for", r.Connects, spent)
	}
}

// TestAdd: candidates that are known, and listeners, are not connected to.
func TestAdd(t *testing.T) {
	t.Parallel()
	s, peer, other, listener := newSide(t), tcptest.Refusing(t), tcptest.Refusing(t), tcptest.Refusing(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	seen := newConnects()
	o := Open(ctx, Round{Ports: []*tcpport.Port{s.port}, Trace: seen.trace, times: quick})
	o.Add(append(reflexive(peer, peer), Candidate{Kind: Listener, Addr: listener}))
	o.Add([]Candidate{{Kind: Predicted, Addr: peer}, {Kind: Predicted, Addr: other}, {Kind: LAN, Addr: other}})
	if len(o.pairs) != 2 { // nothing changes them any more
		t.Errorf("%d pairs, want 2: %v", len(o.pairs), o.pairs)
	}
	until(t, "both are connected", func() bool { return seen.of(s.port, peer) > 0 && seen.of(s.port, other) > 0 })
	cancel()
	o.Wait()
	o.Add(reflexive(listener))
	o.Cross(0, 0)
	if n := seen.of(s.port, listener); n != 0 {
		t.Errorf("%d connects to the listener", n)
	}
}

// TestPortClosed: a port that was closed can still connect; nothing is accepted.
func TestPortClosed(t *testing.T) {
	t.Parallel()
	a, peer := newSide(t), tcptest.Refusing(t) // the kernel may give the number of a closed port again
	a.port.Close()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	r := Open(ctx, Round{
		Ports:  []*tcpport.Port{a.port},
		Remote: reflexive(peer),
		Trace: func(step Step, _ uint16, _ netip.AddrPort, _ error) {
			if step == ConnectFailed {
				cancel()
			}
		},
		times: quick,
	}).Wait()
	if r.Up != 0 || r.Connects == 0 {
		t.Errorf("got %+v, want connects in vain", r)
	}
}

// TestOpenEndsWithItsContext: a context that ends at any point ends the connects, and nothing is
// left.
func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for d := time.Duration(0); d < 4*time.Millisecond; d += 200 * time.Microsecond {
		a, b := newSide(t).attempt(t, true), newSide(t).attempt(t, false)
		introduce(a, b)
		ctx, cancel := context.WithTimeout(t.Context(), d)
		a.open(ctx, b.side.addr)
		b.open(ctx, a.side.addr)
		<-ctx.Done()
		var both sync.WaitGroup
		for _, x := range []*attempt{a, b} {
			both.Go(func() { x.close() })
		}
		both.Wait()
		cancel()
		for _, x := range []*attempt{a, b} {
			if n := len(x.side.receiver.tuples.wanted); n > 0 {
				t.Errorf("%d tuples are wanted by nobody", n)
			}
		}
	}
}

// TestResultError: the most telling error is kept.
func TestResultError(t *testing.T) {
	t.Parallel()
	kernel := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	refused, timeout := kernel(syscall.ECONNREFUSED), kernel(syscall.ETIMEDOUT)
	unreachable := kernel(syscall.ENETUNREACH)
	taken := errors.Join(tcpport.ErrTupleTaken, kernel(syscall.EADDRNOTAVAIL))
	for _, tc := range []struct {
		errs []error
		want error
	}{
		{[]error{timeout}, timeout},
		{[]error{refused, timeout, taken, errSpent}, refused},
		{[]error{timeout, errSpent, timeout}, errSpent},
		{[]error{timeout, taken}, taken},
		{[]error{taken, refused, unreachable}, unreachable},
		{[]error{errAttributed, refused, errAttributed}, refused},
	} {
		var r Result
		for _, err := range tc.errs {
			r.report(err)
		}
		if r.Err != tc.want {
			t.Errorf("of %v: %v, want %v", tc.errs, r.Err, tc.want)
		}
	}
}

// TestConnectedAgain: after connections of no use, as those whose mapping a NAT has forgotten, the
// next one between the same ports is the one.
func TestConnectedAgain(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	a, b := newSide(t).attempt(t, true), newSide(t).attempt(t, false)
	introduce(a, b)
	serve, calls := a.round.Serve, 0
	a.round.Serve = func(c *net.TCPConn) error {
		if calls++; calls <= 3 {
			tcpport.Reset(c)
			return ErrSilent
		}
		return serve(c)
	}
	a.open(ctx, b.side.addr) // b accepts
	wantSame(t, a, b)
	if r := a.close(); r.Up != 4 || !errors.Is(r.Dropped, ErrSilent) {
		t.Errorf("got %+v, want 4 connections", r)
	}
}

func TestOpenIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no IPv6 here: %v", err)
	}
	l.Close()
	ctx := testContext(t)
	a, b := newSide(t).attempt(t, true), newSide(t).attempt(t, false)
	introduce(a, b)
	a.round.Passive, b.round.Late = true, true // which are for IPv4
	a.open(ctx, netip.AddrPortFrom(netip.IPv6Loopback(), b.side.addr.Port()))
	b.open(ctx, netip.AddrPortFrom(netip.IPv6Loopback(), a.side.addr.Port()))
	wantSame(t, a, b)
}

// TestNotChosenStopsConnects: another connection was chosen, maybe one that was accepted.
func TestNotChosenStopsConnects(t *testing.T) {
	t.Parallel()
	s, peer := newSide(t), newSide(t)
	r := Open(testContext(t), Round{
		Ports:  []*tcpport.Port{s.port},
		Remote: reflexive(peer.addr),
		Serve: func(c *net.TCPConn) error {
			tcpport.Reset(c)
			return ErrNotChosen
		},
		times: quick,
	}).Wait()
	if r.Up != 1 || r.Connects != 1 || !errors.Is(r.Dropped, ErrNotChosen) {
		t.Errorf("got %+v, want one connection", r)
	}
}
