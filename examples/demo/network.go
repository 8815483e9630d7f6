package main

import (
	"errors"
	"fmt"
	"io/fs"
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

// loopbackEnv makes the demo use loopback even where a lab can be had.
const loopbackEnv = "SIMOPEN_DEMO_LOOPBACK"

// errLoopbackAsked is returned by enterLab if loopbackEnv is set.
var errLoopbackAsked = errors.New(loopbackEnv + " is set")

// enterLab must be called first in main. It returns why there cannot be a lab.
func enterLab() error {
	if os.Getenv(loopbackEnv) != "" {
		return errLoopbackAsked
	}
	return natlab.Enter()
}

// A network is where the relay and the peers run: a lab, or loopback.
type network struct {
	lab   *natlab.Lab // nil on loopback
	noLab error       // why

	start     map[string]func(*exec.Cmd) error // starts an actor's process
	relayAddr string                           // multiaddr at which the relay listens
	stunAddr  string                           // host:port of the STUN server on loopback
	stunAddrs []netip.AddrPort                 // two of the one in a lab

	// In a lab only.
	relay, alice, bob *natlab.Host
	segments          *segmentLog
	files             []*os.File // captures
}

// newNetwork builds the lab, or uses loopback if there cannot be one.
func newNetwork(opts options, noLab error) (*network, error) {
	n := &network{
		noLab:     noLab,
		start:     make(map[string]func(*exec.Cmd) error),
		relayAddr: "/ip4/127.0.0.1/tcp/0",
		stunAddr:  "127.0.0.1:0",
	}
	if n.noLab == nil {
		n.lab, n.noLab = natlab.New(natlab.Config{Bridge: opts.bridge})
	}
	switch {
	case n.noLab == nil:
		if err := n.build(opts); err != nil {
			return nil, errors.Join(err, n.close())
		}
	case errors.Is(n.noLab, natlab.ErrUnavailable) || errors.Is(n.noLab, errLoopbackAsked):
		for _, name := range []string{relayName, aliceName, bobName} {
			n.start[name] = (*exec.Cmd).Start
		}
	default:
		return nil, n.noLab
	}
	return n, nil
}

// build adds sites and hosts to the lab.
func (n *network) build(opts options) error {
	peerSite := natlab.SiteConfig{Delay: opts.oneWay, Jitter: opts.jitter, Loss: opts.loss}
	alice, bob := peerSite, peerSite
	alice.Name, alice.NAT = aliceName, opts.a
	bob.Name, bob.NAT = bobName, opts.b
	for _, cfg := range []natlab.SiteConfig{{Name: relayName, Delay: opts.relayOneWay}, alice, bob} {
		host, err := n.addHost(cfg, opts.pcap)
		if err != nil {
			return err
		}
		n.start[cfg.Name] = host.Start
		switch cfg.Name {
		case relayName:
			n.relay = host
			n.relayAddr = fmt.Sprintf("/ip4/%s/tcp/4001", host.Addr())
			second, err := host.AddAddr()
			if err != nil {
				return err
			}
			n.stunAddr = ""
			n.stunAddrs = []netip.AddrPort{netip.AddrPortFrom(host.Addr(), 3478), netip.AddrPortFrom(second, 3479)}
		case aliceName:
			n.alice = host
		case bobName:
			n.bob = host
		}
	}
	n.segments = newSegmentLog(n.alice, n.bob)
	return nil
}

// addHost adds a site with one host.
func (n *network) addHost(cfg natlab.SiteConfig, captureDir string) (*natlab.Host, error) {
	site, err := n.lab.AddSite(cfg)
	if err != nil {
		return nil, err
	}
	if captureDir != "" {
		if err := n.capture(site, captureDir); err != nil {
			return nil, fmt.Errorf("-pcap: %w", err)
		}
	}
	return site.AddHost(cfg.Name)
}

func (n *network) capture(site *natlab.Site, dir string) error {
	// Not the whole path: as root, a mistyped one would be made anywhere.
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Create(filepath.Join(dir, site.Name()+".pcapng"))
	if err != nil {
		return err
	}
	n.files = append(n.files, f)
	return site.Capture(f)
}

// captures returns the names of the written files.
func (n *network) captures() []string {
	if n == nil {
		return nil
	}
	names := make([]string, len(n.files))
	for i, f := range n.files {
		names[i] = f.Name()
	}
	return names
}

// close takes the lab down, with all processes in it, and completes the captures.
func (n *network) close() error {
	var errs []error
	if n.lab != nil {
		errs = append(errs, n.lab.Close())
	}
	for _, f := range n.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
