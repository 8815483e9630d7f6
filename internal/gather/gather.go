package gather

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/wlynxg/anet"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// timings are the constants of their names, but in tests.
type timings struct{ networkCheck, keepAlive, minKeepAlive time.Duration }

// Config is what a [Gatherer] is made from.
type Config struct {
	Servers []string // STUN servers, host:port
	// Observers returns which other observers can be asked now for the address of the given local
	// port, the best first. They are asked while no STUN server answers, one after another, when an
	// attempt has to know what SetConns does not show. Nil for none. Called from the Gatherer's
	// goroutine.
	Observers func(port uint16) []Observer
	// Ports is how many ports are kept warm, 0 to punch.MaxPorts. With 0 one port is used, and its
	// address is asked for by each Gather.
	Ports   int
	Accept  func(*net.TCPConn) // gets what the ports accept
	Control tcpport.Control    // gets every socket before it is bound; nil for none
	Log     *slog.Logger       // nil for none

	// The hooks below are called from several goroutines; nil for none. Close waits for them, and
	// OnAsked and OnHeld must not block.
	OnBehaviour func(stun.Behaviour, error)                  // a search has ended: what is known, and why not all
	OnAsked     func(o Observer, stunServer bool, err error) // an observer answered or failed
	OnHeld      func(delta int)                              // connections to observers that are held, more or fewer
}

func (c Config) withDefaults() Config {
	if c.Observers == nil {
		c.Observers = func(uint16) []Observer { return nil }
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.OnBehaviour == nil {
		c.OnBehaviour = func(stun.Behaviour, error) {}
	}
	if c.OnAsked == nil {
		c.OnAsked = func(Observer, bool, error) {}
	}
	if c.OnHeld == nil {
		c.OnHeld = func(int) {}
	}
	return c
}

// These are kinds of failure of [Gatherer.Gather] and [Gatherer.Egress].
var (
	// ErrNoAddress: no observer reported an address. What each said is in the chain.
	ErrNoAddress = errors.New("no observer reported an address")
	// ErrFiltered: the filter left no address to send to the peer.
	ErrFiltered = errors.New("the address filter leaves no address")
	// ErrNoRoute: the host cannot send to the peer, whatever the port.
	ErrNoRoute = errors.New("no route to the peer")
	// ErrUnconfirmed: one observer alone found that connections do not get out.
	ErrUnconfirmed = errors.New("one observer alone shows it")
	// ErrClosed: the Gatherer is closed.
	ErrClosed = errors.New("gatherer is closed")
)

// A Gatherer keeps ports warm and knows their addresses.
type Gatherer struct {
	cfg     Config
	servers []Observer // Config.Servers

	// Tests replace these.
	openPort   func() (*tcpport.Port, error)
	discover   func(ctx context.Context, servers []string) (*stun.Report, error)
	testEgress func(ctx context.Context, open netip.AddrPort) (stun.Fact, error)
	sourceAddr func(to netip.AddrPort) (netip.Addr, error) // as tcpport.SourceAddr
	listAddrs  func() ([]net.Addr, error)
	wall       func() time.Time // the time, suspension included
	times      timings
	publicIPv6 func() (netip.Addr, bool)

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // run, observers and searches
	close   func() error

	mu    sync.Mutex
	begun bool // run was started
	queue []func()
	wake  chan struct{} // has room for one; see enqueue

	// All below is owned by run.
	warm    bool
	uses    int // calls of Gather under way and descriptions not released
	waiters []*waiter
	ports   []*warmPort // as many as could be opened; see openPorts
	own     ownConns
	others  []Observer // of Config.Observers, unless they are stale
	stale   bool
	likely  time.Time // until when an attempt is likely
	epoch   *epoch
	links   []netip.Prefix // as listLinks returned them at the last check
	check   time.Time      // when to look at the network again
	looked  time.Time      // when step was called last, by wall; zero while no port is in use
	next    time.Time      // when step has something to do; zero if only events matter

	// doubtedOwn is what the application had reported before the host slept. It counts again from
	// trustOwn on, which is zero if nothing is in doubt.
	doubtedOwn ownConns
	trustOwn   time.Time

	// While the host sends from poolSource, until pool, another external address is taken for one
	// more of the same NAT.
	pool       time.Time
	poolSource netip.Addr
}

// New returns a Gatherer, which opens its ports and starts its goroutine when they are first
// needed. Close must be called.
func New(c Config) *Gatherer {
	g := &Gatherer{
		cfg:        c.withDefaults(),
		openPort:   func() (*tcpport.Port, error) { return tcpport.Open(c.Accept, c.Control) },
		discover:   stun.Discoverer{Control: c.Control}.Discover,
		testEgress: stun.Discoverer{Control: c.Control}.Egress,
		sourceAddr: func(to netip.AddrPort) (netip.Addr, error) { return tcpport.SourceAddr(to, c.Control) },
		listAddrs:  anet.InterfaceAddrs,
		wall:       func() time.Time { return time.Now().Round(0) },
		times:      timings{networkCheck, keepAlive, minKeepAlive},
		publicIPv6: func() (netip.Addr, bool) { return tcpport.PublicIPv6(c.Control) },
		wake:       make(chan struct{}, 1),
	}
	for _, s := range c.Servers {
		g.servers = append(g.servers, stunServer{s, askAgain, answerTimeout})
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.epoch = newEpoch(g.ctx, g.times.keepAlive)
	g.close = sync.OnceValue(func() error {
		g.mu.Lock() // with which enqueue starts run: it does not after this
		g.cancel()
		g.mu.Unlock()
		g.running.Wait()
		var errs []error
		for _, p := range g.ports {
			p.reset() // for OnHeld
			errs = append(errs, p.Close())
		}
		return errors.Join(errs...)
	})
	return g
}

// SetWarm says whether ports are to be kept warm. It does not block.
func (g *Gatherer) SetWarm(warm bool) {
	g.enqueue(func() {
		g.warm = warm && g.cfg.Ports > 0
		g.askFailed()
	})
}

// Port returns the number of the first port, which it opens if need be. 0 with an error.
func (g *Gatherer) Port() (uint16, error) {
	var number uint16
	var err error
	if !g.call(func() {
		if err = g.openPorts(); err == nil {
			number = g.ports[0].Number()
		}
	}) {
		return 0, ErrClosed
	}
	return number, err
}

// call has the Gatherer's goroutine call f, and waits for that, unless the Gatherer is closed. If
// it returns false, f may still be running: the caller must not use what f changes.
func (g *Gatherer) call(f func()) bool {
	done := make(chan struct{})
	g.enqueue(func() {
		defer close(done)
		f()
	})
	select {
	case <-done:
		return true
	case <-g.ctx.Done():
		return false
	}
}

// Close gives up the ports and the connections to observers. Gathered descriptions must have been
// released before.
func (g *Gatherer) Close() error { return g.close() }

// enqueue has the Gatherer's goroutine call f, unless the Gatherer is closed. It does not block.
func (g *Gatherer) enqueue(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return
	}
	if !g.begun {
		g.begun = true
		g.running.Go(g.run)
	}
	g.queue = append(g.queue, f)
	select {
	case g.wake <- struct{}{}:
	default: // the goroutine has not taken the queue since the last time
	}
}

func (g *Gatherer) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-g.wake:
			g.mu.Lock()
			queue := g.queue
			g.queue = nil
			g.mu.Unlock()
			for _, f := range queue {
				f()
				g.step(time.Now()) // an answer is of use even if the observer hangs up next
			}
		case <-timer.C:
			g.step(time.Now())
		case <-g.ctx.Done():
			return
		}
		if g.next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(g.next))
		}
	}
}

// step does what is due after an event, or at the time that was given to wakeAt.
func (g *Gatherer) step(now time.Time) {
	g.next = time.Time{}
	if !g.warm && g.uses == 0 {
		for _, p := range g.ports {
			p.reset()
		}
		g.looked = time.Time{}
		return
	}
	if err := g.openPorts(); err != nil {
		for _, w := range g.waiters {
			g.serve(w, err)
		}
		g.waiters = nil
		g.wakeAt(now.Add(g.times.networkCheck)) // to try again
		return
	}
	g.restoreOwn(now)
	for _, p := range g.ports {
		p.ask(now)
	}
	if why := g.moved(now); why != "" {
		g.renew(why)
	}
	g.search(now)
	g.waiters = slices.DeleteFunc(g.waiters, func(w *waiter) bool {
		if g.waits(w, now) {
			return false
		}
		g.serve(w, nil)
		return true
	})
}

// wakeAt has step called again at t, which is in the future, or before.
func (g *Gatherer) wakeAt(t time.Time) {
	if g.next.IsZero() || t.Before(g.next) {
		g.next = t
	}
}

// openPorts opens the ports that are not open yet. It fails if none is open afterwards.
func (g *Gatherer) openPorts() error {
	for len(g.ports) < max(g.cfg.Ports, 1) {
		port, err := g.openPort()
		if err != nil {
			if len(g.ports) == 0 {
				return err
			}
			break // one will do
		}
		p := &warmPort{Port: port, g: g, queries: make(map[Observer]*query), broken: make(map[Observer]*query)}
		if len(g.ports) == 0 {
			p.servers = g.servers
		} else {
			// One observer is enough for the second port: the first port shows how the NAT behaves,
			// and every connection is a burden to the observer. Each server has its share.
			p.chooseServer()
		}
		g.ports = append(g.ports, p)
	}
	return nil
}

// askFailed makes the observers that failed be asked again without delay, if none has answered.
func (g *Gatherer) askFailed() {
	for _, p := range g.ports {
		if p.count(isHeld) == 0 {
			p.forgetFailed()
		}
	}
}
