package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// The names of the actors, and of their sites in the lab.
const (
	relayName = "relay"
	aliceName = "alice" // dials
	bobName   = "bob"   // listens
)

// loopbackEnv asks for the story without a lab where one could be had.
const loopbackEnv = "SIMOPEN_DEMO_LOOPBACK"

// errLoopbackAsked is why there is no lab then.
var errLoopbackAsked = errors.New(loopbackEnv + " is set")

// enterLab must come first in main. The error is why there cannot be a lab.
func enterLab() error {
	if os.Getenv(loopbackEnv) != "" {
		return errLoopbackAsked
	}
	return natlab.Enter()
}

// A stage is the network in which the story plays: a lab, or loopback.
type stage struct {
	lab   *natlab.Lab // nil on loopback
	noLab error       // why

	start     map[string]func(*exec.Cmd) error // starts a process at an actor's place
	relayAddr string                           // multiaddr at which the relay listens
	stunAddr  string                           // host:port of the STUN server on loopback
	stunAddrs []netip.AddrPort                 // two of the one in a lab

	// In a lab only.
	relay, alice, bob *natlab.Host
	tape              *tape
	files             []*os.File // captures
}

// newStage builds the lab, or takes loopback if there cannot be one.
func newStage(opts options, noLab error) (*stage, error) {
	s := &stage{
		noLab:     noLab,
		start:     make(map[string]func(*exec.Cmd) error),
		relayAddr: "/ip4/127.0.0.1/tcp/0",
		stunAddr:  "127.0.0.1:0",
	}
	if s.noLab == nil {
		s.lab, s.noLab = natlab.New(natlab.Config{})
	}
	switch {
	case s.noLab == nil:
		if err := s.build(opts); err != nil {
			return nil, errors.Join(err, s.close())
		}
	case errors.Is(s.noLab, natlab.ErrUnavailable) || errors.Is(s.noLab, errLoopbackAsked):
		for _, name := range []string{relayName, aliceName, bobName} {
			s.start[name] = (*exec.Cmd).Start
		}
	default:
		return nil, s.noLab
	}
	return s, nil
}

// build puts sites and hosts into the lab.
func (s *stage) build(opts options) error {
	peerSite := natlab.SiteConfig{Delay: opts.oneWay, Jitter: opts.jitter, Loss: opts.loss}
	alice, bob := peerSite, peerSite
	alice.Name, alice.NAT = aliceName, opts.a
	bob.Name, bob.NAT = bobName, opts.b
	for _, cfg := range []natlab.SiteConfig{{Name: relayName, Delay: opts.relayOneWay}, alice, bob} {
		host, err := s.addHost(cfg, opts.pcap)
		if err != nil {
			return err
		}
		s.start[cfg.Name] = host.Start
		switch cfg.Name {
		case relayName:
			s.relay = host
			s.relayAddr = fmt.Sprintf("/ip4/%s/tcp/4001", host.Addr())
			second, err := host.AddAddr()
			if err != nil {
				return err
			}
			s.stunAddr = ""
			s.stunAddrs = []netip.AddrPort{netip.AddrPortFrom(host.Addr(), 3478), netip.AddrPortFrom(second, 3479)}
		case aliceName:
			s.alice = host
		case bobName:
			s.bob = host
		}
	}
	s.tape = newTape(s.alice, s.bob)
	return nil
}

// addHost adds a site with one host.
func (s *stage) addHost(cfg natlab.SiteConfig, captureDir string) (*natlab.Host, error) {
	site, err := s.lab.AddSite(cfg)
	if err != nil {
		return nil, err
	}
	if captureDir != "" {
		if err := s.capture(site, captureDir); err != nil {
			return nil, fmt.Errorf("-pcap: %w", err)
		}
	}
	return site.AddHost(cfg.Name)
}

func (s *stage) capture(site *natlab.Site, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, site.Name()+".pcapng"))
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	return site.Capture(f)
}

// captures names the files that were written.
func (s *stage) captures() []string {
	if s == nil {
		return nil
	}
	names := make([]string, len(s.files))
	for i, f := range s.files {
		names[i] = f.Name()
	}
	return names
}

// close takes the lab down, with all processes in it, and completes the captures.
func (s *stage) close() error {
	var errs []error
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
