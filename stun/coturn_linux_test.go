package stun_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["loaded"] = loadedRole }

// loadedRole is a server without bounds on loopback.
func loadedRole(c *labtest.Child) error {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := stun.NewServer(&stun.ServerConfig{MaxConns: 1 << 20, MaxConnsPerClient: 1 << 20, MaxRequestRate: 1 << 30})
	go func() { _ = s.Serve(l) }()
	if err := c.Emit(serving{addrPort(l), os.Getpid()}); err != nil {
		return err
	}
	_ = c.Receive(new(bool)) // until the end
	return s.Close()
}

func addrPort(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// serving is a server process.
type serving struct {
	At  netip.AddrPort
	PID int
}

const (
	sideBySide = 32 // connections
	rounds     = 9  // of each server, in turn
	roundTime  = 500 * time.Millisecond
	idleConns  = 50_000
)

// BenchmarkCoturn runs this server and coturn's turnserver, a process each, and asks
// them in turn from a third process. Of each measurement the median is reported, and
// the ratio is the median of the ratios of neighbouring rounds: above 1, this server
// is ahead.
func BenchmarkCoturn(b *testing.B) {
	var ours serving
	labtest.StartOutside(b, "loaded", nil).Next(b, &ours)
	coturn := startCoturn(b)
	for name, measure := range map[string]func(*load, int, time.Duration) (float64, error){
		"requests":    (*load).requests,
		"connections": (*load).connections,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				compare(b, ours, coturn, measure)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func compare(b *testing.B, ours, coturn serving, measure func(*load, int, time.Duration) (float64, error)) {
	var rates, theirs, ratios, cpu, theirCPU []float64
	for range rounds {
		rate, spent := round(b, ours, measure)
		their, theySpent := round(b, coturn, measure)
		rates, theirs, ratios = append(rates, rate), append(theirs, their), append(ratios, rate/their)
		cpu, theirCPU = append(cpu, spent), append(theirCPU, theySpent)
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(rates), "simopen/s")
	b.ReportMetric(median(theirs), "coturn/s")
	b.ReportMetric(median(cpu), "simopen-µs")
	b.ReportMetric(median(theirCPU), "coturn-µs")
}

// round returns what was measured, and the CPU time in µs that the server took for each.
func round(b *testing.B, s serving, measure func(*load, int, time.Duration) (float64, error)) (perSecond, cpu float64) {
	b.Helper()
	l, err := newLoad(s.At, bindingRequest)
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	before := cpuTime(b, s.PID)
	begun := time.Now()
	if perSecond, err = measure(l, sideBySide, roundTime); err != nil {
		b.Fatalf("%s: %v", s.At, err)
	}
	total := perSecond * time.Since(begun).Seconds()
	return perSecond, float64((cpuTime(b, s.PID) - before).Microseconds()) / total
}

// bindingRequest is what a peer of this module sends.
var bindingRequest = pion.MustBuild(pion.TransactionID, pion.BindingRequest, pion.Fingerprint).Raw

// BenchmarkIdle reports the memory of a connection that is silent after one request:
// the server's own, without the kernel's.
func BenchmarkIdle(b *testing.B) {
	var server serving
	labtest.StartOutside(b, "loaded", nil).Next(b, &server)
	n := min(idleConns, raiseFileLimit(b)-100)
	for b.Loop() {
		l, err := newLoad(server.At, bindingRequest)
		if err != nil {
			b.Fatal(err)
		}
		before := anonymous(b, server.PID)
		if err := l.idle(n); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(anonymous(b, server.PID)-before)/float64(n), "B/conn")
		b.ReportMetric(float64(n), "conns")
		l.close()
	}
	b.ReportMetric(0, "ns/op")
}

func startCoturn(b *testing.B) serving {
	b.Helper()
	exe, err := exec.LookPath("turnserver")
	if err != nil {
		b.Skip("no turnserver in PATH: install coturn")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	at := addrPort(l)
	_ = l.Close()
	// Two threads for two cores, and nothing that costs it time: no log, no other listener.
	cmd := exec.Command(exe, "-n", "--no-auth", "--listening-ip="+at.Addr().String(), "-p", strconv.Itoa(int(at.Port())),
		"-m", "2", "--no-udp", "--no-tls", "--no-dtls", "--no-cli", "--log-file=/dev/null", "--no-stdout-log",
		"--pidfile="+b.TempDir()+"/pid")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		nc, err := net.Dial("tcp4", at.String())
		if err == nil {
			_ = nc.Close()
			return serving{at, cmd.Process.Pid}
		}
		if time.Now().After(deadline) {
			b.Fatalf("turnserver does not listen: %v", err)
		}
	}
}

// raiseFileLimit lets this process open as many files as it may, and returns how
// many. Processes it starts get their own as Go programs do.
func raiseFileLimit(b *testing.B) int {
	b.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	return int(limit.Max)
}

// cpuTime is what a process has spent in user and kernel mode.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The second field, a name in parentheses, may have anything in it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var ticks time.Duration
	for _, f := range fields[11:13] { // utime and stime of proc(5)
		n, err := strconv.Atoi(string(f))
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * time.Second / 100
}

// anonymous is the resident memory in bytes that a process has for itself, rather
// than mapped from files.
func anonymous(b *testing.B, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if kB, ok := bytes.CutPrefix(line, []byte("RssAnon:")); ok {
			n, err := strconv.Atoi(string(bytes.Fields(kB)[0]))
			if err != nil {
				b.Fatal(err)
			}
			return n << 10
		}
	}
	b.Fatal("no RssAnon in /proc")
	return 0
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
