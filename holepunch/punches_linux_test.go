package holepunch

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkPunches measures punches at once, both ends and their signalling in this process.
func BenchmarkPunches(b *testing.B) {
	for _, n := range []int{1, 3, 10, 30, 100, 300, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkPunches(b, n) })
	}
}

func benchmarkPunches(b *testing.B, n int) {
	c := newCrowd(b, n)
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	rounds := 0
	for b.Loop() {
		if err := c.punch(ctx, func(context.Context, int) {}); err != nil {
			b.Fatal(err)
		}
		rounds++
	}
	cpu = cpuTime(b) - cpu
	runtime.ReadMemStats(&after)
	punches := float64(rounds * n)
	peak := peakOf(b, c)

	b.ReportMetric(0, "ns/op") // of all at once
	b.ReportMetric(float64(b.Elapsed())/punches, "ns/punch")
	b.ReportMetric(float64(cpu)/punches, "cpu-ns/punch")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/punches, "allocs/punch")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/punches, "B/punch")
	b.ReportMetric(float64(peak.memory)/float64(n), "peak-B/punch")
	b.ReportMetric(float64(peak.live)/float64(n), "live-B/punch")
	b.ReportMetric(float64(peak.descriptors)/float64(n), "peak-fds/punch")
	b.ReportMetric(float64(peak.goroutines)/float64(n), "goroutines/punch")
}

// A peak is what all punches of a crowd hold while each has a connection up, and is about
// to secure it.
type peak struct {
	memory      int // heap and stacks, garbage and all, in bytes
	live        int // the same without garbage
	descriptors int
	goroutines  int
}

func peakOf(t testing.TB, c *crowd) peak {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	before := usage()
	var reached sync.WaitGroup
	reached.Add(len(c.peers))
	once := make([]sync.Once, len(c.peers))
	open := make(chan struct{})
	var at peak
	var measured sync.WaitGroup
	measured.Go(func() {
		defer close(open)
		reached.Wait()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		at = usage()
		at.memory = int(m.HeapInuse + m.StackInuse)
	})
	err := c.punch(ctx, func(ctx context.Context, peer int) {
		once[peer].Do(reached.Done)
		select {
		case <-open:
		case <-ctx.Done():
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	measured.Wait()
	return peak{at.memory - before.memory, at.live - before.live, at.descriptors - before.descriptors, at.goroutines - before.goroutines}
}

// usage is what the process holds.
func usage() peak {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return peak{
		memory:      int(m.HeapInuse + m.StackInuse),
		live:        int(m.HeapAlloc + m.StackInuse),
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
