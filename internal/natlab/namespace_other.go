//go:build !linux

package natlab

import (
	"net/netip"
	"os"
	"os/exec"
	"time"
)

var errNotLinux = &UnavailableError{Reason: "network namespaces need Linux"}

func enter() error { return errNotLinux }

func probe() error { return errNotLinux }

func rotateAddr(_, _ netip.Prefix) error { return errNotLinux }

func addAddr(string, netip.Prefix) error { return errNotLinux }

func replaceAddr(netip.Addr, netip.Prefix, netip.Prefix) error { return errNotLinux }

func stop(*os.Process) error { return errNotLinux }

func resume(*os.Process) error { return errNotLinux }

type namespace struct{}

func newNamespace() (*namespace, error) { return nil, errNotLinux }

func (*namespace) addTUN(string, bool, ...netip.Prefix) (*os.File, error) { return nil, errNotLinux }

func (*namespace) setRules(Behaviour, netip.Addr) error { return errNotLinux }

func (*namespace) forward(uint16, netip.AddrPort) error { return errNotLinux }

func (*namespace) forget() error { return errNotLinux }

func (*namespace) do(func() error) error { return errNotLinux }

func (*namespace) start(*exec.Cmd) error { return errNotLinux }

func (*namespace) close() {}

type bridge struct{}

func newBridge() (*bridge, error) { return nil, errNotLinux }

func (*bridge) plug(*namespace, netip.Addr, ...netip.Prefix) error { return errNotLinux }

func (*bridge) setPort(*namespace, bool) error { return errNotLinux }

func (*bridge) close() {}

type watch struct{}

func (*namespace) watch(string, func(time.Time, bool, []byte)) (*watch, error) {
	return nil, errNotLinux
}

func (*watch) close() {}

type router struct {
	ns       *namespace
	lan, wan *os.File
	ports    *bridge
}

func newRouter(*Site, Behaviour) (*router, error) { return nil, errNotLinux }

func (*router) close() {}
