package gather

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// An egress is what was found of connections out of the host's network, at one time.
type egress struct {
	done  chan struct{} // closed when fact and err are set
	until time.Time     // when that is to be looked for again; zero while it is being looked for
	fact  stun.Fact
	err   error
}

// Egress finds out whether connections of this host get out to any port in IPv4, as
// [stun.Discoverer.Egress] does, by an observer that has answered. What is found holds for all
// attempts, and is part of their descriptions, for half an hour, or a minute if it is Unknown. The
// error matches [ErrNoRoute] if the host cannot send to any of the peer's addresses.
func (g *Gatherer) Egress(ctx context.Context, peer []netip.AddrPort) (stun.Fact, error) {
	hasRoute := func(p netip.AddrPort) bool { return g.sourceAddr(p).IsValid() }
	if len(peer) > 0 && !slices.ContainsFunc(peer, hasRoute) {
		return stun.Unknown, fmt.Errorf("%w: %v", ErrNoRoute, peer)
	}
	found := make(chan *egress, 1)
	g.enqueue(func() { found <- g.findEgress(time.Now()) })
	e, err := await(ctx, g, found)
	if err == nil {
		_, err = await(ctx, g, e.done)
	}
	if err != nil {
		return stun.Unknown, err
	}
	return e.fact, e.err
}

// await receives from c, unless ctx or the Gatherer ends before.
func await[T any](ctx context.Context, g *Gatherer, c <-chan T) (v T, err error) {
	select {
	case v = <-c:
	case <-ctx.Done():
		err = ctx.Err()
	case <-g.ctx.Done():
		err = ErrClosed
	}
	return v, err
}

// findEgress returns what was found in this epoch, or is being looked for from now on.
func (g *Gatherer) findEgress(now time.Time) *egress {
	epoch := g.epoch
	if e := epoch.egress; e != nil && (e.until.IsZero() || now.Before(e.until)) {
		return e
	}
	e := &egress{done: make(chan struct{})}
	epoch.egress = e
	observer := g.answered()
	if !observer.IsValid() {
		e.end(stun.Unknown, errors.New("no observer in IPv4 to try it with"))
		return e
	}
	g.running.Go(func() {
		fact, err := g.testEgress(epoch.ctx, observer)
		g.cfg.Log.Debug("looked whether connections get out to any port", "result", fact, "observer", observer, "err", err)
		if fact == stun.No {
			g.cfg.Log.Warn("this host's network does not let connections out to any port: no direct connections from here", "err", err)
		}
		g.enqueue(func() { e.end(fact, err) })
	})
	return e
}

// end sets what was found.
func (e *egress) end(fact stun.Fact, err error) {
	e.fact, e.err, e.until = fact, err, time.Now().Add(searchStale)
	if fact == stun.Unknown {
		e.until = time.Now().Add(searchRetry)
	}
	close(e.done)
}

// GotOut says that a connection to a peer's IPv4 address has come up: others get out as well.
func (g *Gatherer) GotOut() {
	g.enqueue(func() {
		if e := g.epoch.egress; e != nil && e.until.IsZero() {
			return // it will be found
		}
		g.epoch.egress = &egress{done: make(chan struct{})}
		g.epoch.egress.end(stun.Yes, nil)
	})
}

// answered returns where an observer has answered in IPv4, or else where the application has a
// connection.
func (g *Gatherer) answered() netip.AddrPort {
	for _, p := range g.ports {
		for _, q := range p.queries {
			if q.state == held && isIPv4(q.remote) {
				return q.remote
			}
		}
	}
	if own := g.own.overTCP(true); len(own) > 0 {
		return own[0].Server
	}
	return netip.AddrPort{}
}

// egressAt returns what is known of egress at a time.
func (e *epoch) egressAt(now time.Time) stun.Fact {
	if e.egress == nil || !now.Before(e.egress.until) {
		return stun.Unknown
	}
	return e.egress.fact
}
