package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// networkCheck is how often the Gatherer looks whether the host has moved to another network.
	// go-libp2p looks at the host's addresses as often.
	networkCheck = 5 * time.Second

	// poolTime is for how long, after a host was seen at another external address while it sent
	// from the same one as before, further addresses are not taken for other networks. A NAT with
	// several addresses may show another one to each connection, and some servers end theirs after
	// a minute (coturn). No host moves so often to networks in which it has the same address.
	poolTime = searchStale

	// searchStale is how old knowledge of the NAT may become before another search: a router is
	// rarely replaced, and a host that has moved begins another epoch. After a search that failed
	// the wait is searchFailed, doubling up to searchRetry: servers restart within seconds, and
	// behind a NAT whose ports have to be predicted no punch succeeds before a search has. After
	// an incomplete one it is searchPartial, doubling up to searchStale: some servers never do all
	// that they are asked, and ours connects back to an address no more than 30 times a minute.
	searchStale   = 30 * time.Minute
	searchRetry   = time.Minute
	searchFailed  = 2 * time.Second
	searchPartial = 15 * time.Second
)

// An epoch is the time that the host spends at one place in the network, and what was learned
// there about the NATs in front of it.
type epoch struct {
	ctx context.Context // of searches
	end context.CancelFunc

	keepAlive time.Duration // for new connections to observers

	behaviour stun.Behaviour
	egress    *egress        // nil if it was not looked for
	seen      netip.AddrPort // the first port, by one of Config.Observers, in IPv4
	preserved stun.Fact      // whether ports keep their numbers, as that showed
	addrs     []netip.Addr   // external addresses of the host when the behaviour was found
	searching bool           // for the behaviour
	completed time.Time      // when a search was complete; zero if none was
	search    time.Time      // when to search again
	wait      time.Duration  // until then, after failures
}

func newEpoch(parent context.Context, keepAlive time.Duration) *epoch {
	e := &epoch{keepAlive: keepAlive}
	e.ctx, e.end = context.WithCancel(parent)
	return e
}

// moved returns why the host may be at another place than when the epoch began, or "": it has
// slept, sends from another address, or is seen at another. Only this function decides so.
// Connections do not show a move for a long time: they hang.
func (g *Gatherer) moved(now time.Time) (why string) {
	first := g.ports[0]
	// An observer that is being asked again may yet confirm what is known.
	complete := !first.pending(now) || len(g.waiters) > 0 && first.settled(now)
	if complete && g.epoch.isElsewhere(first.view.reflexive) {
		source := first.source()
		if now.Before(g.pool) && source.IsValid() && source == g.poolSource {
			g.epoch.addAddrs(first.view.reflexive)
		} else {
			why, g.pool, g.poolSource = "it is seen at another address", now.Add(poolTime), source
		}
	}
	if !now.Before(g.check) {
		g.check, g.links = now.Add(g.times.networkCheck), g.listLinks()
		for _, p := range g.ports {
			for _, q := range p.queries {
				if q.state != held {
					continue
				}
				before := q.source
				source, err := g.sourceAddr(q.remote)
				if errors.Is(err, tcpport.ErrShort) {
					continue // the next check may show it
				}
				q.source = source
				if q.source != before && q.source.IsValid() { // or there is a route again
					why, g.pool = "it sends from another address", time.Time{}
				}
			}
		}
	}
	g.wakeAt(g.check)
	if g.slept() {
		why, g.pool = whySlept, time.Time{}
	}
	return why
}

const whySlept = "it has slept"

// slept reports whether step was not called for longer than NATs are known to keep an idle mapping.
// The process stood still, or the machine: in either case mappings may be gone. It uses the wall
// clock, because the monotonic clock stops with the machine on most systems. If a user sets the
// clock forward, the addresses are asked for once more, and what the application's own connections
// have shown does not count for doubtOwn.
func (g *Gatherer) slept() bool {
	before := g.looked
	g.looked = g.wall()
	return !before.IsZero() && g.looked.Sub(before) > g.times.networkCheck+g.epoch.keepAlive
}

// isElsewhere reports whether none of the reflexive IPv4 addresses is one of those where the
// behaviour was found.
func (e *epoch) isElsewhere(reflexive []netip.AddrPort) bool {
	elsewhere := false
	for _, a := range reflexive {
		if isIPv4(a) {
			if slices.Contains(e.addrs, a.Addr()) {
				return false
			}
			elsewhere = true
		}
	}
	return elsewhere && slices.ContainsFunc(e.addrs, netip.Addr.Is4)
}

func (e *epoch) addAddrs(reflexive []netip.AddrPort) {
	for _, a := range reflexive {
		e.addrs = append(e.addrs, a.Addr())
	}
}

// renew begins another epoch: all observers are asked again, and so are STUN servers about the
// NAT's behaviour.
func (g *Gatherer) renew(why string) {
	g.cfg.Log.Info("the host may be in another network: its addresses are asked for anew", "why", why, "before", g.epoch.addrs)
	g.epoch.end()
	g.epoch = newEpoch(g.ctx, g.times.keepAlive)
	g.dropOwn(why == whySlept)
	for _, p := range g.ports {
		p.reset()
	}
}

// search begins to search for the NAT's behaviour, unless that is under way or was done lately.
// Only STUN servers can help.
func (g *Gatherer) search(now time.Time) {
	e := g.epoch
	switch {
	case len(g.servers) == 0 || e.searching:
		return
	case now.Before(e.search):
		g.wakeAt(e.search)
		return
	}
	e.searching = true
	g.running.Go(func() {
		r, err := g.discover(e.ctx, g.cfg.Servers)
		if e.ctx.Err() != nil {
			return // no caller waits any more
		}
		if err != nil {
			r = new(stun.Report)
		}
		failed := err != nil
		if !failed && !r.Complete {
			err = errIncomplete
		}
		g.cfg.Log.Debug("search for the NAT's behaviour has ended", "behaviour", r.Behaviour, "err", err)
		found := make(chan stun.Behaviour, 1)
		g.enqueue(func() { found <- g.found(e, r, failed) })
		if known, ended := await(e.ctx, g, found); ended == nil {
			g.cfg.OnBehaviour(known, err)
		}
	})
}

// found takes the result of a search, of an epoch that may have ended meanwhile, and returns what
// is known then. An incomplete result does not replace a complete one that is less than an hour
// old.
func (g *Gatherer) found(e *epoch, r *stun.Report, failed bool) stun.Behaviour {
	e.searching = false
	now := time.Now()
	if failed {
		e.wait = min(max(2*e.wait, searchFailed), searchRetry)
		e.search = now.Add(e.wait)
		return e.behaviour
	}
	if r.Complete {
		e.completed = now
	}
	if r.Complete || now.Sub(e.completed) > 2*searchStale {
		e.behaviour = r.Behaviour
	}
	e.addrs = r.Addrs
	// A NAT with several addresses may have shown others in the search than the ports have. They
	// are no reason to believe that the host has moved.
	e.addAddrs(g.ports[0].view.reflexive)
	if r.Complete {
		e.wait, e.search = 0, now.Add(searchStale)
	} else {
		e.wait = min(max(2*e.wait, searchPartial), searchStale)
		e.search = now.Add(e.wait)
	}
	return e.behaviour
}

var errIncomplete = errors.New("the tests of the NAT's behaviour are incomplete: the STUN server did not do all of them in time")
