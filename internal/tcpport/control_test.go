package tcpport

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestControl: every socket goes through the function that the caller gave, and an error of it is
// the socket's.
func TestControl(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var networks []string
	var refuse error
	control := func(network, address string, c syscall.RawConn) error {
		mu.Lock()
		defer mu.Unlock()
		if _, err := netip.ParseAddrPort(address); err != nil {
			t.Error(err)
		}
		if err := c.Control(func(uintptr) {}); err != nil {
			t.Error(err)
		}
		networks = append(networks, network)
		return refuse
	}
	p, err := Open(nil, control)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p4 := netip.AddrPortFrom(localhost, 9)
	errRefused := errors.New("refused by the control")
	for name, do := range map[string]struct {
		f    func() error
		want string // the networks of its sockets, but for IPv6, which the machine may not have
	}{
		"Open":     {func() error { p, err := Open(nil, control); return closed(p, err) }, "tcp4"},
		"OpenIPv4": {func() error { p, err := OpenIPv4(nil, control); return closed(p, err) }, "tcp4"},
		"Connect": {func() error {
			c, err := p.Connect(t.Context(), newTestPort(t).addr)
			if err == nil {
				Reset(c)
			}
			return err
		}, "tcp4"},
		"Begin": {func() error {
			c, err := p.Begin(newTestPort(t).addr)
			if err == nil {
				c.Close()
			}
			return err
		}, "tcp4"},
		"SourceAddr": {func() error { _, err := SourceAddr(p4, control); return err }, "udp4"},
	} {
		mu.Lock()
		networks, refuse = nil, nil
		mu.Unlock()
		err := do.f()
		if errors.Is(err, errors.ErrUnsupported) { // Begin, on Windows
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		mu.Lock()
		if got := strings.TrimSuffix(strings.Join(networks, " "), " tcp6"); got != do.want {
			t.Errorf("%s: got sockets of %s, want %s", name, got, do.want)
		}
		refuse = errRefused
		mu.Unlock()
		if err := do.f(); !errors.Is(err, errRefused) {
			t.Errorf("%s: got %v, want %v", name, err, errRefused)
		}
	}
}

func closed(p *Port, err error) error {
	if err == nil {
		err = p.Close()
	}
	return err
}

func TestHasAddr(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1": true, "192.0.2.1": false, "2001:db8::1": false} {
		controlled := false
		control := func(string, string, syscall.RawConn) error { controlled = true; return nil }
		if got := HasAddr(netip.MustParseAddr(addr), control); got != want || !controlled {
			t.Errorf("%s: got %v, want %v; with control: %v", addr, got, want, controlled)
		}
	}
}
