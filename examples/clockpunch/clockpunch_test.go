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
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// The grid of the tests: often enough not to wait long, and with a window in which
// a slow machine, too, has time left between clocks that are 600 ms apart.
var grid = []string{"-json", "-every", "2s", "-n", "40"}

// A duo is two machines behind NATs that keep the ports.
type duo struct {
	lab   *natlab.Lab
	exe   string
	hosts [2]*natlab.Host
}

var ports = [2]uint16{44444, 55555}

func newDuo(t *testing.T, exe string, nats [2]string) *duo {
	t.Helper()
	d := &duo{lab: labtest.New(t, natlab.Config{Seed: 1}), exe: exe}
	for i, nat := range nats {
		d.hosts[i] = addHost(t, d.lab, []string{"alice", "bob"}[i], nat)
	}
	return d
}

func addHost(t *testing.T, lab *natlab.Lab, name, nat string) *natlab.Host {
	t.Helper()
	b, err := natlab.ParseBehaviour(nat)
	if err != nil {
		t.Fatal(err)
	}
	s, err := lab.AddSite(natlab.SiteConfig{Name: name, NAT: b, Delay: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// outer is where a host's port is seen from outside.
func (d *duo) outer(i int) netip.AddrPort {
	addr := d.hosts[i].Site().External()
	if !addr.IsValid() {
		addr = d.hosts[i].Addr()
	}
	return netip.AddrPortFrom(addr, ports[i])
}

// start runs both programs, each with flags of its own.
func (d *duo) start(t *testing.T, flags [2][]string) [2]*program.Process {
	t.Helper()
	var procs [2]*program.Process
	for i, f := range flags {
		args := append([]string{"-port", fmt.Sprint(ports[i])}, f...)
		procs[i] = program.StartIn(t, d.hosts[i], exec.Command(d.exe, append(args, d.outer(1-i).String())...))
	}
	return procs
}

func decode(t *testing.T, r program.Result) (res result) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), &res); err != nil {
		t.Fatalf("stdout %q, stderr %q: %v", r.Stdout, r.Stderr, err)
	}
	return res
}

// punch runs both until they are connected.
func (d *duo) punch(t *testing.T, flags [2][]string) [2]result {
	t.Helper()
	hello := [2]string{"I am alice", "I am bob \x1b[31m"}
	for i := range flags {
		flags[i] = append(append([]string{"-hello", hello[i]}, grid...), flags[i]...)
	}
	procs := d.start(t, flags)
	var res [2]result
	for i, p := range procs {
		r := p.Wait()
		res[i] = decode(t, r)
		if r.Status != 0 || r.Stderr != "" || !res[i].Connected || res[i].Reason != "" {
			t.Errorf("%s: status %d, stderr %q, %+v", d.hosts[i].Name(), r.Status, r.Stderr, res[i])
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	for i, r := range res {
		if r.Hello != hello[1-i] || r.Remote != d.outer(1-i) || r.RTT <= 0 || r.Late < 0 || r.Slots < 1 {
			t.Errorf("%s got %+v", d.hosts[i].Name(), r)
		}
	}
	// Where one begins so late that its slot is the next one, and the other's
	// window is still open, they are connected all the same.
	const every = 2 * time.Second
	if apart := res[0].Slot.Sub(res[1].Slot).Abs(); apart > every || res[0].Slot.UnixNano()%int64(every) != 0 {
		t.Errorf("slots %s and %s, want full two seconds, the same or the next", res[0].Slot, res[1].Slot)
	}
	return res
}

// TestClocksDiffer: up to 300 ms on each side, with NATs that drop a SYN that they
// did not expect, and such that refuse it.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	for _, nats := range [][2]string{
		{"eim-apdf", "eim-apdf"},
		{"eim-apdf-rst", "eim-apdf-rst"},
		{"eim-apdf-rst-rstkills", "eim-apdf-rst-rstkills"},
		{"eim-apdf", "eim-apdf-rst-rstkills"},
		{"public", "eim-apdf-rst"},
	} {
		for _, offsets := range [][2]string{{"0", "0"}, {"-300ms", "300ms"}, {"300ms", "-300ms"}} {
			t.Run(fmt.Sprint(nats, offsets), func(t *testing.T) {
				t.Parallel() // they wait most of the time
				newDuo(t, exe, nats).punch(t, [2][]string{{"-offset", offsets[0]}, {"-offset", offsets[1]}})
			})
		}
	}
}

// TestNTP: clocks that are seconds wrong are corrected by a server whose own is an
// hour wrong, which does not matter if both ask it.
func TestNTP(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	const ahead = time.Hour + 321*time.Millisecond
	d := newDuo(t, program.Self(t), [2]string{"eim-apdf", "eim-apdf-rst"})
	server := addHost(t, d.lab, "time", "public")
	serveNTP(t, server, ahead)
	ntp := server.Addr().String()
	res := d.punch(t, [2][]string{{"-offset", "7s", "-ntp", ntp}, {"-offset", "-5.5s", "-ntp", ntp}})
	for i, r := range res {
		// Half a round trip is the most that the measurement can be wrong by,
		// and the protocol's fixed point numbers are finer than 1 µs.
		if wrong := r.Offset - millis(ahead); wrong > r.Within+0.001 || wrong < -r.Within-0.001 || r.Within <= 0 {
			t.Errorf("%s: %.3f ms added, want %.3f within %.3f", d.hosts[i].Name(), r.Offset, millis(ahead), r.Within)
		}
	}

	refused := d.start(t, [2][]string{{"-ntp", d.outer(1).Addr().String()}, {"-ntp", ntp + ":124"}})
	wantFailure(t, refused[1].Wait(), "nobody serves NTP there")
	refused[0].Line("peer ")
	refused[0].Interrupt()
	if r := refused[0].Wait(); r.Status != 1 || !strings.HasSuffix(r.Stderr, "interrupted\n") {
		t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
	}
}

// TestImpossible: what a person reads when it does not work.
func TestImpossible(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	exe := program.Self(t)
	flags := []string{"-every", "1s", "-n", "2"}
	for nat, want := range map[string]string{
		"apdm-apdf-random":     "nothing comes from ",
		"apdm-apdf-random-rst": " refuses: ",
	} {
		t.Run(nat, func(t *testing.T) {
			t.Parallel()
			nat = strings.Replace(nat, "-random-rst", "-rst-random", 1)
			for _, p := range newDuo(t, exe, [2]string{nat, nat}).start(t, [2][]string{flags, flags}) {
				r := p.Wait()
				wantFailure(t, r, want)
				if !strings.Contains(r.Stdout, ", 2 of 2, in ") || !strings.Contains(r.Stdout, "\ncheck     Does the other side") {
					t.Errorf("stdout %q", r.Stdout)
				}
			}
		})
	}
}

// wantFailure checks for status 1 and one line that says why.
func wantFailure(t *testing.T, r program.Result, want string) {
	t.Helper()
	if r.Status != 1 || !strings.Contains(r.Stderr, want) || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("status %d, stdout %q, stderr %q; want 1 and a line with %q", r.Status, r.Stdout, r.Stderr, want)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		a, b := tcptest.Free(t), tcptest.Free(t)
		flags := []string{"-every", "1s", "-n", "60"}
		alice := program.Start(t, exec.Command(exe, append(flags, "-hello", "evil \x1b[31m\n", "-port", a, "127.0.0.1:"+b)...))
		bob := program.Start(t, exec.Command(exe, append(flags, "-port", b, "127.0.0.1:"+a)...))
		for i, p := range []*program.Process{alice, bob} {
			r := p.Wait()
			hello := []string{`"hello"`, `"evil \x1b[31m\n"`}[i]
			wanted := []string{"port      ", "clock     this machine's\n", "slot      ", " 1 of 60, in ",
				"connected to 127.0.0.1:", "RTT       ", "hello     " + hello + "\n"}
			if !strings.Contains(r.Stdout, "this side accepted") { // which may be before its own first SYN
				wanted = append(wanted, "start     first SYN ", "punch     ")
			}
			for _, want := range wanted {
				if !strings.Contains(r.Stdout, want) {
					t.Errorf("no %q in %q", want, r.Stdout)
				}
			}
			if r.Status != 0 || r.Stderr != "" {
				t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
			}
		}
	})
	t.Run("self", func(t *testing.T) {
		t.Parallel()
		port := tcptest.Free(t)
		wantFailure(t, program.Run(t, exec.Command(exe, "-every", "24h", "-port", port, "127.0.0.1:"+port)), "leads back to this program")
	})
	t.Run("interrupt", func(t *testing.T) {
		t.Parallel()
		p := program.Start(t, exec.Command(exe, "-every", "24h", "-port", tcptest.Free(t), "127.0.0.1:1"))
		p.Line("slot ")
		p.Interrupt()
		wantFailure(t, p.Wait(), "interrupted")
	})
	t.Run("port in use", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		wantFailure(t, program.Run(t, exec.Command(exe, "-port", port, "127.0.0.1:1")), "another program listens on port "+port)
	})
	t.Run("something else", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Write([]byte("SSH-2.0-nobody\r\n"))
				defer c.Close()
			}
		}()
		defer func() {
			l.Close()
			<-served
		}()
		r := program.Run(t, exec.Command(exe, "-every", "1s", "-n", "1", "-port", tcptest.Free(t), l.Addr().String()))
		wantFailure(t, r, "something else than clockpunch answers")
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	exe := program.Self(t)
	const peer = "46.0.3.1:44444"
	program.WantUsage(t, exe,
		[]string{},
		[]string{peer},
		[]string{"-port", "44444"},
		[]string{"-port", "44444", "example.org:44444"},
		[]string{"-port", "44444", "0.0.0.0:44444"},
		[]string{"-port", "44444", "46.0.3.1:0"},
		[]string{"-port", "44444", "-every", "10ms", peer},
		[]string{"-port", "44444", "-n", "0", peer},
		[]string{"-port", "44444", "-hello", strings.Repeat("x", 256), peer},
		[]string{"-port", "44444", peer, "extra"},
	)
}
