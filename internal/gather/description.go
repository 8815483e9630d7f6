package gather

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// gatherTimeout is how long it may take to know what to tell the peer, predicted ports included.
// The peer waits for 5 s.
const gatherTimeout = 4500 * time.Millisecond

// Options are the wishes of one attempt.
type Options struct {
	// Filter returns those of the addresses that the peer may be told; nil for all.
	Filter func([]netip.AddrPort) []netip.AddrPort
	// Listeners are public addresses at which the application accepts its ordinary connections.
	Listeners []netip.AddrPort
	// Spend is called before a SYN is sent to a STUN server for the attempt's sake; nil for none.
	Spend func(ctx context.Context) error
}

// A Description is what one round of an attempt is made from: the ports to punch from, and what
// the peer is told.
type Description struct {
	Ports      []*tcpport.Port
	Candidates []punch.Candidate
	Behaviour  stun.Behaviour

	// Following reports that Candidates lacks predicted ones, which Predict returns. Until then its
	// IPv4 reflexive candidate says where the host is, and is not to be connected to.
	Following bool

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
// are of no use to the peer, unless the filter lets anybody in. If that port can be predicted, it
// is that of a fresh local port, which has no mapping yet: the NAT will preserve its number, or
// give it the next port in sequence, which Predict finds out.
func (g *Gatherer) Gather(ctx context.Context, o Options) (*Description, error) {
	until := time.Now().Add(gatherTimeout)
	s, release, err := g.acquire(ctx, until)
	if err != nil {
		return nil, err
	}
	first := s.ports[0]
	d := &Description{Ports: []*tcpport.Port{first.Port}, Behaviour: s.behaviour, filter: o.Filter, release: release}
	fresh := needsFreshPort(s.behaviour) && slices.ContainsFunc(first.reflexive, isIPv4)
	if fresh {
		port, err := g.openPort(g.cfg.Accept)
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
	ipv6, public := g.publicIPv6()
	if !public {
		ipv6 = netip.Addr{} // a private one is no candidate, and would have the peer's private ones dialled
	}
	d.Candidates = candidates(s, d.Ports[0].Number(), fresh, ipv6, o)
	if len(d.Candidates) == 0 {
		d.Release()
		return nil, ErrFiltered
	}
	if slices.ContainsFunc(d.Candidates, func(c punch.Candidate) bool { return c.Port == 1 }) {
		d.Ports = append(d.Ports, s.ports[1].Port)
	}
	if fresh && s.behaviour.Ports == stun.Sequential {
		d.Following = true
		d.lastMapping = func(ctx context.Context) (netip.AddrPort, error) {
			ctx, cancel := context.WithDeadline(ctx, until)
			defer cancel()
			return g.lastMapping(ctx, first.reflexive, o)
		}
	}
	return d, nil
}

// Release gives the ports back, after Predict has returned. It may be called more than once.
func (d *Description) Release() { d.release() }
