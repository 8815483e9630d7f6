package natlab

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// lan is the name of a router's other link.
const lan = "lan"

// routed reports whether a site with the behaviour has a router of its own, with a kernel.
func (b Behaviour) routed() bool { return b.Kernel.On && b.Mapping != Public }

// firewall reports whether the kernels of the site's hosts filter.
func (b Behaviour) firewall() bool { return b.Kernel.On && b.Mapping == Public }

// routerAddrs returns the external addresses of the site's router. It has all four, whether its
// rules use them or not, so that SetNAT need not change them.
func (s *Site) routerAddrs() []netip.Addr { return poolFrom(s.external, Behaviour{Pool4: true}) }

// startRouter makes the site's router.
func (s *Site) startRouter(b Behaviour) error {
	r, err := newRouter(s, b)
	if err != nil {
		return about(fmt.Sprintf("site %q", s.name), err)
	}
	s.lab.mu.Lock()
	closed := s.lab.closed
	if !closed {
		s.router, s.behaviour = r, b
		s.claim(s.routerAddrs())
		s.lab.routers = append(s.lab.routers, r)
	}
	s.lab.mu.Unlock()
	if closed {
		r.close()
		return errClosed
	}
	return nil
}

// fromRouterLAN accepts what the router sends to the LAN.
func (s *Site) fromRouterLAN(pkt []byte) { s.fromRouter(pkt, s.toInside) }

// fromRouterWAN accepts what the router sends up the link.
func (s *Site) fromRouterWAN(pkt []byte) { s.fromRouter(pkt, s.transmit) }

func (s *Site) fromRouter(pkt []byte, to func(time.Time, []byte)) {
	p, err := Parse(pkt)
	if err != nil || linkScoped(p) {
		return
	}
	pkt = slices.Clone(pkt)
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	to(time.Now(), pkt)
}

// namespaces returns those whose uplinks are the site's: its router's, or its hosts'.
func (s *Site) namespaces() (all []*namespace) {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	if s.router != nil {
		return []*namespace{s.router.ns}
	}
	for _, h := range s.lab.hosts {
		if h.site == s && s.public() {
			all = append(all, h.ns)
		}
	}
	return all
}

// setRules replaces the rules of the site's kernels, if they have any.
func (s *Site) setRules(b Behaviour) error {
	if !b.Kernel.On && !s.NAT().Kernel.On {
		return nil
	}
	for _, ns := range s.namespaces() {
		if err := ns.setRules(b, s.external); err != nil {
			return err
		}
	}
	return nil
}

// resetKernels has the site's kernels forget all connections.
func (s *Site) resetKernels() {
	if !s.NAT().Kernel.On {
		return
	}
	for _, ns := range s.namespaces() {
		if err := ns.forget(); err != nil {
			s.lab.fail(fmt.Errorf("natlab: reset site %q: %w", s.name, err))
		}
	}
}
