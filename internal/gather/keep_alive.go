package gather

import "time"

const (
	// keepAlive is how long the connection to an observer is idle before TCP sends a keep-alive, so
	// that the NAT does not forget it. NATs must keep an established connection for over two hours
	// (RFC 5382, REQ-5), and many forget after a minute or few. It is what Go has for all
	// connections.
	keepAlive = 15 * time.Second

	// minKeepAlive bounds how far keepAlive is halved for a NAT that forgets sooner. A keep-alive and
	// its acknowledgement take 104 bytes: every 5 s, for each of the usual three connections, that is
	// 5 MB a day. A phone's radio hardly sleeps then.
	minKeepAlive = 5 * time.Second

	// keepAliveProbes is how many keep-alives without an answer end a connection. They are a fifth of
	// keepAlive apart, so that it ends before a second one would have been due.
	keepAliveProbes = 3

	// fewKeepAlives is the number of keep-alives within which the end of a connection counts as the
	// NAT's: a connection that the NAT has forgotten ends at its first keep-alive. coturn ends each
	// connection after a minute, at the fourth.
	fewKeepAlives = 3
)

// keepAliveFor returns the keep-alive of the next connection to an observer: half of the last one's
// if that ended at one of its first keep-alives, for the NAT may have forgotten it.
func (p *warmPort) keepAliveFor(o Observer) time.Duration {
	now := p.g.epoch.keepAlive
	if before := p.broken[o]; before != nil {
		now = min(now, max((before.keepAlive/2).Truncate(time.Second), p.g.times.minKeepAlive))
	}
	return now
}

// broke takes the end of a connection that was held. It reports whether it is worth while to make
// another one at once. It is not if the NAT forgets a connection whatever is done: then Gather
// asks.
func (p *warmPort) broke(q *query) bool {
	lived := time.Since(q.since)
	atKeepAlive := lived >= q.keepAlive && lived < fewKeepAlives*q.keepAlive
	if atKeepAlive {
		p.broken[q.observer] = q
	}
	return lived >= shortLived && !(atKeepAlive && q.keepAlive <= p.g.times.minKeepAlive)
}

// checkMapping looks whether the NAT has forgotten a mapping although it was kept alive: the last
// connection to the observer ended at one of its first keep-alives, and the new one comes from
// another port. All new connections are kept alive more often then. Where each destination has a
// port of its own, every connection comes from another one, and that means nothing.
func (p *warmPort) checkMapping(q *query) {
	before := p.broken[q.observer]
	delete(p.broken, q.observer)
	if before == nil || before.reflexive.Addr() != q.reflexive.Addr() || before.reflexive == q.reflexive {
		return
	}
	e := p.g.epoch
	if q.keepAlive >= e.keepAlive || isDependent(p.view.mapping) || isDependent(e.behaviour.Mapping) {
		return
	}
	p.g.cfg.Log.Info("the NAT forgets idle connections: keep-alives are more frequent",
		"before", e.keepAlive, "now", q.keepAlive, "was", before.reflexive, "is", q.reflexive)
	e.keepAlive = q.keepAlive
}
