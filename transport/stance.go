package transport

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// A stance is how the host takes part in one round of an attempt: the ports that
// it punches from, and what it tells the peer of itself.
type stance struct {
	port    *tcpport.Port // the first of locals
	locals  []holepunch.Local
	terms   holepunch.Terms
	release func() // everything; may be called twice

	filter func([]ma.Multiaddr) []ma.Multiaddr // of the host's user; nil without

	until     time.Time        // when the terms have to be complete
	reflexive []netip.AddrPort // of the warm port
}

// stanceTimeout is how long it may take to know what to tell the peer, which waits for 5 s
// (holepunch.AnswerTimeout).
const stanceTimeout = 4500 * time.Millisecond

// takeStance chooses the port and names the candidates.
//
// Nearly always that is the warm port, at its reflexive addresses, and the spare one beside it. Behind a NAT
// that gives every destination a port of its own these are of no use to the
// peer, unless the filter lets anybody in. Where that port can be foretold it is
// from a fresh local port, which has no mapping yet: one that the NAT will preserve,
// or give the next in sequence. That is told by [Transport.foretell], after this: the
// terms say until then that it will follow.
//
// Both together take stanceTimeout at most, for the peer is waiting.
func (t *Transport) takeStance(ctx context.Context, h host.Host, p peer.ID, w *warmPort) (*stance, error) {
	until := time.Now().Add(stanceTimeout)
	rest, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	v, release, err := w.acquire(ctx) // which ends by itself, and says why, after askTimeout
	if err != nil {
		return nil, err
	}
	ctx = rest
	s := &stance{port: w.Port, release: release, until: until, reflexive: v.addrs}
	if f := t.cfg.addrFilter; f != nil {
		s.filter = func(as []ma.Multiaddr) []ma.Multiaddr { return f.FilterLocal(p, as) }
	}
	s.terms.Behaviour = t.nat.behaviour(ctx, v)
	t.learnNAT() // for the next time, if that is not known
	s.terms.Guessing = t.cfg.guess
	s.name(holepunch.Reflexive(v.addrs...)...)
	switch b := s.terms.Behaviour; {
	case foretells(b) && slices.ContainsFunc(v.addrs, func(a netip.AddrPort) bool { return a.Addr().Is4() }):
		err = s.takeFresh()
	case b.Ports == stun.Preserved || b.Ports == stun.PortsUnknown:
		s.name(preserved(s.terms.Candidates, w.Number())...)
	}
	if err != nil {
		release()
		return nil, err
	}
	if a, ok := stun.PublicIPv6(); ok && !slices.ContainsFunc(s.terms.Candidates, isIPv6) {
		s.name(holepunch.Reflexive(netip.AddrPortFrom(a, s.port.Number()))...)
	}
	s.name(listeners(h)...)
	if len(s.terms.Candidates) == 0 {
		s.release()
		return nil, fmt.Errorf("%w: the address filter (WithAddrFilter) leaves none", holepunch.ErrNoAddress)
	}
	s.add(s.port, p)
	if s.port == w.Port && w.spare != nil {
		s.addSpare(ctx, w.spare, p)
	}
	giveUp := s.release
	s.release = sync.OnceFunc(func() {
		for _, l := range s.locals {
			l.Expect.Close()
		}
		giveUp()
	})
	return s, nil
}

// add has the host punch from a port. From here on the peer's SYN may come.
func (s *stance) add(port *tcpport.Port, p peer.ID) {
	e := port.Expect()
	e.Peer = string(p)
	s.locals = append(s.locals, holepunch.Local{Port: port, Expect: e})
}

// spareWait is how long it may take to learn where the spare port is: nothing if it
// is warm, and otherwise it is done without.
const spareWait = 20 * time.Millisecond

// addSpare has the host punch from the spare port, too, if that is warm.
func (s *stance) addSpare(ctx context.Context, spare *warmPort, p peer.ID) {
	room := holepunch.MaxCandidates - len(s.terms.Candidates)
	ctx, cancel := context.WithTimeout(ctx, spareWait)
	defer cancel()
	v, release, err := spare.acquire(ctx)
	if err != nil {
		return
	}
	if len(v.addrs) > room {
		release()
		return
	}
	first := s.release
	s.release = func() {
		release()
		first()
	}
	for _, c := range holepunch.Reflexive(v.addrs...) {
		c.Local = len(s.locals)
		s.name(c)
	}
	s.add(spare.Port, p)
}

// preserved is the port itself at each IPv4 address of the candidates: a NAT
// that preserves ports may have had to give another one towards a STUN server,
// where a neighbour used it already, and will not towards the peer.
// Where that is not known of a NAT, it is one SYN in vain.
func preserved(cs []holepunch.Candidate, port uint16) []holepunch.Candidate {
	var more []holepunch.Candidate
	for _, c := range cs {
		own := netip.AddrPortFrom(c.Addr.Addr(), port)
		at := func(o holepunch.Candidate) bool { return o.Addr == own }
		if own.Addr().Is4() && !slices.ContainsFunc(cs, at) && !slices.ContainsFunc(more, at) {
			more = append(more, holepunch.Candidate{Kind: pb.Candidate_PREDICTED, Addr: own})
		}
	}
	return more
}

// allowed are those of some candidates that the host's user lets the peer know of.
func (s *stance) allowed(cs []holepunch.Candidate) []holepunch.Candidate {
	return filtered(cs, s.filter)
}

// name adds candidates that are allowed, as far as there is room.
func (s *stance) name(cs ...holepunch.Candidate) {
	cs = s.allowed(cs)
	room := holepunch.MaxCandidates - len(s.terms.Candidates)
	s.terms.Candidates = append(s.terms.Candidates, cs[:min(max(room, 0), len(cs))]...)
}

// maxListeners is how many listeners of the host are named: one for each family.
const maxListeners = 2

// listeners are the public addresses at which the host accepts plain TCP
// connections as far as it knows: its own, or ones that a router forwards.
func listeners(h host.Host) []holepunch.Candidate {
	var cs []holepunch.Candidate
	for _, a := range h.Addrs() {
		// Peers refuse lower ports.
		if ap, ok := fromMultiaddr(a); ok && ap.Port() >= 1024 && manet.IsPublicAddr(a) && len(cs) < maxListeners {
			cs = append(cs, holepunch.Candidate{Kind: pb.Candidate_LISTENER, Addr: ap})
		}
	}
	return cs
}
