package transport

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// askTimeout bounds the wait for an answer: a SYN that is lost twice is
	// answered within it, and a responder can still refuse before the initiator
	// has waited for 5 s.
	askTimeout = 4 * time.Second

	// headStart is how long STUN servers are asked alone, before libp2p peers are
	// asked in their place, who have the rest of askTimeout. A server that has not
	// answered by then has lost a SYN at least.
	headStart = 1500 * time.Millisecond

	// quorumTime is how long the first answer waits for the others: two tell whether
	// the mapping depends on the destination, and three outvote one that lies. It is
	// more than the differences between servers nearby, and little against what an
	// address that is wrong costs.
	quorumTime = 100 * time.Millisecond

	// After all have failed, a port that should be warm asks again after retryMin,
	// doubling up to retryMax. It does so, too, after observers that hang up within
	// shortLived (coturn --stun-only: 3 s) instead of holding the connection; a dial
	// or an OFFER asks at once.
	retryMin   = time.Second
	retryMax   = time.Minute
	shortLived = 10 * time.Second
)

// A warmPort is a local port, and its reflexive addresses while somebody uses
// them. The connections to those who observe them are held all that time: closing
// one may close the NAT's mapping with it.
//
// STUN servers are asked side by side. Libp2p peers are asked while no server
// answers: at once if none is configured, or when all have failed, or have had
// their head start.
type warmPort struct {
	*tcpport.Port
	log     *slog.Logger
	metrics *metrics
	moved   func()    // called when the machine has moved to another network; may be nil
	spare   *warmPort // raced with it; nil for none
	servers []source
	peers   func() []source // which libp2p peers there are to ask at the moment

	cmds   chan warmCommand
	news   chan news
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// All below is owned by run.
	uses    int
	waiting []chan<- reply
	asked   map[source]*asked
	late    bool          // the servers' head start is over
	turn    *time.Timer   // until then
	first   time.Time     // when the first answer came of those that are held
	quorum  *time.Timer   // for a while after that
	retry   *time.Timer   // until those who failed are asked again; nil unless all have
	backoff time.Duration // before that
	view    view
	route   route  // to the first of those that are held
	dissent string // what was logged of it
}

// A warmCommand changes the number of uses and may ask for the addresses.
type warmCommand struct {
	use   int
	reply chan<- reply
}

type reply struct {
	view view
	err  error
}

// asked is a source that was asked. It is being asked until it is held or failed.
type asked struct {
	cancel context.CancelFunc // ends asking and holding
	over   chan struct{}      // closed when both have ended and the connection is closed

	held  *answer // what it said; its connection is held
	since time.Time
	err   error // why it failed: it is not asked again for a while
}

func (t *Transport) newWarmPort(servers []string, peers func(port uint16) []source, moved func()) (*warmPort, error) {
	port, err := openPort()
	if err != nil {
		return nil, err
	}
	w := &warmPort{
		Port:    port,
		log:     t.log,
		metrics: t.metrics,
		moved:   moved,
		peers:   func() []source { return peers(port.Number()) },
		cmds:    make(chan warmCommand),
		news:    make(chan news),
		asked:   make(map[source]*asked),
		turn:    time.NewTimer(headStart),
		quorum:  time.NewTimer(quorumTime),
	}
	for _, s := range servers {
		w.servers = append(w.servers, stunServer(s))
	}
	w.turn.Stop()
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

// use adds n to the number of uses. The port is warm while it is positive. With 0
// it has the port look at which peers there are.
func (w *warmPort) use(n int) {
	select {
	case w.cmds <- warmCommand{use: n}:
	case <-w.ctx.Done():
	}
}

// acquire returns what is known of the port, at once if it is warm, and keeps it
// warm until release is called.
func (w *warmPort) acquire(ctx context.Context) (_ view, release func(), err error) {
	replies := make(chan reply, 1)
	select {
	case w.cmds <- warmCommand{use: 1, reply: replies}:
	case <-ctx.Done():
		return view{}, nil, ctx.Err()
	case <-w.ctx.Done():
		return view{}, nil, ErrClosed
	}
	release = sync.OnceFunc(func() { w.use(-1) })
	select {
	case r := <-replies:
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
	look := time.NewTicker(routeCheck)
	defer look.Stop()
	for {
		var retry <-chan time.Time
		if w.retry != nil {
			retry = w.retry.C
		}
		select {
		case c := <-w.cmds:
			w.command(c)
		case n := <-w.news:
			w.heard(n)
		case <-w.turn.C:
			w.late = true
		case <-w.quorum.C:
		case <-retry:
			w.forgive()
		case <-look.C:
			if w.route.changed() {
				w.log.Info("the machine is in another network: reflexive addresses are asked for anew", "port", w.Number(), "from", w.route.from)
				w.letGo()
				w.look()
				if w.moved != nil {
					w.moved()
				}
			}
		case <-w.ctx.Done():
			return
		}
		if w.uses == 0 {
			w.cool()
			continue
		}
		w.ask()
		w.reply()
	}
}

func (w *warmPort) command(c warmCommand) {
	w.uses += c.use
	if c.reply != nil {
		w.waiting = append(w.waiting, c.reply)
	}
	if c.use > 0 && w.count(isHeld) == 0 {
		w.forgive()
	}
}

// forgive has those asked again who failed.
func (w *warmPort) forgive() {
	w.stopRetry()
	for s, a := range w.asked {
		if a.err != nil {
			delete(w.asked, s)
		}
	}
}

// ask asks everybody whose turn it is, and who was not asked yet.
func (w *warmPort) ask() {
	for _, s := range w.servers {
		if w.asked[s] == nil {
			w.begin(s, askTimeout)
			w.late = false
			w.turn.Reset(headStart)
		}
	}
	if w.count(isServer, isHeld) > 0 || !w.late && w.count(isServer, isAsking) > 0 {
		return
	}
	peers := w.peers()
	for s, a := range w.asked {
		// One that has left and still holds its connection is better than none.
		gone := !isServer(s, a) && !slices.Contains(peers, s)
		if gone && (a.err != nil || a.held != nil && w.count(isHeld) > 1) {
			w.end(s)
		}
	}
	timeout := askTimeout
	if len(w.servers) > 0 {
		timeout -= headStart
	}
	for _, s := range peers {
		if w.asked[s] == nil {
			w.begin(s, timeout)
		}
	}
}

func (w *warmPort) begin(s source, timeout time.Duration) {
	ctx, cancel := context.WithCancel(w.ctx)
	a := &asked{cancel: cancel, over: make(chan struct{})}
	w.asked[s] = a
	w.wg.Go(func() {
		defer close(a.over)
		defer cancel()
		w.observe(ctx, s, timeout)
	})
}

func (w *warmPort) end(s source) {
	a := w.asked[s]
	delete(w.asked, s)
	a.cancel()
	<-a.over // or the port could not connect to the same address again
}

func (w *warmPort) heard(n news) {
	a := w.asked[n.of]
	switch {
	case n.err == nil:
		if w.count(isHeld) == 0 {
			w.first = time.Now()
			w.route = routeTo(n.at)
			w.quorum.Reset(quorumTime)
		}
		a.held, a.since = &n.answer, time.Now()
	case a.held != nil && time.Since(a.since) >= shortLived:
		w.log.Debug("observer has gone, and is asked anew", "observer", n.of, "err", n.err)
		delete(w.asked, n.of)
		w.backoff = 0
	default:
		w.log.Debug("observer failed", "observer", n.of, "err", n.err)
		a.held, a.err = nil, n.err
	}
	w.look()
}

// look makes the view of what is held.
func (w *warmPort) look() {
	var answers []answer
	for _, a := range w.asked {
		if a.held != nil {
			answers = append(answers, *a.held)
		}
	}
	var dissent error
	w.view, dissent = newView(answers)
	if dissent != nil && dissent.Error() != w.dissent {
		w.dissent = dissent.Error()
		w.log.Warn("reflexive addresses", "port", w.Number(), "err", dissent)
	}
}

// reply serves those who wait, if there is something to say.
func (w *warmPort) reply() {
	var r reply
	switch {
	case w.count(isHeld) == 0 && w.count(isAsking) == 0:
		r.err = w.failure()
		if len(w.asked) > 0 && w.retry == nil {
			w.backoff = min(max(2*w.backoff, retryMin), retryMax)
			w.retry = time.NewTimer(w.backoff)
		}
	case w.count(isAsking) > 0 && time.Since(w.first) < quorumTime:
		return
	case w.count(isHeld, isIPv4) > 0, w.count(isHeld) > 0 && w.count(isAsking, isIPv4) == 0:
		r.view = w.view
	default:
		return
	}
	for _, waiting := range w.waiting {
		waiting <- r
	}
	w.waiting = nil
}

func (w *warmPort) stopRetry() {
	if w.retry != nil {
		w.retry.Stop()
		w.retry = nil
	}
}

// cool lets go of everybody.
func (w *warmPort) cool() {
	w.turn.Stop()
	w.quorum.Stop()
	w.letGo()
	w.route = route{} // of no interest any more
	w.waiting = nil   // who asked has left
}

// letGo lets go of those who were asked, so that they can be asked anew.
func (w *warmPort) letGo() {
	w.stopRetry()
	w.backoff = 0
	for _, a := range w.asked {
		a.cancel()
	}
	for s := range w.asked {
		w.end(s)
	}
}

// count counts those of whom all is true.
func (w *warmPort) count(is ...func(source, *asked) bool) (n int) {
	for s, a := range w.asked {
		if !slices.ContainsFunc(is, func(is func(source, *asked) bool) bool { return !is(s, a) }) {
			n++
		}
	}
	return n
}

func isHeld(_ source, a *asked) bool   { return a.held != nil }
func isAsking(_ source, a *asked) bool { return a.held == nil && a.err == nil }
func isServer(s source, _ *asked) bool {
	_, ok := s.(stunServer)
	return ok
}

func isIPv4(s source, _ *asked) bool { return s.ipv4() }
