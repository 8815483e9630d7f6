package gather

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// gatherTimeout is how long it may take to know what to send to the peer, predicted ports
	// included. The peer waits for 5 s.
	gatherTimeout = 4500 * time.Millisecond

	// secondPortWait is how long it may take to learn where the second port is, after the first:
	// nothing if it is warm, and otherwise the attempt does without it.
	secondPortWait = 20 * time.Millisecond

	// searchWait is how long an attempt waits for a search for the NAT's behaviour where the first
	// port has shown that the behaviour matters. The peer waits for 5 s.
	searchWait = 3 * time.Second
)

// Options are the wishes of one attempt.
type Options struct {
	// Fresh asks for ports that were not used before, where their external addresses are known.
	Fresh bool
	// Filter returns those of the addresses that may be disclosed to the peer; nil for all.
	Filter func([]netip.AddrPort) []netip.AddrPort
	// Listeners are public addresses at which the application accepts its ordinary connections.
	Listeners []netip.AddrPort
	// Spend is called before a SYN is sent to a STUN server for the attempt's sake; nil for none.
	Spend func(ctx context.Context) error
}

// A Description is what one round of an attempt needs: the ports to punch from, and what is sent to
// the peer.
type Description struct {
	Ports      []*tcpport.Port // their connects in IPv6 leave from the address that is named
	Candidates []punch.Candidate
	Behaviour  stun.Behaviour
	Links      []netip.Prefix // the addresses of the host's interfaces, with their prefixes

	// Preserved reports that Options.Fresh has an effect: the NATs keep the numbers of ports.
	Preserved bool

	// Doubt is why the first port's reflexive candidates are not certain: no observer has reported
	// them, and they are right if the NATs keep the port's number. Nil if they are known.
	Doubt error

	// Following reports that Candidates lacks predicted ones, which Predict returns. Until then its
	// IPv4 reflexive candidate says where the host is, and is not to be connected to.
	Following bool

	epoch       *epoch // that it describes
	filter      func([]netip.AddrPort) []netip.AddrPort
	lastMapping func(context.Context) (netip.AddrPort, error) // by the NAT; nil unless Following
	release     func()
}

// Gather describes the host for one round, within 4.5 s: at once if its ports are warm. Release
// must be called. Errors match [ErrNoAddress], [ErrClosed], [tcpport.ErrShort] or ctx's, and
// [ErrFiltered] if Options.Filter left no address.
//
// The host nearly always punches from its first port, at its reflexive addresses, and from the
// second one beside it. Behind a NAT that gives every destination a port of its own these addresses
// are of no use to the peer, unless the filter lets anybody in. If the port towards the peer can be
// predicted, the host punches from a fresh local port, which has no mapping yet: the NAT will
// preserve its number, or give it the next port in sequence, which Predict finds out.
//
// With Options.Fresh the host also punches from fresh local ports where NATs map
// endpoint-independently and preserve numbers. A NAT that keeps a session after refusing has none
// for these.
func (g *Gatherer) Gather(ctx context.Context, o Options) (*Description, error) {
	until := time.Now().Add(gatherTimeout)
	s, release, err := g.acquire(ctx, until)
	if err != nil {
		return nil, err
	}
	preserved := s.preserved()
	if o.Fresh && preserved {
		s, release = g.onFreshPorts(s, release)
	}
	first := s.ports[0]
	d := &Description{
		Ports: []*tcpport.Port{first.Port}, Behaviour: s.behaviour, Links: s.links, Doubt: s.doubt, Preserved: preserved,
		epoch: s.epoch, filter: o.Filter, release: release,
	}
	fresh := PredictsPort(s.behaviour) && slices.ContainsFunc(first.reflexive, isIPv4)
	if fresh {
		port, err := g.openPort()
		if err != nil {
			release()
			return nil, err
		}
		d.Ports[0] = port
		d.release = sync.OnceFunc(func() {
			port.Close()
			release()
		})
	}
	ipv6, _ := g.publicIPv6()
	d.Candidates = candidates(s, d.Ports[0].Number(), fresh, ipv6, o)
	if len(d.Candidates) == 0 {
		d.Release()
		return nil, ErrFiltered
	}
	if slices.ContainsFunc(d.Candidates, func(c punch.Candidate) bool { return c.Port == 1 }) {
		d.Ports = append(d.Ports, s.ports[1].Port)
	}
	if !fresh && s.local6.IsValid() {
		ipv6 = s.local6 // of the one that is named
	}
	for i, p := range d.Ports {
		d.Ports[i] = p.ConnectingFrom(ipv6)
	}
	if fresh && s.behaviour.Ports == stun.Sequential {
		d.Following = true
		d.lastMapping = func(ctx context.Context) (netip.AddrPort, error) {
			ctx, cancel := context.WithDeadline(ctx, until)
			defer cancel()
			return g.lastMapping(ctx, externalAddrs(s), o)
		}
	}
	return d, nil
}

// preserved reports whether a fresh port is known to be seen by its own number: as far as one port
// shows, the same for all destinations.
func (s *snapshot) preserved() bool {
	first := s.ports[0]
	keeps := func(a netip.AddrPort) bool { return isIPv4(a) && a.Port() == first.Number() }
	return !isDependent(s.behaviour.Mapping) && slices.ContainsFunc(first.reflexive, isIPv4) &&
		(s.behaviour.Ports == stun.Preserved || s.behaviour.Ports == stun.PortsUnknown && slices.ContainsFunc(first.reflexive, keeps))
}

// onFreshPorts returns a snapshot with as many ports that were not used before, which release
// closes. The snapshot stays as it is if there is no socket for them.
func (g *Gatherer) onFreshPorts(s snapshot, release func()) (snapshot, func()) {
	var fresh []observedPort
	for range s.ports {
		port, err := g.openPort()
		if err != nil {
			break // one will do
		}
		var seen []netip.AddrPort
		for _, a := range externalAddrs(s) {
			seen = append(seen, netip.AddrPortFrom(a, port.Number()))
		}
		fresh = append(fresh, observedPort{port, seen})
	}
	if len(fresh) == 0 {
		return s, release
	}
	s.ports, s.local6 = fresh, netip.Addr{}
	return s, sync.OnceFunc(func() {
		for _, p := range fresh {
			p.Close()
		}
		release()
	})
}

// Release gives the ports back, after Predict has returned. It may be called more than once.
func (d *Description) Release() { d.release() }

// A snapshot is what is known at one time. It does not change.
type snapshot struct {
	ports     []observedPort // the first one first
	behaviour stun.Behaviour // of the NATs in front of the host, as far as it is known
	links     []netip.Prefix
	addrs     []netip.Addr // external addresses that the host had while it was here, perhaps not all
	local6    netip.Addr   // from which observers were asked in IPv6; invalid if none was
	doubt     error        // of the first port's addresses
	epoch     *epoch
}

// An observedPort is a local port and its reflexive addresses, one at least, each once, IPv4 before
// IPv6.
type observedPort struct {
	*tcpport.Port
	reflexive []netip.AddrPort
}

// A waiter is a call of Gather that waits for a snapshot, or for why there is none.
type waiter struct {
	until time.Time     // when it takes what there is
	known time.Time     // when the first port's address was known
	done  chan struct{} // closed when the following are set
	snapshot
	err error
}

// acquire returns what is known, at once if the ports are warm and by until at the latest. The
// connections to observers are held until release is called.
func (g *Gatherer) acquire(ctx context.Context, until time.Time) (_ snapshot, release func(), err error) {
	w := &waiter{until: until, done: make(chan struct{})}
	g.enqueue(func() {
		if g.uses++; g.uses == 1 {
			g.stale = true
		}
		g.waiters = append(g.waiters, w)
		g.askFailed()
	})
	release = sync.OnceFunc(func() {
		g.enqueue(func() {
			g.uses--
			g.likely = time.Now().Add(linger) // the next round, or another peer
			g.waiters = slices.DeleteFunc(g.waiters, func(o *waiter) bool { return o == w })
		})
	})
	select {
	case <-w.done:
		err = w.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-g.ctx.Done():
		err = ErrClosed
	}
	if err != nil {
		release()
		return snapshot{}, nil, err
	}
	return w.snapshot, release, nil
}

// waits reports whether w is better served later.
func (g *Gatherer) waits(w *waiter, now time.Time) bool {
	first := g.ports[0]
	settled := first.settled(now)
	if settled && w.known.IsZero() {
		w.known = now
	}
	var until time.Time
	switch {
	case !settled:
		until = w.until
	case isDependent(first.view.mapping) && g.epoch.searching && g.epoch.behaviour == (stun.Behaviour{}):
		until = w.known.Add(searchWait)
	case len(first.view.reflexive) > 0 && len(g.ports) > 1 && !g.ports[1].settled(now):
		until = w.known.Add(secondPortWait)
	}
	if w.until.Before(until) {
		until = w.until
	}
	if !now.Before(until) {
		return false
	}
	g.wakeAt(until)
	return true
}

// serve gives a waiter what is known, or an error.
func (g *Gatherer) serve(w *waiter, err error) {
	defer close(w.done)
	if w.err = err; err != nil {
		return
	}
	first := g.ports[0].view
	if g.ports[0].inPlace && !slices.ContainsFunc(first.reflexive, isIPv4) {
		first = first.with(g.guess(g.ports[0].Number(), true))
	}
	if len(first.reflexive) > len(g.ports[0].view.reflexive) {
		w.doubt = g.ports[0].failure()
	} else if len(first.reflexive) == 0 {
		w.err = g.ports[0].failure()
		return
	}
	for i, p := range g.ports {
		switch {
		case i == 0:
			w.ports = append(w.ports, observedPort{p.Port, first.reflexive})
		case len(p.view.reflexive) > 0:
			w.ports = append(w.ports, observedPort{p.Port, p.view.reflexive})
		}
	}
	w.epoch, w.behaviour, w.links, w.addrs = g.epoch, g.behaviour(first), g.links, slices.Clone(g.epoch.addrs)
	w.local6 = g.ports[0].view.local6
}

// behaviour returns what is known of the NATs in front of the host, with the view of the first
// port. The port itself shows better than the search whether its mapping is endpoint-independent.
func (g *Gatherer) behaviour(first view) stun.Behaviour {
	b := g.epoch.behaviour
	if first.mapping == stun.EIM || b.Mapping == stun.MappingUnknown {
		b.Mapping = first.mapping
	}
	if b.Egress = g.egressAt(time.Now()); b.Egress == stun.No {
		b.BareSYN = stun.Unknown // to test it took a SYN that did not get out
	}
	return b
}

// BehaviourSince returns what is known by now of the NATs that d describes. It is d.Behaviour if
// the host has moved, or the Gatherer is closed.
func (g *Gatherer) BehaviourSince(d *Description) stun.Behaviour {
	var now stun.Behaviour
	var same bool
	if g.call(func() {
		if same = d.epoch == g.epoch && len(g.ports) > 0; same {
			now = g.behaviour(g.ports[0].view)
		}
	}) && same {
		return now
	}
	return d.Behaviour
}

// failure returns the error for observers of which none has reported an address, by their own.
func failure(errs []error) error {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	err := errors.Join(errs...)
	switch {
	case err == nil:
		return fmt.Errorf("%w: there is none to ask: set Config.STUNServers", ErrNoAddress)
	case errors.Is(err, tcpport.ErrShort):
		return err // no observer was asked
	default:
		return fmt.Errorf("%w: %w", ErrNoAddress, err)
	}
}
