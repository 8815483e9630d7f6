package main

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"

	"github.com/simopen/go-libp2p-simopen/examples/internal/scene"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
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
	*scene.Scene       // nil on loopback
	noLab        error // why

	start     map[string]func(*exec.Cmd) error // starts an actor's process
	relayAddr string                           // multiaddr at which the relay listens
	stunAddr  string                           // host:port of the STUN server on loopback
	stunAddrs []netip.AddrPort                 // two of the one in a lab

	segments *segmentLog // in a lab only
}

// newNetwork builds the lab, or uses loopback if there cannot be one.
func newNetwork(opts options, noLab error) (*network, error) {
	n := &network{noLab: noLab}
	if n.noLab == nil {
		n.Scene, n.noLab = scene.New(opts.Options)
	}
	switch {
	case n.noLab == nil:
		n.start = map[string]func(*exec.Cmd) error{
			scene.RelayName: n.Relay.Start, scene.AliceName: n.Alice.Start, scene.BobName: n.Bob.Start,
		}
		n.relayAddr, n.stunAddrs = n.RelayListen(), n.STUN[:]
		n.segments = newSegmentLog(n.Alice, n.Bob)
	case errors.Is(n.noLab, natlab.ErrUnavailable) || errors.Is(n.noLab, errLoopbackAsked):
		start := (*exec.Cmd).Start
		n.start = map[string]func(*exec.Cmd) error{scene.RelayName: start, scene.AliceName: start, scene.BobName: start}
		n.relayAddr, n.stunAddr = "/ip4/127.0.0.1/tcp/0", "127.0.0.1:0"
	default:
		return nil, n.noLab
	}
	return n, nil
}

// captures returns the names of the written files.
func (n *network) captures() []string {
	if n == nil || n.Scene == nil {
		return nil
	}
	return n.Captures()
}

// close takes the lab down, with all processes in it, and completes the captures.
func (n *network) close() error {
	if n.Scene == nil {
		return nil
	}
	return n.Close()
}
