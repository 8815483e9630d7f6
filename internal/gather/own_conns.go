package gather

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// ownConns is what the connections that the application has anyway show: the host's external
// addresses, whether its NATs preserve port numbers, and how they map one port towards several
// destinations. It needs no further connection.
type ownConns struct {
	agreed  []stun.ObservedConn // those whose other ends agree with most on the external address
	mapping stun.Mapping        // in IPv4
	punched []stun.ObservedConn // to peers, which may be strangers
}

// newOwnConns returns what connections show. Punched ones have no vote on the external address.
func newOwnConns(conns, punched []stun.ObservedConn) ownConns {
	var answers []answer
	for _, c := range conns {
		answers = append(answers, answer{observer: observerName(c), remote: unmap(c.Server), reflexive: unmap(c.Mapped)})
	}
	v, _ := newView(answers)
	own := ownConns{punched: punched}
	byPort := make(map[netip.AddrPort][]stun.ObservedConn)
	for _, c := range conns {
		c = stun.ObservedConn{Local: unmap(c.Local), Server: unmap(c.Server), Mapped: unmap(c.Mapped)}
		if !slices.Contains(v.reflexive, c.Mapped) {
			continue
		}
		own.agreed = append(own.agreed, c)
		if isIPv4(c.Mapped) && isTCP(c) {
			byPort[c.Local] = append(byPort[c.Local], c)
		}
	}
	for _, seen := range byPort {
		if m := stun.InferMapping(seen); m != stun.MappingUnknown && !isDependent(own.mapping) {
			own.mapping = m
		}
	}
	return own
}

// observerName names the other end of a connection, which has one vote, whatever its ports.
func observerName(c stun.ObservedConn) string { return unmap(c.Server).Addr().String() }

// isTCP reports whether a connection is not over UDP; see [Gatherer.SetConns]. A carrier may map
// TCP to other addresses than UDP.
func isTCP(c stun.ObservedConn) bool { return !c.Local.Addr().IsUnspecified() }

// in returns the connections in IPv4 or IPv6.
func (o ownConns) in(ipv4 bool) []stun.ObservedConn {
	return slices.DeleteFunc(slices.Clone(o.agreed), func(c stun.ObservedConn) bool { return isIPv4(c.Mapped) != ipv4 })
}

// overTCP returns those over TCP in IPv4 or IPv6.
func (o ownConns) overTCP(ipv4 bool) []stun.ObservedConn {
	return slices.DeleteFunc(o.in(ipv4), func(c stun.ObservedConn) bool { return !isTCP(c) })
}

// SetConns sets the application's own connections and those that it has punched. Config.Observers
// may return other observers after the call. Peers of punched connections have no vote on the
// host's external address: they only confirm that a port's mapping is kept. A connection over UDP
// must have an unspecified local address: it counts if there is no better observer, and as far as
// an observer over TCP has confirmed it. SetConns does not block.
func (g *Gatherer) SetConns(own, punched []stun.ObservedConn) {
	g.enqueue(func() {
		g.own, g.stale = newOwnConns(own, punched), true
		g.doubtedOwn, g.trustOwn = ownConns{}, time.Time{}
	})
}

// doubtOwn is for how long the application's own connections do not count after the host has slept.
// Those that are dead have ended by then, which the application reports: go-libp2p's muxer asks
// after 30 s whether the other end is there, and waits for 10 s.
const doubtOwn = time.Minute

// dropOwn has the application's own connections not count: for doubtOwn if the host has slept, and
// otherwise, being another network's, until the application reports others.
func (g *Gatherer) dropOwn(slept bool) {
	if !slept {
		g.own, g.doubtedOwn, g.trustOwn = ownConns{}, ownConns{}, time.Time{}
		return
	}
	if g.trustOwn.IsZero() { // else they are in doubt already
		g.own, g.doubtedOwn = ownConns{}, g.own
	}
	g.trustOwn = time.Now().Add(doubtOwn)
	g.wakeAt(g.trustOwn)
}

// restoreOwn has the application's own connections count again after doubtOwn, unless SetConns has
// replaced them before.
func (g *Gatherer) restoreOwn(now time.Time) {
	switch {
	case g.trustOwn.IsZero():
	case now.Before(g.trustOwn):
		g.wakeAt(g.trustOwn)
	default:
		g.own, g.stale = g.doubtedOwn, true
		g.doubtedOwn, g.trustOwn = ownConns{}, time.Time{}
	}
}

// preserved returns whether the NATs preserve port numbers in IPv4, if an observer has shown it
// at the external address that the host has now.
func (g *Gatherer) preserved() stun.Fact {
	own := g.own.in(true)
	here := func(c stun.ObservedConn) bool { return c.Mapped.Addr() == g.epoch.seen.Addr() }
	if len(own) > 0 && !slices.ContainsFunc(own, here) {
		return stun.Unknown
	}
	return g.epoch.preserved
}

// preserving returns the connections that suggest that the NATs preserve port numbers. An
// observer of a punching port has shown it; or else the numbers of the connections' own ports were
// kept, for which there may be other reasons: a router may forward the port that they come from.
// Others that were not are no reason to doubt it: two hosts of a household that use one port cannot
// both keep it.
func (g *Gatherer) preserving(ipv4 bool) []stun.ObservedConn {
	switch {
	case ipv4 && g.preserved() == stun.Yes:
		return g.own.in(ipv4)
	case ipv4 && g.preserved() == stun.No:
		return nil
	}
	return slices.DeleteFunc(g.own.overTCP(ipv4), func(c stun.ObservedConn) bool { return c.Local.Port() != c.Mapped.Port() })
}

// predict returns where a port is seen as far as that is known without asking, in IPv4 or IPv6:
// where an observer has seen it, while the NATs keep that mapping for a connection to a peer; or at
// the host's external addresses with its own number, if the NATs keep that. If they are known to
// give every destination another port, the address is all that an observer could report as well.
func (g *Gatherer) predict(port uint16, ipv4 bool) view {
	hasMapping := func(c stun.ObservedConn) bool { return c.Local.Port() == port && unmap(c.Mapped) == g.epoch.seen }
	if ipv4 && slices.ContainsFunc(g.own.punched, hasMapping) {
		return view{reflexive: []netip.AddrPort{g.epoch.seen}, mapping: g.own.mapping}
	}
	if ipv4 && isDependent(g.own.mapping) {
		return g.guess(port, ipv4)
	}
	answers := g.preserving(ipv4)
	if ipv4 && g.preserved() == stun.Yes {
		answers = append(answers, g.held(ipv4)...)
	}
	v := g.numbered(port, answers)
	if v.mapping == stun.MappingUnknown && ipv4 {
		v.mapping = g.own.mapping
	}
	return v
}

// guess returns where the port is seen if the NATs keep its number, and how they map ports.
func (g *Gatherer) guess(port uint16, ipv4 bool) view {
	v := g.numbered(port, g.own.in(ipv4))
	if v.mapping = stun.MappingUnknown; ipv4 {
		v.mapping = g.own.mapping
	}
	return v
}

// held returns what observers of the first port report that hold their connections.
func (g *Gatherer) held(ipv4 bool) (held []stun.ObservedConn) {
	for _, q := range g.ports[0].queries {
		if isHeld(q) && isIPv4(q.reflexive) == ipv4 {
			held = append(held, stun.ObservedConn{Server: q.remote, Mapped: q.reflexive})
		}
	}
	return held
}

// numbered returns the external addresses that connections show, with a port's number.
func (g *Gatherer) numbered(port uint16, conns []stun.ObservedConn) view {
	var answers []answer
	for _, c := range conns {
		answers = append(answers, answer{observerName(c), c.Server, netip.AddrPortFrom(c.Mapped.Addr(), port), c.Local.Addr()})
	}
	v, _ := newView(answers)
	return v
}

// learnSeen records where an observer sees the first port, for which it is asked, and whether it
// was expected there.
func (g *Gatherer) learnSeen(a answer) {
	if !isIPv4(a.reflexive) {
		return
	}
	g.epoch.seen, g.epoch.preserved = a.reflexive, stun.No
	if slices.Contains(g.guess(g.ports[0].Number(), true).reflexive, a.reflexive) || len(g.own.in(true)) == 0 && a.reflexive.Port() == g.ports[0].Number() {
		g.epoch.preserved = stun.Yes
	}
}

// contradiction returns an error if most of the application's connections show that an observer
// does not see the host at its address.
func (g *Gatherer) contradiction(a answer) error {
	seen := []stun.Observed{{Observer: a.observer, Mapped: a.reflexive}}
	for _, c := range g.own.overTCP(isIPv4(a.reflexive)) {
		if c.Server.Addr() != a.remote.Addr() { // which has one vote
			seen = append(seen, stun.Observed{Observer: observerName(c), Mapped: c.Mapped})
		}
	}
	if agreed, _ := stun.Agree(seen); !slices.Contains(agreed, a.reflexive) {
		return fmt.Errorf("%w: %s reports %s, and most peers %s", stun.ErrDissent, a.observer, a.reflexive.Addr(), agreed[0].Addr())
	}
	return nil
}
