package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func addrPorts(s ...string) []netip.AddrPort {
	var as []netip.AddrPort
	for _, a := range s {
		as = append(as, netip.MustParseAddrPort(a))
	}
	return as
}

// A fakeObserver answers with sees after a delay, or fails with err, and then holds for a while.
type fakeObserver struct {
	name    string
	remote  netip.AddrPort
	delay   time.Duration // before the answer or the failure
	closing time.Duration // how long it takes to close the connection
	err     error         // in place of an answer, or at the end of hold

	mu     sync.Mutex
	hold   time.Duration // after the answer; 0 for as long as it is wanted
	sees   netip.AddrPort
	asked  []time.Time // when it was asked
	active int         // calls of Observe under way
	most   int         // of them at any time
}

var errFake = errors.New("connection refused")

func newFake(remote, sees string) *fakeObserver {
	o := &fakeObserver{name: remote, remote: netip.MustParseAddrPort(remote)}
	if sees != "" {
		o.sees = netip.MustParseAddrPort(sees)
	}
	return o
}

// silent returns an observer that does not answer.
func silent(remote string) *fakeObserver {
	o := newFake(remote, "")
	o.delay = time.Hour
	return o
}

// failing returns an observer that fails at once.
func failing(remote string) *fakeObserver {
	o := newFake(remote, "")
	o.err = errFake
	return o
}

func (o *fakeObserver) String() string { return o.name }
func (o *fakeObserver) IPv4() bool     { return o.remote.Addr().Is4() }

func (o *fakeObserver) Observe(ctx context.Context, _ stun.Dialer, report func(remote, reflexive netip.AddrPort)) error {
	o.mu.Lock()
	o.asked = append(o.asked, time.Now())
	o.active++
	o.most = max(o.most, o.active)
	o.mu.Unlock()
	defer func() {
		time.Sleep(o.closing)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.active--
	}()
	sleep := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := sleep(o.delay); err != nil {
		return err
	}
	o.mu.Lock()
	sees, hold := o.sees, o.hold
	o.mu.Unlock()
	if !sees.IsValid() {
		return o.err
	}
	report(o.remote, sees)
	if hold > 0 {
		if err := sleep(hold); err != nil {
			return err
		}
		return o.err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (o *fakeObserver) answer() netip.AddrPort {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sees
}

func (o *fakeObserver) setAnswer(sees string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sees = netip.MustParseAddrPort(sees)
}

// state returns how often it was asked, and how many connections it has.
func (o *fakeObserver) state() (asked, active int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked), o.active
}

// pauses returns the times between the calls of Observe.
func (o *fakeObserver) pauses() (ps []time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.asked[1:] {
		ps = append(ps, o.asked[i+1].Sub(o.asked[i]))
	}
	return ps
}

// observers returns fakes as Observers.
func observers(os ...*fakeObserver) (all []Observer) {
	for _, o := range os {
		all = append(all, o)
	}
	return all
}

// A fakeNetwork is what a Gatherer without sockets lives in.
type fakeNetwork struct {
	mu       sync.Mutex
	source   netip.Addr
	short    bool
	slept    time.Duration
	report   *stun.Report // of searches; nil for failure
	takes    time.Duration
	searches []time.Time
}

func (n *fakeNetwork) setSource(a string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.source, _ = netip.ParseAddr(a)
}

func (n *fakeNetwork) sourceAddr(netip.AddrPort) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.short:
		return netip.Addr{}, tcpport.ErrShort
	case !n.source.IsValid():
		return netip.Addr{}, errFake
	}
	return n.source, nil
}

// setShort says whether there is no file descriptor to find out the source.
func (n *fakeNetwork) setShort(short bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.short = short
}

// sleep has the machine sleep: timers and the monotonic clock stand still.
func (n *fakeNetwork) sleep(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slept += d
}

func (n *fakeNetwork) wall() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Round(0).Add(n.slept)
}

func (n *fakeNetwork) setReport(r *stun.Report) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.report = r
}

func (n *fakeNetwork) setTakes(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.takes = d
}

func (n *fakeNetwork) discover(ctx context.Context, _ []string) (*stun.Report, error) {
	n.mu.Lock()
	n.searches = append(n.searches, time.Now())
	takes := n.takes
	n.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.report == nil {
		return nil, errFake
	}
	r := *n.report
	r.Addrs = slices.Clone(r.Addrs)
	return &r, nil
}

func (n *fakeNetwork) searched() []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.searches)
}

// newFakeGatherer returns a Gatherer without sockets, for a synctest bubble. Its ports have the
// number 0.
func newFakeGatherer(t *testing.T, n *fakeNetwork, servers []Observer, c Config) *Gatherer {
	t.Helper()
	g := New(c)
	g.servers = servers
	g.openPort = func() (*tcpport.Port, error) { return new(tcpport.Port), nil }
	g.discover, g.sourceAddr, g.wall = n.discover, n.sourceAddr, n.wall
	g.publicIPv6 = func() (netip.Addr, bool) { return netip.Addr{}, false }
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// setTimings sets the timings of a Gatherer that does not run yet.
func (g *Gatherer) setTimings(t timings) {
	g.times = t
	g.epoch = newEpoch(g.ctx, t.keepAlive)
}

// mustGather is Gather that has to succeed, and how long it took.
func mustGather(t *testing.T, g *Gatherer) (*Description, time.Duration) {
	t.Helper()
	begin := time.Now()
	d, err := g.Gather(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d, time.Since(begin)
}

type observerFunc func(context.Context, func(remote, reflexive netip.AddrPort)) error

func (f *observerFunc) String() string { return "func" }
func (f *observerFunc) IPv4() bool     { return true }
func (f *observerFunc) Observe(ctx context.Context, _ stun.Dialer, report func(remote, reflexive netip.AddrPort)) error {
	return (*f)(ctx, report)
}
