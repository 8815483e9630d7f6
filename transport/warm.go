package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// askTimeout bounds one round of questions to the STUN servers: a SYN that
	// is lost twice is answered within it, and a responder can still refuse
	// before the initiator has waited for 5 s.
	askTimeout = 4 * time.Second

	// keepAlive is how often a server is asked again over the connection that
	// holds the mapping. NATs must keep an established connection for over two
	// hours (RFC 5382, REQ-5), but many forget after a minute or few; and it
	// must be well below the 90 s after which our own server hangs up.
	keepAlive = 25 * time.Second

	// After all servers failed, a port that should be warm tries again after
	// retryMin, doubling up to retryMax. It does so, too, after servers that
	// hang up within shortLived (coturn --stun-only: 3 s) instead of holding
	// the connection; a dial or an OFFER asks at once.
	retryMin   = time.Second
	retryMax   = time.Minute
	shortLived = 10 * time.Second
)

// A warmPort is a local port, and its reflexive addresses while somebody uses
// them. Their STUN connections are held all that time: closing one may close
// the NAT's mapping with it.
type warmPort struct {
	*tcpport.Port
	servers []string

	cmds   chan warmCommand
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// All below is owned by run.
	uses     int
	waiting  []chan<- reply
	conns    map[*stun.Conn]observation // what each server says
	answers  <-chan stun.Answer         // of this round; nil between rounds
	endRound context.CancelFunc
	errs     []error       // of this round
	retry    *time.Timer   // the next round, after one that failed
	backoff  time.Duration // before it
	changes  chan change
}

// A warmCommand changes the number of uses and may ask for the addresses.
type warmCommand struct {
	use   int
	reply chan<- reply
}

type view struct {
	addrs   []netip.AddrPort
	mapping stun.Mapping
}

type reply struct {
	view view
	err  error
}

type observation struct {
	mapped netip.AddrPort
	since  time.Time // of the connection
}

// A change is news of one server: its connection ended, or its answer.
type change struct {
	conn   *stun.Conn
	mapped netip.AddrPort // invalid when the connection ended
}

func newWarmPort(servers []string) (*warmPort, error) {
	port, err := tcpport.Open()
	if err != nil {
		return nil, err
	}
	w := &warmPort{
		Port:    port,
		servers: servers,
		cmds:    make(chan warmCommand),
		conns:   make(map[*stun.Conn]observation),
		changes: make(chan change),
		retry:   time.NewTimer(0),
	}
	<-w.retry.C
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.wg.Go(w.run)
	return w, nil
}

// Close gives up the port and everything that is held for it.
func (w *warmPort) Close() error {
	w.cancel()
	w.wg.Wait()
	return w.Port.Close()
}

// use adds n to the number of uses. The port is warm while it is positive.
func (w *warmPort) use(n int) {
	select {
	case w.cmds <- warmCommand{use: n}:
	case <-w.ctx.Done():
	}
}

// acquire returns the port's reflexive addresses, at once if it is warm, and
// keeps them until release is called.
func (w *warmPort) acquire(ctx context.Context) (_ view, release func(), err error) {
	answer := make(chan reply, 1)
	select {
	case w.cmds <- warmCommand{use: 1, reply: answer}:
	case <-ctx.Done():
		return view{}, nil, ctx.Err()
	case <-w.ctx.Done():
		return view{}, nil, ErrClosed
	}
	release = sync.OnceFunc(func() { w.use(-1) })
	select {
	case r := <-answer:
		if r.err == nil {
			return r.view, release, nil
		}
		err = r.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-w.ctx.Done():
		err = ErrClosed
	}
	release()
	return view{}, nil, err
}

func (w *warmPort) run() {
	defer w.cool()
	for {
		select {
		case c := <-w.cmds:
			w.command(c)
		case a, ok := <-w.answers:
			w.answered(a, ok)
		case c := <-w.changes:
			w.changed(c)
		case <-w.retry.C:
			if w.uses > 0 {
				w.ask()
			}
		case <-w.ctx.Done():
			return
		}
	}
}

func (w *warmPort) command(c warmCommand) {
	w.uses += c.use
	if c.reply != nil {
		if len(w.conns) > 0 {
			c.reply <- reply{view: view{addrs: w.addrs()}}
		} else {
			w.waiting = append(w.waiting, c.reply)
		}
	}
	switch {
	case w.uses == 0:
		w.cool()
	case len(w.conns) == 0 && (c.use > 0):
		w.ask()
	}
}

// ask begins a round, unless one is under way.
func (w *warmPort) ask() {
	if w.answers != nil {
		return
	}
	w.errs = nil
	w.retry.Stop()
	if len(w.servers) == 0 {
		w.fail(ErrNoSTUNServer)
		return
	}
	round, end := context.WithCancel(w.ctx)
	ctx, cancel := context.WithTimeout(round, askTimeout)
	answers := stun.Ask(ctx, lingerless{w.Port}, w.servers)
	handed := make(chan stun.Answer)
	w.answers, w.endRound = handed, end
	// Handed over one by one by a goroutine that outlives the round, so that
	// every connection finds an owner, whatever run does meanwhile.
	w.wg.Go(func() {
		defer end()
		defer cancel()
		defer close(handed)
		for a := range answers {
			select {
			case handed <- a:
			case <-round.Done():
				if a.Conn != nil {
					a.Conn.Close()
				}
			}
		}
	})
}

func (w *warmPort) answered(a stun.Answer, ok bool) {
	switch {
	case !ok && len(w.conns) > 0:
		w.answers = nil
	case !ok && len(w.errs) == 0:
		// Every server answered, and has hung up since.
		w.answers = nil
		if len(w.waiting) > 0 {
			w.ask()
		} else {
			w.askLater()
		}
	case !ok:
		w.fail(fmt.Errorf("%w: %w", ErrNoReflexiveAddress, errors.Join(w.errs...)))
	case a.Err != nil:
		log.Debug("STUN server failed", "server", a.Server, "err", a.Err)
		w.errs = append(w.errs, a.Err)
	default:
		w.conns[a.Conn] = observation{a.Mapped, time.Now()}
		w.wg.Go(func() { w.hold(a.Conn, a.Mapped) })
		for _, waiting := range w.waiting {
			waiting <- reply{view: view{addrs: w.addrs()}}
		}
		w.waiting = nil
	}
}

// fail ends a round in which nobody answered.
func (w *warmPort) fail(err error) {
	w.answers = nil
	for _, waiting := range w.waiting {
		waiting <- reply{err: err}
	}
	w.waiting = nil
	if !errors.Is(err, ErrNoSTUNServer) {
		w.askLater()
	}
}

func (w *warmPort) askLater() {
	w.backoff = min(max(2*w.backoff, retryMin), retryMax)
	w.retry.Reset(w.backoff)
}

// hold keeps one server's connection alive and reports what becomes of it.
func (w *warmPort) hold(c *stun.Conn, mapped netip.AddrPort) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		news := change{conn: c}
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(w.ctx, askTimeout)
			a, err := c.Binding(ctx)
			cancel()
			if err == nil && a == mapped {
				continue
			}
			if err == nil {
				mapped, news.mapped = a, a
			}
		case <-c.Done():
		case <-w.ctx.Done():
			return
		}
		select {
		case w.changes <- news:
		case <-w.ctx.Done():
			return
		}
		if !news.mapped.IsValid() {
			return
		}
	}
}

func (w *warmPort) changed(c change) {
	o, ok := w.conns[c.conn]
	if !ok {
		return // let go already
	}
	if c.mapped.IsValid() {
		w.conns[c.conn] = observation{c.mapped, o.since}
		return
	}
	c.conn.Close()
	delete(w.conns, c.conn)
	switch {
	case len(w.conns) > 0 || w.uses == 0:
	case time.Since(o.since) < shortLived:
		w.askLater()
	default:
		w.backoff = 0
		w.ask()
	}
}

// cool lets go of the servers' connections, and of a round under way.
func (w *warmPort) cool() {
	if w.answers != nil {
		w.endRound()
		w.answers = nil
	}
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
	w.waiting = nil // who asked has left
}

// addrs lists the reflexive addresses, each once. With endpoint-independent
// mapping all servers say the same.
func (w *warmPort) addrs() []netip.AddrPort {
	var as []netip.AddrPort
	for _, o := range w.conns {
		if !slices.Contains(as, o.mapped) {
			as = append(as, o.mapped)
		}
	}
	slices.SortFunc(as, netip.AddrPort.Compare)
	return as
}

// has tells whether a, the target of an OFFER, is the port.
func (w *warmPort) has(a netip.AddrPort) bool { return a.Port() == w.Number() }

// lingerless dials from a port and closes with a RST, for a 4-tuple in
// TIME-WAIT would keep the port from asking the same server again.
type lingerless struct{ port *tcpport.Port }

func (d lingerless) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.port.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.(*net.TCPConn).SetLinger(0)
	return c, nil
}
