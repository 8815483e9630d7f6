package natlab

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// routed reports whether a site with the behaviour has a router of its own, with a kernel.
func (b Behaviour) routed() bool { return b.Kernel.On && b.Mapping != Public }

// firewall reports whether the kernels of the site's hosts filter.
func (b Behaviour) firewall() bool { return b.Kernel.On && b.Mapping == Public }

// checkBridged returns an error if a bridge has no such site.
func (c *SiteConfig) checkBridged() error {
	switch {
	case c.NAT.Mapping != Public && !c.NAT.Kernel.On:
		return fmt.Errorf("the emulated NAT %v does not go on a bridge", c.NAT)
	case c.Delay != 0 || c.Jitter != 0 || c.Loss != 0 || c.MTU != 0 || c.IPv6 || c.Behind != nil:
		return errors.New("a site on a bridge has no Delay, Jitter, Loss, MTU, IPv6 or Behind")
	}
	return nil
}

// startRouter makes the site's router.
func (s *Site) startRouter(b Behaviour) error {
	r, err := newRouter(s, b)
	if err != nil {
		return fmt.Errorf("natlab: site %q: %w", s.name, err)
	}
	s.lab.mu.Lock()
	closed := s.lab.closed
	if !closed {
		s.router, s.behaviour = r, b
		s.claim(poolFrom(s.external, Behaviour{Pool4: true}))
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

// filters returns the namespaces whose kernels filter for the site: its router's, or its hosts' with
// a firewall.
func (s *Site) filters() (all []*namespace) {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	if s.router != nil {
		return []*namespace{s.router.ns}
	}
	for _, h := range s.lab.hosts {
		if h.site == s && s.behaviour.firewall() {
			all = append(all, h.ns)
		}
	}
	return all
}

// setRules replaces the rules of the site's kernels.
func (s *Site) setRules(b Behaviour) error {
	for _, ns := range s.filters() {
		if err := ns.setRules(b, s.external); err != nil {
			return fmt.Errorf("natlab: site %q: %w", s.name, err)
		}
	}
	return nil
}

// resetKernels has the site's kernels forget all connections.
func (s *Site) resetKernels() {
	for _, ns := range s.filters() {
		if err := ns.forget(); err != nil {
			s.lab.fail(fmt.Errorf("natlab: reset site %q: %w", s.name, err))
		}
	}
}
