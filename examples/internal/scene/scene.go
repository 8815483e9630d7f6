// Package scene is the lab of the example programs: a public relay with a STUN server, and two
// peers, alice and bob, each in a home behind a NAT.
package scene

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// The names of the hosts, and of their sites.
const (
	RelayName = "relay"
	AliceName = "alice"
	BobName   = "bob"
)

// A Scene is a lab with three hosts, each at a site of its own.
type Scene struct {
	Relay, Alice, Bob *natlab.Host
	STUN              [2]netip.AddrPort // two addresses of the relay, for a STUN server

	opts  Options
	lab   *natlab.Lab
	files []*os.File // captures
}

// New makes a Scene. [natlab.Enter] must be called first. The error matches [natlab.ErrUnavailable]
// if no lab can be had.
func New(o Options) (*Scene, error) {
	lab, err := natlab.New(natlab.Config{Bridge: o.Bridge})
	if err != nil {
		return nil, err
	}
	s := &Scene{opts: o, lab: lab}
	if err := s.build(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Scene) build() error {
	peer := natlab.SiteConfig{Delay: s.opts.OneWay, Jitter: s.opts.Jitter, Loss: s.opts.Loss}
	alice, bob := peer, peer
	alice.Name, alice.NAT = AliceName, s.opts.A
	bob.Name, bob.NAT = BobName, s.opts.B
	relay := natlab.SiteConfig{Name: RelayName, Delay: s.opts.RelayOneWay}
	for _, at := range []struct {
		cfg  natlab.SiteConfig
		host **natlab.Host
	}{{relay, &s.Relay}, {alice, &s.Alice}, {bob, &s.Bob}} {
		host, err := s.addHost(at.cfg)
		if err != nil {
			return err
		}
		*at.host = host
	}
	second, err := s.Relay.AddAddr()
	if err != nil {
		return err
	}
	s.STUN = [2]netip.AddrPort{netip.AddrPortFrom(s.Relay.Addr(), 3478), netip.AddrPortFrom(second, 3479)}
	return nil
}

// addHost adds a site with one host.
func (s *Scene) addHost(cfg natlab.SiteConfig) (*natlab.Host, error) {
	site, err := s.lab.AddSite(cfg)
	if err != nil {
		return nil, err
	}
	if s.opts.Pcap != "" {
		if err := s.capture(site); err != nil {
			return nil, fmt.Errorf("-pcap: %w", err)
		}
	}
	return site.AddHost(cfg.Name)
}

func (s *Scene) capture(site *natlab.Site) error {
	// Not the whole path: as root, a mistyped one would be made anywhere.
	if err := os.Mkdir(s.opts.Pcap, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Create(filepath.Join(s.opts.Pcap, site.Name()+".pcapng"))
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	return site.Capture(f)
}

// RelayListen returns the multiaddr at which the relay is to listen.
func (s *Scene) RelayListen() string { return fmt.Sprintf("/ip4/%s/tcp/4001", s.Relay.Addr()) }

// Captures returns the names of the written files.
func (s *Scene) Captures() []string {
	names := make([]string, len(s.files))
	for i, f := range s.files {
		names[i] = f.Name()
	}
	return names
}

// Close takes the lab down, with all processes in it, and completes the captures.
func (s *Scene) Close() error {
	errs := []error{s.lab.Close()}
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// OuterAddr returns the address at which a host appears outside its NAT, the first if there are
// several.
func OuterAddr(h *natlab.Host) netip.Addr {
	if outer := h.Site().External(); outer.IsValid() {
		return outer
	}
	return h.Addr() // public
}
