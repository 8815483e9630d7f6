package gather

import (
	"maps"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// linger is for how long Config.Observers are still asked, or held, after an attempt, and when one
// is likely. A relay of go-libp2p's lets in one connection in 5 s from an IP address that has made
// many, so hanging up and coming back sooner would cost the host's neighbours more than staying.
const linger = 5 * time.Second

// Prepare asks for what an attempt has to know, since one is likely to begin within seconds. It
// does not block.
func (g *Gatherer) Prepare() {
	g.enqueue(func() { g.likely, g.stale = time.Now().Add(linger), true })
}

// Asks reports whether a call of Gather would now connect to one of Config.Observers.
func (g *Gatherer) Asks() bool {
	var asks bool
	done := g.call(func() {
		if g.openPorts() != nil {
			return
		}
		first := g.ports[0]
		asks = (len(g.servers) == 0 || first.inPlace) && first.count(isHeld) == 0 && g.wants(true) == wantsAnswer
	})
	return done && asks
}

// A want is what an observer is of use for.
type want uint8

const (
	wantsNothing want = iota
	wantsCheck        // of what is believed already, once in an epoch
	wantsAnswer
)

// wants returns what observers in IPv4 or IPv6 are of use for.
func (g *Gatherer) wants(ipv4 bool) want {
	translated := func(c stun.ObservedConn) bool { return c.Local != c.Mapped }
	switch {
	case len(g.predict(g.ports[0].Number(), ipv4).reflexive) == 0:
		return wantsAnswer
	case ipv4 && g.preserved() == stun.Unknown && !isDependent(g.own.mapping) && slices.ContainsFunc(g.own.overTCP(ipv4), translated):
		return wantsCheck
	default:
		return wantsNothing
	}
}

// askOthers asks Config.Observers in place of STUN servers. Each is a peer with other things to do,
// and may let few connections in from one IP address, which the host's neighbours share. So they
// are asked one after another and for the first port alone, until one has answered; only if the
// application's own connections do not show the same; and only while there is an attempt, or one is
// likely.
func (p *warmPort) askOthers(now time.Time) {
	g := p.g
	if p != g.ports[0] {
		return
	}
	wanted := func(ipv4 bool) bool {
		w := g.wants(ipv4)
		return g.uses > 0 && w != wantsNothing || now.Before(g.likely) && w == wantsAnswer
	}
	isOther := func(q *query) bool { return !q.server }
	switch asking := wanted(true) || wanted(false); {
	case asking && g.stale:
		g.others, g.stale = g.cfg.Observers(p.Number()), false
		maps.DeleteFunc(p.broken, func(o Observer, _ *query) bool {
			return !slices.Contains(p.servers, o) && !slices.Contains(g.others, o)
		})
	case !asking && g.uses == 0:
		g.others, g.stale = nil, true // a held connection is for the attempt that has asked for it
	}
	for o, q := range p.queries {
		if isOther(q) && !slices.Contains(g.others, o) {
			p.end(q)
		}
	}
	if now.Before(g.likely) {
		g.wakeAt(g.likely)
	}
	if p.count(func(q *query) bool { return isOther(q) && (isHeld(q) || q.isPending(now)) }) > 0 {
		return // one at a time
	}
	for _, ipv4 := range []bool{true, false} { // peers are more often reached in IPv4
		for i, o := range g.others {
			if p.queries[o] != nil || o.IPv4() != ipv4 || !wanted(ipv4) {
				continue
			}
			due := askTimeout
			if len(p.servers) > 0 || i < len(g.others)-1 {
				due = headStart // the next one is to have the time, too
			}
			p.begin(o, false, now.Add(due))
			return
		}
	}
}

// endOthers ends what was asked in place of STUN servers, of which one answers now or may yet, as
// soon as no attempt needs it.
func (p *warmPort) endOthers(now time.Time) {
	g := p.g
	for _, q := range p.queries {
		switch {
		case q.server:
		case now.Before(g.likely):
			g.wakeAt(g.likely)
		case g.uses == 0:
			p.end(q)
		}
	}
}
