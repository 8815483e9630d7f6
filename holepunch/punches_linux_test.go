package holepunch

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// What a host may take for one punch of many at its peak, with its signalling. The tests'
// process has both ends of each.
const (
	// maxMemory is of live heap and stacks, in bytes. It is 45 KiB, or 65 where the machine is
	// slow and the crossed pairs are connected as well; 100 KiB is what a host can spare.
	maxMemory = 72 << 10

	// maxDescriptors: the two pairs of ports have a connection each, and so have the two
	// crossed pairs where the machine is slow. And each may be in the middle of a
	// connect which finds that out.
	maxDescriptors = 4 + 4
)

// TestManyPunches makes a thousand punches at once. None fails, or takes more than its share, and
// all is given back. The race detector makes everything several times slower and some of it larger,
// so with it they are fewer. They are fewer as well where other processes leave little time to this
// one: so many that all messages are read within the times of an attempt.
func TestManyPunches(t *testing.T) {
	n, memory := 1000, maxMemory
	if raceEnabled {
		n, memory = 100, 2*maxMemory
	}
	wantDescriptors(t, n)
	for {
		begin, cpu := time.Now(), cpuTime(t)
		err := wantPunches(t, n, memory)
		share := (cpuTime(t) - cpu).Seconds() / time.Since(begin).Seconds() / float64(runtime.GOMAXPROCS(0))
		switch {
		case err == nil:
			return
		case share > 0.5 || n < 100:
			t.Fatal(err)
		}
		t.Logf("%d punches, with %.0f %% of the processors: %v", n, 100*share, err)
		n /= 2
	}
}

// wantPunches makes n punches at once, each of which may take so much memory at its peak.
func wantPunches(t *testing.T, n, memory int) error {
	c := newCrowd(t, n)
	before := usage()
	p, err := peakOf(t, c)
	if err != nil {
		return err
	}
	t.Logf("%d punches, both ends: %+v", n, p)
	if got := p.memory / (2 * n); got > memory {
		t.Errorf("%d bytes a punch, want %d at most", got, memory)
	}
	if p.descriptors > 2*n*maxDescriptors {
		t.Errorf("%d file descriptors, want %d a punch at most", p.descriptors, maxDescriptors)
	}
	// A port may still be about to reset what has come for a punch that is over.
	for end := time.Now().Add(testTimeout); ; time.Sleep(100 * time.Millisecond) {
		after := usage()
		if after.descriptors <= before.descriptors && after.goroutines <= before.goroutines {
			return nil
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, want no more descriptors and goroutines than before: %+v", after, before)
		}
	}
}

// wantDescriptors skips a test where the process may not have as many as a crowd needs.
func wantDescriptors(t testing.TB, peers int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := descriptors() + peers*(punch.MaxPorts+2*maxDescriptors)
	if limit.Cur >= uint64(n) {
		return
	}
	raised := unix.Rlimit{Cur: uint64(n), Max: max(limit.Max, uint64(n))}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		text := fmt.Sprintf("%d file descriptors are needed, the limit is %d: %v", n, limit.Max, err)
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
}

var chart = flag.String("chart", "", "with -bench Punches: write the medians of all runs to this SVG `file`")

// BenchmarkPunches measures punches at once, both ends and their signalling in this process.
// The chart of docs/performance.md is made by
//
//	go test ./holepunch -run - -bench Punches -benchtime 0.5s -count 5 -args \
//		-chart ../docs/punches.svg
func BenchmarkPunches(b *testing.B) {
	for _, n := range []int{1, 3, 10, 30, 100, 300, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkPunches(b, n) })
	}
	if *chart != "" {
		if err := drawPunches(*chart, measured); err != nil {
			b.Fatal(err)
		}
	}
}

// A cost is what one of n punches at once takes.
type cost struct {
	elapsed, cpu    time.Duration
	allocated, held float64 // bytes
}

// measured is all that was, by n.
var measured = make(map[int][]cost)

func benchmarkPunches(b *testing.B, n int) {
	wantDescriptors(b, n)
	c := newCrowd(b, n)
	time.Sleep(2 * time.Second) // what other punches have left is forgotten
	// The runtime takes stacks by 32 KiB, so a few punches are measured several times.
	var at peak
	peaks := max(1, 100/n)
	for range peaks {
		p, err := peakOf(b, c)
		if err != nil {
			b.Fatal(err)
		}
		at.memory += p.memory
		at.descriptors += p.descriptors
		at.goroutines += p.goroutines
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	rounds := 0
	for b.Loop() {
		if err := c.punch(b.Context(), func(context.Context, int) {}); err != nil {
			b.Fatal(err)
		}
		rounds++
	}
	cpu = cpuTime(b) - cpu
	runtime.ReadMemStats(&after)

	punches := rounds * n
	got := cost{
		elapsed:   b.Elapsed() / time.Duration(punches),
		cpu:       cpu / time.Duration(punches),
		allocated: float64(after.TotalAlloc-before.TotalAlloc) / float64(punches),
		held:      float64(at.memory) / float64(peaks*n),
	}
	measured[n] = append(measured[n], got)
	b.ReportMetric(0, "ns/op") // of all at once
	b.ReportMetric(float64(got.elapsed), "ns/punch")
	b.ReportMetric(float64(got.cpu), "cpu-ns/punch")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(punches), "allocs/punch")
	b.ReportMetric(got.allocated, "B/punch")
	b.ReportMetric(got.held, "peak-B/punch")
	b.ReportMetric(float64(at.descriptors)/float64(peaks*n), "peak-fds/punch")
	b.ReportMetric(float64(at.goroutines)/float64(peaks*n), "peak-goroutines/punch")
}

// maxGate is how long an initiator holds a connection before it chooses it. The responder gives it
// up after 5 s.
const maxGate = 2500 * time.Millisecond

// A peak is what the punches of a crowd hold while each has a connection up, and is about
// to choose it.
type peak struct {
	memory      int // of live heap and stacks, in bytes
	descriptors int
	goroutines  int
}

// peakOf has a crowd punch, and measures when each has come to its choice. Until then
// they wait, but not for long.
func peakOf(t testing.TB, c *crowd) (peak, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	before := usage()
	var at peak
	var all, measured sync.WaitGroup
	all.Add(len(c.peers))
	arrive := make([]sync.Once, len(c.peers)) // a punch may try a second connection
	open := make(chan struct{})
	measured.Go(func() {
		all.Wait()
		at = usage()
		close(open)
	})
	err := c.punch(ctx, func(ctx context.Context, peer int) {
		arrive[peer].Do(all.Done)
		select {
		case <-open:
		case <-time.After(maxGate):
		case <-ctx.Done():
		}
	})
	for i := range arrive {
		arrive[i].Do(all.Done) // a punch that failed may not have come so far
	}
	measured.Wait()
	if err != nil {
		return peak{}, err
	}
	return peak{at.memory - before.memory, at.descriptors - before.descriptors, at.goroutines - before.goroutines}, nil
}

// usage is what the process holds.
func usage() peak {
	runtime.GC() // which takes spare stack away, too
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return peak{
		memory:      int(m.HeapAlloc + m.StackInuse),
		descriptors: descriptors(),
		goroutines:  runtime.NumGoroutine(),
	}
}

func descriptors() int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err) // not on Linux
	}
	return len(open) - 1 // for the directory itself
}

// cpuTime is what the process has taken of the processors, system calls included.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
