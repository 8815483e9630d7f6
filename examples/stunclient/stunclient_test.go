package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// serve runs our STUN server on a listener that listen makes.
func serve(t *testing.T, listen func() (net.Listener, error)) (port uint16) {
	t.Helper()
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	stuntest.Serve(t, l)
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// serveIn runs our STUN server in a host.
func serveIn(t *testing.T, host *natlab.Host) (server string) {
	t.Helper()
	port := serve(t, func() (l net.Listener, err error) {
		err = host.Do(func() error {
			l, err = net.Listen("tcp4", ":3478")
			return err
		})
		return l, err
	})
	return netip.AddrPortFrom(host.Addr(), port).String()
}

// coturn runs coturn in a host.
func coturn(t *testing.T, host *natlab.Host) (server string) {
	t.Helper()
	addr := netip.AddrPortFrom(host.Addr(), 3478)
	program.StartIn(t, host, exec.Command(program.Find(t, "turnserver", "coturn"), "-n", "--no-auth", "--no-cli",
		"--listening-ip="+addr.Addr().String(), fmt.Sprint("--listening-port=", addr.Port()),
		"--log-file=stdout", "--simple-log", "--pidfile="+t.TempDir()+"/pid", "--userdb="+t.TempDir()+"/db"))
	// It does not say reliably when it is ready.
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := host.Do(func() error {
			c, err := net.Dial("tcp4", addr.String())
			if err == nil {
				c.Close()
			}
			return err
		})
		if err == nil {
			return addr.String()
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("coturn does not listen: %v", err)
		}
	}
}

func decode(t *testing.T, r program.Result) (res result) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), &res); err != nil {
		t.Fatalf("stdout %q, stderr %q: %v", r.Stdout, r.Stderr, err)
	}
	return res
}

// TestLab: behind a NAT, from a port by number, with our server and with coturn.
func TestLab(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	for name, start := range map[string]func(*testing.T, *natlab.Host) string{"simopen": serveIn, "coturn": coturn} {
		for nat, samePort := range map[string]bool{"eim-apdf": true, "apdm-apdf-random": false} {
			t.Run(name+"/"+nat, func(t *testing.T) {
				t.Parallel()
				lab := labtest.New(t, natlab.Config{Seed: 1})
				server := start(t, addHost(t, lab, "server", "public"))
				client := addHost(t, lab, "client", nat)
				res := decode(t, program.StartIn(t, client, exec.Command(exe, "-json", "-port", "44444", server)).Wait())
				want := netip.AddrPortFrom(client.Addr(), 44444)
				if res.Server != server || res.Local != want || res.RTT <= 0 || res.Reason != "" {
					t.Errorf("got %+v", res)
				}
				if res.Reflexive.Addr() != client.Site().External() || (res.Reflexive.Port() == 44444) != samePort {
					t.Errorf("reflexive address %s", res.Reflexive)
				}
				if want := fmt.Sprintf("/ip4/%s/tcp/%d", res.Reflexive.Addr(), res.Reflexive.Port()); res.Multiaddr != want {
					t.Errorf("multiaddr %s, want %s", res.Multiaddr, want)
				}
				// Another one at once: the kernel still knows the first connection, if it was the
				// client that closed it.
				again := program.StartIn(t, client, exec.Command(exe, "-port", "44444", server)).Wait()
				switch {
				case again.Status == 0 && strings.Contains(again.Stdout, "\naddress   "+res.Reflexive.Addr().String()+":"):
				case again.Status == 1 && strings.Contains(again.Stderr, "has just been used to ask"):
				default:
					t.Errorf("asked again: %+v", again)
				}
			})
		}
	}
}

func addHost(t *testing.T, lab *natlab.Lab, name, nat string) *natlab.Host {
	t.Helper()
	b, err := natlab.ParseBehaviour(nat)
	if err != nil {
		t.Fatal(err)
	}
	s, err := lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestLoopback(t *testing.T) {
	exe := program.Self(t)
	listen := func() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") }
	server := fmt.Sprint("127.0.0.1:", serve(t, listen))
	t.Run("text", func(t *testing.T) {
		r := program.Run(t, exec.Command(exe, "stun:"+server+"?transport=tcp"))
		for _, want := range []string{"local ", "server    " + server, "address   127.0.0.1:", "/ip4/127.0.0.1/tcp/", "NAT       none"} {
			if !strings.Contains(r.Stdout, want) {
				t.Errorf("no %q in %q", want, r.Stdout)
			}
		}
		if r.Status != 0 || r.Stderr != "" {
			t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
		}
	})
	t.Run("port in use", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(server)
		wantFailure(t, program.Run(t, exec.Command(exe, "-port", port, server)), "another program listens on port "+port)
	})
	t.Run("refused", func(t *testing.T) {
		// Port 1 is tcpmux (RFC 1078), which no host runs.
		wantFailure(t, program.Run(t, exec.Command(exe, "127.0.0.1:1")), "refuses TCP connections")
		res := decode(t, program.Run(t, exec.Command(exe, "-json", "127.0.0.1:1")))
		if !strings.Contains(res.Reason, "refuses TCP connections") {
			t.Errorf("got %+v", res)
		}
	})
	for name, test := range map[string]struct{ says, want string }{
		"hangs up":  {"", "has closed the connection"},
		"other":     {"SSH-2.0-nobody\r\n and more than a header", "does not speak STUN"},
		"interrupt": {"", "interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := listen()
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p := program.Start(t, exec.Command(exe, l.Addr().String()))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			switch {
			case name == "interrupt":
				p.Interrupt()
			case test.says == "":
				c.Close()
			default:
				c.Write([]byte(test.says))
			}
			wantFailure(t, p.Wait(), test.want)
		})
	}
}

// wantFailure checks for status 1 and one line that says why.
func wantFailure(t *testing.T, r program.Result, want string) {
	t.Helper()
	if r.Status != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, want) || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("status %d, stdout %q, stderr %q; want 1 and a line with %q", r.Status, r.Stdout, r.Stderr, want)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	program.WantUsage(t, exe,
		[]string{},
		[]string{"-port", "0", "127.0.0.1"},
		[]string{"-port", "70000", "127.0.0.1"},
		[]string{"turn:127.0.0.1"},
		[]string{"127.0.0.1", "extra"},
	)
}
