package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

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
		{[]string{"-listen", listen, "-stun", taken.Addr().String()}, 1, "STUN server"},
		{[]string{"-listen", listen, "-stun", "127.0.0.1:0", "-key", noKey}, 1, "not a libp2p private key"},
	} {
		r := program.Run(t, exec.Command(exe, test.args...))
		if r.Status != test.status || r.Stdout != "" || !strings.Contains(r.Stderr, test.stderr) {
			t.Errorf("%v: status %d, stdout %q, stderr %q", test.args, r.Status, r.Stdout, r.Stderr)
		}
	}
}
