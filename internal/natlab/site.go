package natlab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// A SiteConfig configures a site.
type SiteConfig struct {
	// Name appears in taps and captures.
	Name string
	// NAT is the behaviour of the site's NAT. The zero value is no NAT: public addresses.
	NAT Behaviour
	// Delay is the one-way time over the site's link to the core, in each direction. Between sites
	// with 20 ms each the round trip takes 80 ms.
	Delay time.Duration
	// Jitter is the upper bound of a random time added to Delay. It never reorders packets.
	Jitter time.Duration
	// Loss is the probability that a packet is lost on the link, 0 to 1.
	Loss float64
	// MTU is the length of the longest packet that the link carries, IP header included. Longer ones
	// are lost in both directions without an ICMP error, which nobody sees: the hosts' own MTU stays
	// 1500. This is a black hole of path MTU discovery (RFC 2923, section 2.1). 0 is no such limit.
	MTU int
	// IPv6 gives the hosts global IPv6 addresses as well, which are not translated. A public site
	// admits everything. At a site with a NAT, a stateful firewall admits what belongs to a session
	// that began inside, and NAT configures it with Unsolicited, SYNLimit, RSTKills, NoSYN, NoUDP
	// and Egress.
	IPv6 bool
	// Behind is the site that this one is behind: this site's outside is the other's inside. Both
	// must have a NAT. IPv6 passes both sites' firewalls, and needs both sites to have it. If nil,
	// the site is on the core.
	Behind *Site
}

func (c *SiteConfig) check() error {
	switch {
	case c.Delay < 0 || c.Jitter < 0:
		return errors.New("negative delay or jitter")
	case !(c.Loss >= 0 && c.Loss <= 1):
		return fmt.Errorf("loss %v is not within 0 to 1", c.Loss)
	case c.MTU < 0:
		return fmt.Errorf("negative MTU %d", c.MTU)
	case c.Behind != nil && (c.NAT.Mapping == Public || c.Behind.public()):
		return errors.New("public sites have none behind them, and are behind none")
	case c.IPv6 && c.NAT.Kernel.On:
		return errors.New("no IPv6 at a site with a kernel's rules")
	case c.IPv6 && c.Behind != nil && !c.Behind.ipv6:
		return fmt.Errorf("no IPv6 from site %q, which this one is behind", c.Behind.name)
	}
	return c.NAT.check()
}

// A Site is a link to the core with hosts at its end, and a NAT in between unless the site is
// public.
type Site struct {
	lab    *Lab
	name   string
	number byte
	parent *Site // nil on the core

	external  netip.Addr // invalid if public
	behaviour Behaviour  // as last set
	nat       *NAT       // nil if public
	ipv6      bool
	firewall  *NAT    // for IPv6; nil if public, or without
	proxy     *proxy  // nil if there is none
	router    *router // in place of nat, if a kernel translates

	delay, jitter time.Duration
	loss          float64
	mtu           int
	down          bool

	hosts  byte                  // how many addresses for hosts are given away
	inside map[netip.Addr]device // hosts, and the outer ends of sites behind this one
	taps   []*tap

	watched bool // for taps on a bridge
}

func newSite(l *Lab, number byte, cfg SiteConfig) *Site {
	s := &Site{
		lab:    l,
		name:   cfg.Name,
		number: number,
		parent: cfg.Behind,
		ipv6:   cfg.IPv6,
		delay:  cfg.Delay,
		jitter: cfg.Jitter,
		loss:   cfg.Loss,
		mtu:    cfg.MTU,
		inside: make(map[netip.Addr]device),
	}
	if cfg.NAT.Mapping == Public {
		s.behaviour = cfg.NAT
		return s
	}
	if s.parent == nil {
		s.external = netip.AddrFrom4([4]byte{46, 0, number, 1})
	} else {
		s.external = netip.AddrFrom4([4]byte{100, 64, number, 1})
	}
	if !cfg.NAT.routed() {
		s.setNAT(cfg.NAT)
	}
	return s
}

// Name returns the name from the configuration.
func (s *Site) Name() string { return s.name }

// External returns the external address of the site's NAT, the first one if there are several. It
// is not valid for a public site.
func (s *Site) External() netip.Addr { return s.external }

// NAT returns the behaviour of the site's NAT.
func (s *Site) NAT() Behaviour {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	return s.behaviour
}

// SetNAT replaces the site's NAT and firewall by new ones without mappings. It cannot change a site
// between public and NAT, because the hosts keep their addresses.
func (s *Site) SetNAT(b Behaviour) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("natlab: site %q: %w", s.name, err)
	}
	if (b.Mapping == Public) != s.public() {
		return fmt.Errorf("natlab: site %q: cannot change between public and NAT", s.name)
	}
	if b.routed() != (s.router != nil) {
		return fmt.Errorf("natlab: site %q: cannot change between a kernel's NAT and an emulated one", s.name)
	}
	if err := s.setRules(b); err != nil {
		return about(fmt.Sprintf("site %q", s.name), err)
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.setNAT(b)
	return nil
}

func (s *Site) setNAT(b Behaviour) {
	s.behaviour = b
	if b.Mapping != Public && !b.Kernel.On {
		seed := s.lab.rng.Uint64()
		s.nat = NewNAT(b, s.external, rand.New(rand.NewPCG(seed, 0)))
		s.nat.router = s.gateway()
		s.claim(s.nat.pool)
		s.proxy = newProxy(b.Proxy)
		if s.ipv6 {
			s.firewall = newFirewall(b)
			s.firewall.router = s.addr6(s.nat.router)
		}
	}
}

// claim makes the site's NAT be found by its external addresses.
func (s *Site) claim(pool []netip.Addr) {
	for _, addr := range pool {
		if s.parent == nil {
			s.lab.public[addr] = s
		} else {
			s.parent.inside[addr] = s
		}
	}
}

// gateway returns the inside address of the site's router.
func (s *Site) gateway() netip.Addr { return netip.AddrFrom4([4]byte{10, s.number, 0, maxHosts + 1}) }

// Forward makes the site's NAT forward a TCP port to an endpoint at the site; see [NAT.Forward].
// The rule outlives ResetNAT, but not SetNAT. A kernel's NAT does not see that a port is taken.
func (s *Site) Forward(external uint16, to netip.AddrPort) error {
	s.lab.mu.Lock()
	var err error
	router := s.router
	switch {
	case s.public():
		err = errors.New("a public site has nothing to forward")
	case !to.Addr().Is4() || s.inside[to.Addr()] == nil:
		err = fmt.Errorf("no such host: %v", to.Addr())
	case router == nil:
		err = s.nat.Forward(external, to)
	}
	s.lab.mu.Unlock()
	if err == nil && router != nil {
		err = router.ns.forward(external, to)
	}
	return about(fmt.Sprintf("site %q", s.name), err)
}

// ResetNAT removes all mappings of the NAT and all sessions of the IPv6 firewall, as a power
// failure of the router does.
func (s *Site) ResetNAT() {
	s.resetKernels()
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	if s.nat != nil {
		s.nat.Reset()
	}
	if s.firewall != nil {
		s.firewall.Reset()
	}
}

// SetLoss changes the probability that a packet is lost on the site's link.
func (s *Site) SetLoss(p float64) {
	if s.bridged() {
		s.refuse("loss")
		return
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.loss = p
}

// SetMTU changes the length of the longest packet that the site's link carries; see
// [SiteConfig.MTU].
func (s *Site) SetMTU(n int) {
	if s.bridged() {
		s.refuse("MTU")
		return
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.mtu = n
}

// SetDown cuts the site's link, or restores it. Packets on the way to the site are lost.
func (s *Site) SetDown(down bool) {
	if s.bridged() {
		s.setPorts(down)
		return
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.down = down
}

func (s *Site) public() bool { return !s.external.IsValid() }

func (s *Site) outermost() *Site {
	for s.parent != nil {
		s = s.parent
	}
	return s
}
