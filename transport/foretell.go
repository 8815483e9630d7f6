package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// foretells tells whether the external port towards a peer has to be foretold,
// and can be.
func foretells(b stun.Behaviour) bool {
	return (b.Mapping == stun.ADM || b.Mapping == stun.APDM) && b.Filtering != stun.EIF &&
		(b.Ports == stun.Preserved || b.Ports == stun.Sequential)
}

// takeFresh takes a fresh port in place of the warm one, and names the external ports that it will have if
// the NAT preserves them. Those in sequence follow: until then the warm port's address says
// where the host is. All is for IPv4 only.
func (s *stance) takeFresh() error {
	fresh, err := openPort()
	if err != nil {
		return err
	}
	release := s.release
	s.release = func() {
		fresh.Close()
		release()
	}
	s.port, s.terms.Candidates = fresh, nil
	s.terms.Following = s.terms.Behaviour.Ports == stun.Sequential
	for _, a := range s.reflexive {
		switch {
		case !a.Addr().Is4():
		case !s.terms.Following:
			s.name(holepunch.Candidate{Kind: pb.Candidate_PREDICTED, Addr: netip.AddrPortFrom(a.Addr(), fresh.Number())})
		case len(s.terms.Candidates) == 0:
			s.name(holepunch.Reflexive(a)...)
		}
	}
	return nil
}

// foretell finds out which external ports in sequence the stance's port may get, by the
// two round trips to a STUN server. It returns at once, so that the OFFER can leave meanwhile; told waits, and
// names them in place of what the terms had for IPv4. Without anything to follow it has nothing to do.
func (t *Transport) foretell(ctx context.Context, s *stance, budget *holepunch.Budget) (told func() error) {
	if !s.terms.Following {
		return func() error { return nil }
	}
	ctx, cancel := context.WithDeadline(ctx, s.until)
	var last netip.AddrPort
	var err error
	over := make(chan struct{})
	go func() {
		defer close(over)
		last, err = t.lastMapping(ctx, s.reflexive, budget)
	}()
	release := s.release
	s.release = sync.OnceFunc(func() {
		cancel()
		<-over
		release()
	})
	return func() error {
		<-over
		if err == nil {
			s.predict(last)
		}
		return err
	}
}

// predict names what comes after the last mapping.
func (s *stance) predict(last netip.AddrPort) {
	others := slices.DeleteFunc(s.terms.Candidates, informs)
	s.terms.Candidates, s.terms.Following = nil, false
	s.name(holepunch.Foretell(last, s.terms.Behaviour.Step)...)
	s.name(others...)
}

// informs tells whether a candidate of terms whose predicted ones follow says no more than where
// the peer is.
func informs(c holepunch.Candidate) bool { return c.Kind == pb.Candidate_REFLEXIVE && !isIPv6(c) }

// lastMapping makes a mapping to a STUN server, from a port of its own, and
// returns its external address: what comes next in sequence is for the peer. A server
// that sees another IP address than the port has is not believed.
func (t *Transport) lastMapping(ctx context.Context, reflexive []netip.AddrPort, budget *holepunch.Budget) (netip.AddrPort, error) {
	port, err := openPort()
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer port.Close()
	var errs []error
	for _, server := range t.cfg.servers { // one by one: each takes a port of the sequence
		if err := budget.Spend(ctx, netip.Addr{}); err != nil {
			return netip.AddrPort{}, err
		}
		mapped, err := bindingOf(ctx, port, server)
		ours := slices.ContainsFunc(reflexive, func(a netip.AddrPort) bool { return a.Addr() == mapped.Addr() })
		switch {
		case err == nil && ours && mapped.Addr().Is4():
			return mapped, nil
		case err == nil:
			err = fmt.Errorf("%w: %s sees %s", stun.ErrDissent, server, mapped.Addr())
		}
		errs = append(errs, err)
	}
	return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrNoReflexiveAddress, errors.Join(errs...))
}

func bindingOf(ctx context.Context, port *tcpport.Port, server string) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout/2)
	defer cancel()
	conn, err := stun.Dial(ctx, lingerless{port}, server)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer conn.Close()
	return conn.Binding(ctx)
}
