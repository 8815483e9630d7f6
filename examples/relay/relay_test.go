package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

func multiaddrOf(t *testing.T, l net.Listener) string {
	t.Helper()
	a, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func TestRefusesToStart(t *testing.T) {
	exe := program.Self(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	noKey := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(noKey, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	const listen = "/ip4/127.0.0.1/tcp/0"
	for _, test := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"-listen", "127.0.0.1:4001"}, 2, "-listen"},
		{[]string{"extra"}, 2, "extra"},
		{[]string{"-stun", ""}, 2, "-stun"},
		{[]string{"-announce", "203.0.113.7:4001"}, 2, "-announce: "},
		{[]string{"-announce", "203.0.113.7", "-listen", listen}, 2, "does not say at which port"},
		{[]string{"-allow", "bob"}, 2, `"bob" is no peer ID`},
		{[]string{"-reservations", "0"}, 2, "-reservations: want a number, at least 1"},
		{[]string{"-duration", "10"}, 2, "-duration"},
		{[]string{"-data", "0"}, 2, "-data"},
		{[]string{"-listen", "/ip4/192.0.2.1/tcp/0", "-stun", "off"}, 1, "relay: listen on /ip4/192.0.2.1/tcp/0: bind: "},
		{[]string{"-listen", listen, "-stun", "off", "-metrics", taken.Addr().String()}, 1, "or choose another port with -metrics"},
		{[]string{"-listen", multiaddrOf(t, taken), "-stun", "off"}, 1, "or choose another port with -listen"},
		{[]string{"-listen", listen, "-stun", taken.Addr().String()}, 1, "STUN server"},
		{[]string{"-listen", listen, "-stun", "127.0.0.1:0", "-key", noKey}, 1, "not a libp2p private key"},
	} {
		r := program.Run(t, exec.Command(exe, test.args...))
		if r.Status != test.status || r.Stdout != "" || !strings.Contains(r.Stderr, test.stderr) {
			t.Errorf("%v: status %d, stdout %q, stderr %q", test.args, r.Status, r.Stdout, r.Stderr)
		}
	}
}
