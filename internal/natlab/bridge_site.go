package natlab

import (
	"errors"
	"fmt"
	"time"
)

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

// bridged reports whether the site's link is a port of a bridge.
func (s *Site) bridged() bool { return s.lab.bridge != nil }

// refuse keeps the error of a method without one, of which a bridge has no equivalent.
func (s *Site) refuse(what string) {
	s.lab.fail(fmt.Errorf("natlab: site %q: a bridge has no %s", s.name, what))
}

// setPorts cuts the site's links to the bridge, or restores them.
func (s *Site) setPorts(down bool) {
	for _, ns := range s.namespaces() {
		if err := s.lab.bridge.setPort(ns, down); err != nil {
			s.lab.fail(fmt.Errorf("natlab: site %q: %w", s.name, err))
		}
	}
}

// watchLinks has taps called for the packets on the links of the site, which is on a bridge.
func (s *Site) watchLinks() {
	s.lab.mu.Lock()
	begun := s.watched
	s.watched = true
	s.lab.mu.Unlock()
	if begun {
		return
	}
	for _, ns := range s.namespaces() {
		s.watchUplink(ns)
	}
	if s.router != nil {
		s.watch(s.router.ns, lan, func(now time.Time, sent bool, pkt []byte) {
			s.emit(now, Inside, direction(!sent), Verdict{}, pkt)
		})
	}
}

// watchUplink has taps called for the packets on the uplink of the site's router, or of a host that
// has none.
func (s *Site) watchUplink(ns *namespace) {
	s.watch(ns, uplink, func(now time.Time, sent bool, pkt []byte) {
		if s.public() && sent {
			s.emit(now, Inside, Outbound, Verdict{}, pkt)
		}
		s.emit(now, Outside, direction(sent), Verdict{}, pkt)
		if s.public() && !sent {
			s.emit(now, Inside, Inbound, Verdict{}, pkt)
		}
	})
}

func direction(outbound bool) Direction {
	if outbound {
		return Outbound
	}
	return Inbound
}

func (s *Site) watch(ns *namespace, link string, to func(now time.Time, sent bool, pkt []byte)) {
	w, err := ns.watch(link, func(now time.Time, sent bool, pkt []byte) {
		s.lab.mu.Lock()
		defer s.lab.mu.Unlock()
		to(now, sent, pkt)
	})
	if err != nil {
		s.lab.fail(fmt.Errorf("natlab: site %q: %w", s.name, err))
		return
	}
	s.lab.mu.Lock()
	closed := s.lab.closed
	if !closed {
		s.lab.watches = append(s.lab.watches, w)
	}
	s.lab.mu.Unlock()
	if closed {
		w.close()
	}
}
