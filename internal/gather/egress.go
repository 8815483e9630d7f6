package gather

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// egressObservers is how many observers are tried at most until two of them agree: some are
	// next to the host, have gone, or have a port that is not let out itself.
	egressObservers = 4

	// egressNoStale is how old a No may become. It keeps the host from all its peers, and finding
	// it again costs some SYNs.
	egressNoStale = 5 * time.Minute
)

// errMoved is why a result from another network is not returned.
var errMoved = errors.New("the host has moved meanwhile")

// An egress is what was found of connections out of the host's network, at one time. It holds while
// the host sends from source to that remote address: connections need not show that it has moved.
type egress struct {
	remote netip.AddrPort
	source netip.Addr
	done   chan struct{} // closed when fact and err are set
	until  time.Time     // when that is to be looked for again; zero while it is being looked for
	fact   stun.Fact
	err    error
}

// Egress finds out whether connections of this host get out to any port in IPv4, as
// [stun.Discoverer.Egress] does, by observers that have answered. It takes two at different
// addresses for a No: the word of one alone is Unknown, with an error that matches
// [ErrUnconfirmed]. What is found holds for all attempts, and is part of their descriptions, while
// the host stays where it is: for half an hour, 5 minutes if it is No, or one if it is Unknown. The
// error matches [ErrNoRoute] if the host cannot send to any of the peer's addresses.
func (g *Gatherer) Egress(ctx context.Context, peer []netip.AddrPort) (stun.Fact, error) {
	if len(peer) > 0 && !slices.ContainsFunc(peer, g.hasRoute) {
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
	if e := epoch.egress; e != nil && (e.until.IsZero() || now.Before(e.until)) && g.holds(e) {
		return e
	}
	e := &egress{done: make(chan struct{})}
	observers := g.answered()
	if len(observers) == 0 {
		e.end(stun.Unknown, errors.New("no observer in IPv4 to try it with"))
		return e // and the next caller may have one
	}
	e.remote = observers[0]
	var err error
	if e.source, err = g.sourceAddr(e.remote); errors.Is(err, tcpport.ErrShort) {
		e.end(stun.Unknown, err)
		return e
	}
	epoch.egress = e
	g.running.Go(func() {
		fact, err := g.askEgress(epoch.ctx, observers)
		g.enqueue(func() {
			if epoch != g.epoch || !g.holds(e) {
				fact, err = stun.Unknown, errMoved
			}
			if fact == stun.No {
				g.cfg.Log.Warn("this host's network does not let connections out to any port: no direct connections from here", "err", err)
			}
			e.end(fact, err)
		})
	})
	return e
}

// askEgress tries it with observers at different addresses, one after another, until one says Yes
// or two say No. Either answer can be forged by the observer or caused by chance, and a wrong No
// does more harm.
func (g *Gatherer) askEgress(ctx context.Context, observers []netip.AddrPort) (fact stun.Fact, err error) {
	var refused error // why the first No
	var by netip.Addr // whose that was
	for _, o := range observers[:min(len(observers), egressObservers)] {
		if o.Addr() == by {
			continue
		}
		fact, err = g.testEgress(ctx, o)
		g.cfg.Log.Debug("looked whether connections get out to any port", "result", fact, "observer", o, "err", err)
		switch {
		case fact == stun.No && refused != nil:
			return stun.No, refused
		case fact == stun.No:
			refused, by = err, o.Addr()
		case fact == stun.Yes && refused == nil, ctx.Err() != nil:
			return fact, err
		case fact == stun.Yes:
			return stun.Unknown, fmt.Errorf("%w, and %s contradicts: %w", ErrUnconfirmed, o, refused)
		}
	}
	if refused != nil {
		return stun.Unknown, fmt.Errorf("%w: %w", ErrUnconfirmed, refused)
	}
	return stun.Unknown, err
}

// holds reports whether the host sends from where it did when e was found, as far as it has a
// socket to find out.
func (g *Gatherer) holds(e *egress) bool {
	source, err := g.sourceAddr(e.remote)
	return errors.Is(err, tcpport.ErrShort) || err == nil && source == e.source
}

// end sets what was found.
func (e *egress) end(fact stun.Fact, err error) {
	lasts := map[stun.Fact]time.Duration{stun.Unknown: searchRetry, stun.No: egressNoStale, stun.Yes: searchStale}
	e.fact, e.err, e.until = fact, err, time.Now().Add(lasts[fact])
	close(e.done)
}

// GotOut says that a connection of an attempt with description d has got out to a peer in IPv4,
// from one address to another: others do as well, unless the host has moved since.
func (g *Gatherer) GotOut(d *Description, local netip.Addr, remote netip.AddrPort) {
	g.enqueue(func() {
		found := &egress{remote: remote, source: local, done: make(chan struct{})}
		known := g.epoch.egress
		if d.epoch != g.epoch || !g.holds(found) || known != nil && known.until.IsZero() && g.holds(known) {
			return // or it will be found
		}
		g.epoch.egress = found
		found.end(stun.Yes, nil)
	})
}

// answered returns where observers have answered in IPv4, and then where the application has
// connections, each endpoint once, and none without a route.
func (g *Gatherer) answered() (all []netip.AddrPort) {
	add := func(remote netip.AddrPort) {
		if !slices.Contains(all, remote) && g.hasRoute(remote) {
			all = append(all, remote)
		}
	}
	for _, p := range g.ports {
		for _, q := range p.queries {
			if q.state == held && isIPv4(q.remote) {
				add(q.remote)
			}
		}
	}
	for _, c := range g.own.overTCP(true) {
		add(c.Server)
	}
	return all
}

// egressAt returns what is known of egress at a time.
func (g *Gatherer) egressAt(now time.Time) stun.Fact {
	e := g.epoch.egress
	if e == nil || !now.Before(e.until) || !g.holds(e) {
		return stun.Unknown
	}
	return e.fact
}
