//go:build !linux

package natlab

import (
	"net/netip"
	"os"
	"os/exec"
)

var errNotLinux = &UnavailableError{Reason: "network namespaces need Linux"}

func enter() error { return errNotLinux }

func probe() error { return errNotLinux }

func addAddr(netip.Prefix) error { return errNotLinux }

func replaceAddr(_, _ netip.Prefix) error { return errNotLinux }

func stop(*os.Process) error { return errNotLinux }

func resume(*os.Process) error { return errNotLinux }

type namespace struct{}

func newNamespace(...netip.Prefix) (*namespace, *os.File, error) { return nil, nil, errNotLinux }

func (*namespace) do(func() error) error { return errNotLinux }

func (*namespace) start(*exec.Cmd) error { return errNotLinux }

func (*namespace) close() {}
