package gather

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

const (
	// askTimeout bounds the wait for an answer: a SYN that is lost twice is answered within it, and
	// a responder can still refuse before the initiator has waited for 5 s.
	askTimeout = 4 * time.Second

	// headStart is how long STUN servers are asked alone, before other observers are asked in their
	// place, which have the rest of askTimeout. A server that has not answered by then has lost a
	// SYN at least.
	headStart = 1500 * time.Millisecond

	// quorumWait is how long the first answer waits for the others: two show whether the mapping
	// depends on the destination, and three outvote one that lies. It is more than the differences
	// between servers nearby, and little against what a wrong address costs.
	quorumWait = 100 * time.Millisecond

	// While no STUN server answers, and without servers no observer, those that have failed are
	// asked again after retryMin, doubling up to retryMax. An observer that hangs up within
	// shortLived (coturn --stun-only: 3 s) has failed, too. Gather asks them at once if none
	// answers.
	retryMin   = time.Second
	retryMax   = time.Minute
	shortLived = minKeepAlive
)

// A warmPort is a local port and what observers report of it. The connections to those that have
// answered are held while the port is in use: closing one may close the NAT's mapping with it.
//
// STUN servers are asked side by side. Other observers are asked while no server answers, and what
// the application's own connections show counts: at once if no server is configured, or when all
// have failed, or have had their head start.
//
// All is done by the Gatherer's goroutine, apart from the calls of Observe.
type warmPort struct {
	*tcpport.Port
	g       *Gatherer
	servers []Observer

	queries map[Observer]*query
	broken  map[Observer]*query // that ended at one of their first keep-alives, until they answer again
	alone   time.Time           // until when the servers are asked alone
	first   time.Time           // when the first of the held observers answered
	retry   time.Time           // when those that failed are asked again; zero for never
	backoff time.Duration
	inPlace bool // no server answers: others are asked in their place
	view    view // of the held observers, and in place of servers of the application's connections
	dissent string
}

func (p *warmPort) count(is func(*query) bool) (n int) {
	for _, q := range p.queries {
		if is(q) {
			n++
		}
	}
	return n
}

// pending reports whether any query is pending.
func (p *warmPort) pending(now time.Time) bool {
	return p.count(func(q *query) bool { return q.isPending(now) }) > 0
}

// ask asks the observers whose turn it is and that were not asked yet.
func (p *warmPort) ask(now time.Time) {
	if !p.retry.IsZero() && !now.Before(p.retry) {
		p.forgetFailed()
	}
	for _, s := range p.servers {
		if p.queries[s] == nil {
			p.begin(s, true, now.Add(askTimeout))
			p.alone = now.Add(headStart)
		}
	}
	serverIs := func(s queryState) bool {
		return p.count(func(q *query) bool { return q.server && q.state == s }) > 0
	}
	for _, q := range p.queries {
		if q.state == asking && !q.isPending(now) {
			p.fail(q, fmt.Errorf("%s has not answered: %w", q.observer, context.DeadlineExceeded))
			q.cancel()
		}
	}
	isAlone := serverIs(asking) && now.Before(p.alone)
	if isAlone {
		p.g.wakeAt(p.alone)
	}
	// One that is closing is asked again, or another server in its place.
	p.inPlace = !isAlone && !serverIs(held) && !serverIs(closing)
	if p.inPlace {
		p.askOthers(now)
	} else {
		p.endOthers(now)
	}
	p.look()
	for _, q := range p.queries {
		if q.isPending(now) {
			p.g.wakeAt(q.due)
		}
	}
	answered := p.count(isHeld) > 0
	if len(p.servers) > 0 { // the others are only in their place
		answered = serverIs(held)
	}
	if len(p.queries) > 0 && !answered && !p.pending(now) && p.retry.IsZero() {
		p.backoff = min(max(2*p.backoff, retryMin), retryMax)
		p.retry = now.Add(p.backoff)
	}
	if !p.retry.IsZero() {
		p.g.wakeAt(p.retry)
	}
}

// begin asks an observer, which has until due to answer.
func (p *warmPort) begin(o Observer, server bool, due time.Time) {
	ctx, cancel := context.WithCancel(p.g.ctx)
	q := &query{observer: o, server: server, cancel: cancel, due: due, keepAlive: p.keepAliveFor(o)}
	var local atomic.Value // a netip.Addr, of the connection
	d := observerDialer{p.Port, q.keepAlive, func(a netip.Addr) { local.Store(a) }}
	p.queries[o] = q
	p.g.running.Go(func() {
		defer cancel()
		var once sync.Once
		err := o.Observe(ctx, d, func(remote, reflexive netip.AddrPort) {
			from, _ := local.Load().(netip.Addr)
			a := answer{o.String(), unmap(remote), unmap(reflexive), from}
			if a.remote.IsValid() && ipaddr.IsHost(a.reflexive.Addr()) && a.reflexive.Port() > 0 {
				once.Do(func() { p.g.enqueue(func() { p.answered(q, a) }) })
			}
		})
		p.g.enqueue(func() { p.ended(q, err) })
	})
}

// answered takes an answer. The connection is held from now on.
func (p *warmPort) answered(q *query, a answer) {
	if q.state != asking { // it is too late
		return
	}
	if !q.server {
		if err := p.g.contradiction(a); err != nil {
			p.fail(q, err)
			q.cancel()
			return
		}
		p.g.learnSeen(a)
	}
	now := time.Now()
	if p.count(isHeld) == 0 {
		p.first = now
	}
	q.state, q.answer, q.since = held, a, now
	var err error
	if q.source, err = p.g.sourceAddr(a.remote); errors.Is(err, tcpport.ErrShort) {
		q.source = a.local
	}
	p.g.cfg.OnAsked(q.observer, q.server, nil)
	p.g.cfg.OnHeld(1)
	p.look()
	p.checkMapping(q)
}

// ended takes the end of a call of Observe, which has closed its connection.
func (p *warmPort) ended(q *query, err error) {
	p.g.cfg.Log.Debug("observer has ended", "observer", q.observer, "port", p.Number(), "err", err)
	if err == nil {
		err = fmt.Errorf("%s has hung up", q.observer)
	}
	q.ended = true
	switch q.state {
	case asking:
		p.fail(q, err)
	case held:
		p.g.cfg.OnHeld(-1)
		if q.state, q.err = failed, err; p.broke(q) {
			p.end(q)
			p.backoff = 0
		}
	case closing:
		delete(p.queries, q.observer)
	}
	p.look()
}

// fail has an observer that has not answered left alone for a while.
func (p *warmPort) fail(q *query, err error) {
	q.state, q.err = failed, err
	p.g.cfg.OnAsked(q.observer, q.server, err)
}

// end makes an observer be asked again as soon as its connection is closed, if it still is to be
// asked.
func (p *warmPort) end(q *query) {
	switch {
	case q.ended:
		delete(p.queries, q.observer)
	case q.state != closing:
		if q.state == held {
			p.g.cfg.OnHeld(-1)
		}
		q.state, q.due = closing, time.Now().Add(gatherTimeout)
		q.cancel()
	}
}

// reset ends all queries.
func (p *warmPort) reset() {
	for _, q := range p.queries {
		p.end(q)
	}
	clear(p.broken)
	p.retry, p.backoff = time.Time{}, 0
	p.look()
}

// chooseServer chooses the one STUN server of a port that is not the first: at random at first, and
// the next in the list at each further call.
func (p *warmPort) chooseServer() {
	all := p.g.servers
	switch n := len(all); {
	case n == 0:
	case len(p.servers) == 0:
		p.servers = []Observer{all[rand.IntN(n)]}
	default:
		next := 1 + slices.Index(all, p.servers[0])
		p.servers = []Observer{all[next%n]}
	}
}

// forgetFailed makes the observers that failed be asked again, or another server if the port has
// one alone.
func (p *warmPort) forgetFailed() {
	p.retry = time.Time{}
	for _, q := range p.queries {
		if q.state != failed {
			continue
		}
		if q.server && p != p.g.ports[0] {
			p.chooseServer()
		}
		p.end(q)
	}
}

// look makes the view of what the held observers report.
func (p *warmPort) look() {
	var answers []answer
	for _, q := range p.queries {
		if q.state == held {
			answers = append(answers, q.answer)
		}
	}
	var dissent error
	p.view, dissent = newView(answers)
	if p.inPlace {
		p.view = p.view.with(p.unasked(true)).with(p.unasked(false))
	}
	if dissent != nil && dissent.Error() != p.dissent {
		p.dissent = dissent.Error()
		p.g.cfg.Log.Warn("observers disagree about reflexive addresses", "port", p.Number(), "err", dissent)
	}
}

// unasked returns where the application's own connections show the port, in IPv4 or IPv6. Where an
// observer has reported it, they still count for other external addresses: one of the two may lie,
// or the NAT use several.
func (p *warmPort) unasked(ipv4 bool) view {
	if p.count(func(q *query) bool { return isHeld(q) && isIPv4(q.reflexive) == ipv4 }) > 0 {
		return p.g.numbered(p.Number(), p.g.own.overTCP(ipv4))
	}
	return p.g.predict(p.Number(), ipv4)
}

// settled reports whether no more answers are worth waiting for: all are there, or the first one
// was there for a while, and one in IPv4 unless none is to come.
func (p *warmPort) settled(now time.Time) bool {
	quorum := p.first.Add(quorumWait)
	has4 := slices.ContainsFunc(p.view.reflexive, isIPv4)
	pending4 := !has4 && p.count(func(q *query) bool { return q.isPending(now) && q.observer.IPv4() }) > 0
	switch {
	case !p.pending(now):
		return true
	case p.count(isHeld) == 0:
		return len(p.view.reflexive) > 0 && !pending4 // what the own connections show
	case now.Before(quorum):
		p.g.wakeAt(quorum)
		return false
	default:
		return !pending4
	}
}

// source returns the address from which the host sends to the observers in IPv4.
func (p *warmPort) source() netip.Addr {
	for _, q := range p.queries {
		if q.state == held && isIPv4(q.reflexive) {
			return q.source
		}
	}
	return netip.Addr{}
}

// failure returns why no observer has reported the port's address.
func (p *warmPort) failure() error {
	var errs []error
	for _, q := range p.queries {
		err := q.err
		if err == nil {
			err = fmt.Errorf("%s has not answered yet", q.observer)
		}
		errs = append(errs, err)
	}
	return failure(errs)
}
