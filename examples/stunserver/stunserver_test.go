package main

import (
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestServe(t *testing.T) {
	exe := program.Self(t)
	p := program.Start(t, exec.Command(exe, "-listen", "127.0.0.1:0"))
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(p.Line("serving"))
	c, err := stun.Dial(t.Context(), &net.Dialer{}, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.Binding(t.Context()); err != nil || got != c.LocalAddr() {
		t.Errorf("got %v, %v, want %v", got, err, c.LocalAddr())
	}
	p.Interrupt()
	if r := p.Wait(); r.Status != 0 || r.Stderr != "" {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
}

func TestRefusesToStart(t *testing.T) {
	exe := program.Self(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"-listen", "somewhere"}, 2, "-listen"},
		{[]string{"-other", "127.0.0.1:3479"}, 2, "must name the addresses"},
		{[]string{"-listen", "127.0.0.1:3478", "-other", "127.0.0.1:3479"}, 2, "another address and another port"},
		{[]string{"-listen", "127.0.0.1:3478", "-other", "127.0.0.2:3478"}, 2, "another address and another port"},
		{[]string{"-listen", ":3478", "-other", "127.0.0.2:3479"}, 2, "must name the addresses"},
		{[]string{"-listen", "127.0.0.1:3478", "-other", "[::1]:3479"}, 2, "one family"},
		{[]string{"-listen", "127.0.0.1:0", "-other", "127.0.0.2:3479"}, 2, "must be given"},
		{[]string{"-conns", "-1"}, 2, "-conns"},
		{[]string{"extra"}, 2, "extra"},
		{[]string{"-listen", taken.Addr().String()}, 1, "address already in use: another program has this port"},
	} {
		r := program.Run(t, exec.Command(exe, test.args...))
		if r.Status != test.status || r.Stdout != "" || !strings.Contains(r.Stderr, test.stderr) {
			t.Errorf("%v: status %d, stdout %q, stderr %q", test.args, r.Status, r.Stdout, r.Stderr)
		}
	}
}
