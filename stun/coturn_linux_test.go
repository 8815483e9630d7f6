package stun_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	pion "github.com/pion/stun/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
	"github.com/simopen/go-libp2p-simopen/internal/tcptest"
	"github.com/simopen/go-libp2p-simopen/stun"
)

func init() { roles["loaded"] = loadedRole }

// loadedRole is a server without bounds on loopback.
func loadedRole(c *labtest.Child) error {
	// As examples/stunserver listens.
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
	sideBySide  = 32 // connections
	loadThreads = 2  // that ask over them: one alone would be slower than a server
	rounds      = 9  // of each server, in turn
	roundTime   = 500 * time.Millisecond
	idleConns   = 50_000
)

// BenchmarkCoturn runs this server and coturn's turnserver, a process each, and asks them in turn
// from a third process. Of each figure the median is reported, and the ratio is the median of the
// ratios of neighbouring rounds: above 1, this server is ahead. The CPU time is that of the
// server's process, for each request or connection.
func BenchmarkCoturn(b *testing.B) {
	ours, coturn := startOurs(b), startCoturn(b)
	b.Run("requests", func(b *testing.B) { compare(b, ours, coturn, (*load).requests) })
	b.Run("connections", func(b *testing.B) { compare(b, ours, coturn, (*load).connections) })
}

// BenchmarkIdle reports the memory of a connection that is silent after one request: what the
// server's process takes, without the kernel's part.
func BenchmarkIdle(b *testing.B) {
	b.Run("simopen", func(b *testing.B) { idle(b, startOurs(b)) })
	b.Run("coturn", func(b *testing.B) { idle(b, startCoturn(b)) })
}

// measure runs a load over a number of connections for some time.
type measure func(l *load, conns int, d time.Duration) (perSecond float64, err error)

func compare(b *testing.B, ours, coturn serving, m measure) {
	for b.Loop() {
		var our, their, ratio, ourCPU, theirCPU []float64
		for range rounds {
			a, aCPU := round(b, ours, m)
			b, bCPU := round(b, coturn, m)
			our, their, ratio = append(our, a), append(their, b), append(ratio, a/b)
			ourCPU, theirCPU = append(ourCPU, aCPU), append(theirCPU, bCPU)
		}
		b.ReportMetric(median(ratio), "ratio")
		b.ReportMetric(median(our), "simopen/s")
		b.ReportMetric(median(their), "coturn/s")
		b.ReportMetric(median(ourCPU), "simopen-cpu-µs")
		b.ReportMetric(median(theirCPU), "coturn-cpu-µs")
	}
	b.ReportMetric(0, "ns/op") // not of interest
}

// round returns what was measured, and the CPU time in µs that the server has spent on each.
func round(b *testing.B, s serving, m measure) (perSecond, cpu float64) {
	b.Helper()
	before := cpuTime(b, s.PID)
	begun := time.Now()
	results := make(chan float64, loadThreads)
	var group errgroup.Group
	for range loadThreads {
		group.Go(func() error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			l, err := newLoad(s.At, bindingRequest)
			if err != nil {
				return err
			}
			defer l.close()
			rate, err := m(l, sideBySide/loadThreads, roundTime)
			results <- rate
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatalf("%s: %v", s.At, err)
	}
	for range loadThreads {
		perSecond += <-results
	}
	total := perSecond * time.Since(begun).Seconds()
	return perSecond, float64((cpuTime(b, s.PID) - before).Microseconds()) / total
}

// bindingRequest is what a peer of this module sends.
var bindingRequest = pion.MustBuild(pion.TransactionID, pion.BindingRequest, pion.Fingerprint).Raw

func idle(b *testing.B, s serving) {
	n := min(idleConns, fileLimit(b)-100)
	if n < idleConns {
		b.Logf("%d connections instead of %d: no process may open more files here (ulimit -Hn)", n, idleConns)
	}
	for b.Loop() {
		l, err := newLoad(s.At, bindingRequest)
		if err != nil {
			b.Fatal(err)
		}
		before := anonymous(b, s.PID)
		if err := l.idle(n); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(anonymous(b, s.PID)-before)/float64(n), "B/conn")
		b.ReportMetric(float64(n), "conns")
		l.close()
	}
	b.ReportMetric(0, "ns/op")
}

func startOurs(b *testing.B) (s serving) {
	b.Helper()
	labtest.StartOutside(b, "loaded", nil).Next(b, &s)
	return s
}

func startCoturn(b *testing.B) serving {
	b.Helper()
	exe, err := exec.LookPath("turnserver")
	if err != nil {
		b.Skip("no turnserver in PATH: install coturn")
	}
	at := netip.MustParseAddrPort("127.0.0.1:" + tcptest.Free(b))
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

// fileLimit is how many files this process and those it starts may open. A Go program raises its
// limit as far as it may, and so does coturn.
func fileLimit(b *testing.B) int {
	b.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	return int(min(limit.Max, 1<<30))
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

// anonymous is the resident memory in bytes that a process has for itself, rather than mapped from
// files.
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
