package main

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

const (
	someID    = "12D3KooWNBgu298tLQiyYBJpGmbFWVTx1wj8m9GwceeeVUQpoqJQ"
	someRelay = "/ip4/127.0.0.1/tcp/4001/p2p/" + someID
)

func TestServices(t *testing.T) {
	s := make(services)
	for _, text := range []string{"ssh=127.0.0.1:22", "web=[::1]:80", "db-1=localhost:postgresql"} {
		if err := s.Set(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if got, want := s.names(), []string{"db-1", "ssh", "web"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "22", "127.0.0.1", "127.0.0.1:", "=127.0.0.1:22", "a b=127.0.0.1:22", "ssh=127.0.0.1:23"} {
		if err := s.Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if err := s.Set("127.0.0.1:22"); err != nil || s.check() == nil {
		t.Errorf("one without a name among several: %v, and that is fine", err)
	}
}

func TestPeers(t *testing.T) {
	const other = "12D3KooWPBLyqStzGkkA6UR5FLVnK5x6ReFnNRa33YKa5XPkkqk3"
	var p peers
	for _, text := range []string{someID + ", " + other, someID} {
		if err := p.Set(text); err != nil {
			t.Error(err)
		}
	}
	if len(p) != 2 {
		t.Errorf("got %v", p)
	}
	for _, text := range []string{"", someID + ",", "nobody"} {
		if err := p.Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestLocalPort(t *testing.T) {
	for port, want := range map[string]string{"22": "2222", "80": "8080", "443": "8443", "5432": "5432", "no such": "PORT"} {
		if got := localPort(port); got != want {
			t.Errorf("%s: got %s, want %s", port, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	if r := program.Run(t, exec.Command(exe, "dial", "-help")); r.Status != 0 || r.Stdout == "" || r.Stderr != "" {
		t.Errorf("dial -help: status %d, stderr %q", r.Status, r.Stderr)
	}
	program.WantUsage(t, exe,
		[]string{},
		[]string{"talk"},
		[]string{"serve", "-relay", someRelay},
		[]string{"serve", "-to", "127.0.0.1:22"},
		[]string{"serve", "-relay", someRelay, "-to", "22"},
		[]string{"serve", "-relay", someRelay, "-to", "127.0.0.1:22", "-to", "web=127.0.0.1:80"},
		[]string{"serve", "-relay", someRelay, "-to", "127.0.0.1:22", "-allow", "me"},
		[]string{"serve", "-relay", someRelay, "-to", "127.0.0.1:22", "extra"},
		[]string{"dial", "-relay", someRelay, someID},
		[]string{"dial", "-relay", someRelay, "-stdio"},
		[]string{"dial", "-relay", someRelay, "-stdio", "nobody"},
		[]string{"dial", "-relay", someRelay, "-stdio", someID}, // the relay's
		[]string{"dial", "-relay", someRelay, "-stdio", "-local", "127.0.0.1:2222", someID},
		[]string{"dial", "-relay", someRelay, someID, "-local", "127.0.0.1:2222", "-service", "a b"},
	)
}
