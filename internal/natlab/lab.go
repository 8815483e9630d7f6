package natlab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxSites is the number of sites in the address plan: the n in 10.n.0.0/24.
const maxSites = 255

// A Config configures a lab.
type Config struct {
	// Seed makes ports, jitter and losses repeatable, as far as packets arrive in the same order.
	Seed uint64
	// Bridge joins the sites by a Linux bridge in place of the core, and hosts, routers and bridge
	// by veth pairs. No packet passes through the lab's process, and there is no delay but the
	// kernel's, some 50 µs for a round trip. The sites are public or have the NAT of a kernel, and no
	// Delay, Jitter, Loss, MTU, IPv6 or Behind.
	Bridge bool
}

// A Lab is a network of sites. Its methods may be called at any time, from any goroutine, but not
// from a tap.
type Lab struct {
	wire   *wire
	bridge *bridge // nil with a core

	mu      sync.Mutex // guards all below, and what is in the sites and their NATs
	rng     *rand.Rand
	sites   []*Site
	hosts   []*Host
	routers []*router
	watches []*watch
	public  map[netip.Addr]*Site // the node in the core that has this address
	extra   map[path]time.Duration
	mtus    map[path]int
	taps    []*tap
	errs    []error // for Close
	closed  bool
}

// New makes an empty lab. [Enter] must be called first. The error matches [ErrUnavailable] if no
// lab can be had.
func New(cfg Config) (*Lab, error) {
	if err := probe(); err != nil {
		return nil, err
	}
	l := newLab(cfg)
	if cfg.Bridge {
		var err error
		if l.bridge, err = newBridge(); err != nil {
			l.wire.close()
			return nil, err
		}
	}
	return l, nil
}

func newLab(cfg Config) *Lab {
	l := &Lab{
		rng:    rand.New(rand.NewPCG(cfg.Seed, 0)),
		public: make(map[netip.Addr]*Site),
		extra:  make(map[path]time.Duration),
		mtus:   make(map[path]int),
	}
	l.wire = newWire(&l.mu)
	return l
}

// AddSite adds a site to the lab.
func (l *Lab) AddSite(cfg SiteConfig) (*Site, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("natlab: site %q: %w", cfg.Name, err)
	}
	s, err := l.addSite(cfg)
	if err == nil && cfg.NAT.routed() {
		err = s.startRouter(cfg.NAT)
	}
	if err != nil {
		return nil, err
	}
	if s.bridged() && s.tappedByLab() {
		s.watchLinks()
	}
	return s, nil
}

func (l *Lab) addSite(cfg SiteConfig) (*Site, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	if l.bridge != nil {
		if err := cfg.checkBridged(); err != nil {
			return nil, fmt.Errorf("natlab: site %q: %w", cfg.Name, err)
		}
	}
	if cfg.Behind != nil && cfg.Behind.lab != l {
		return nil, fmt.Errorf("natlab: site %q: behind a site of another lab", cfg.Name)
	}
	if len(l.sites) == maxSites {
		return nil, fmt.Errorf("natlab: more than %d sites", maxSites)
	}
	s := newSite(l, byte(len(l.sites)+1), cfg)
	l.sites = append(l.sites, s)
	return s, nil
}

// SetExtraDelay makes the path from one site to another longer by d, and not the way back. For a
// site behind another one it applies to the outermost site, which is the one on the core.
func (l *Lab) SetExtraDelay(from, to *Site, d time.Duration) {
	if l.bridge != nil {
		from.refuse("delay")
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extra[path{from.outermost(), to.outermost()}] = d
}

// SetMTU changes the length of the longest packet that the path from one site to another carries,
// and not the way back; see [SiteConfig.MTU]. The sites are those of [Lab.SetExtraDelay].
func (l *Lab) SetMTU(from, to *Site, n int) {
	if l.bridge != nil {
		from.refuse("MTU")
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mtus[path{from.outermost(), to.outermost()}] = n
}

// fail keeps an error for Close.
func (l *Lab) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// Close ends the lab, and kills the processes in its hosts. The error is for captures that could
// not be written, and for what methods without an error could not do.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	hosts, routers, watches := slices.Clone(l.hosts), slices.Clone(l.routers), slices.Clone(l.watches)
	l.mu.Unlock()

	for _, w := range watches {
		w.close()
	}
	for _, h := range hosts {
		h.close()
	}
	for _, r := range routers {
		r.close()
	}
	if l.bridge != nil {
		l.bridge.close()
	}
	l.wire.close()

	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

var errClosed = errors.New("natlab: the lab is closed")
