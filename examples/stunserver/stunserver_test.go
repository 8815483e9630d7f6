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
	p := program.Start(t, exec.Command(exe, "-listen", "127.0.0.1:0", "-metrics", "127.0.0.1:0", "-status", "20ms"))
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(p.Line("serving"))
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.Line("metrics"))
	c, err := stun.Dial(t.Context(), &net.Dialer{}, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.Binding(t.Context()); err != nil || got != c.LocalAddr() {
		t.Errorf("got %v, %v, want %v", got, err, c.LocalAddr())
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	status := p.Line("(malformed 1)")
	if want := ": 1 connections open, 2 so far, 1 requests, 1 refused (malformed 1)"; !strings.HasPrefix(status, "status    up ") || !strings.HasSuffix(status, want) {
		t.Errorf("%q, want %q", status, want)
	}
	page := program.Get(t, url+"/metrics")
	for _, want := range []string{
		"simopen_stun_open_connections 1",
		"simopen_stun_connections_total 2",
		`simopen_stun_requests_total{network="tcp"} 1`,
		`simopen_stun_requests_total{network="udp"} 0`,
		"simopen_stun_connect_backs_total 0",
		`simopen_stun_refused_total{reason="malformed"} 1`,
		`simopen_stun_refused_total{reason="evicted"} 0`,
	} {
		if !strings.Contains(page, "\n"+want+"\n") {
			t.Errorf("no %s in %s", want, page)
		}
	}
	if body := program.Get(t, url+"/healthz"); body != "ok\n" {
		t.Errorf("healthz: %q", body)
	}
	p.Interrupt()
	r := p.Wait()
	if r.Status != 0 || r.Stderr != "" {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
	if want := "\nstopping  within 5s; interrupt once more to end at once\nstopped   up "; !strings.Contains(r.Stdout, want) {
		t.Errorf("no %q", want)
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
		{[]string{"-conns-per-ip", "0"}, 2, "at least 1"},
		{[]string{"-status", "-1s"}, 2, "-status: want 0 or more"},
		{[]string{"extra"}, 2, "extra"},
		{[]string{"-listen", "127.0.0.1:0", "-metrics", "here"}, 1, "-metrics: listen tcp: address here: missing port"},
		{[]string{"-listen", "127.0.0.1:0", "-metrics", taken.Addr().String()}, 1, "or choose another port with -metrics"},
		{[]string{"-listen", taken.Addr().String()}, 1, "address already in use: another program has this port"},
	} {
		r := program.Run(t, exec.Command(exe, test.args...))
		if r.Status != test.status || r.Stdout != "" || !strings.Contains(r.Stderr, test.stderr) {
			t.Errorf("%v: status %d, stdout %q, stderr %q", test.args, r.Status, r.Stdout, r.Stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	r := program.Run(t, exec.Command(program.Self(t), "-version"))
	if r.Status != 0 || r.Stderr != "" || !strings.HasPrefix(r.Stdout, "stunserver ") || strings.Count(r.Stdout, "\n") != 1 {
		t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
	}
}
