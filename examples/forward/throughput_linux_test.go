package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// BenchmarkThroughput compares a tunnel with plain TCP to a forwarded port, on the same path and in
// turn. It reports ratios, above 1 where the tunnel is ahead: the medians of those of neighbouring
// rounds.
func BenchmarkThroughput(b *testing.B) {
	exes := build(b)
	for _, c := range []throughputCase{
		{"100 Mbit/s", natlab.Config{Bridge: true}, "kernel-drop", 100, 2 << 20},
		{"1 Gbit/s", natlab.Config{Bridge: true}, "kernel-drop", 1000, 20 << 20},
		{"unlimited", natlab.Config{Bridge: true}, "kernel-drop", 0, 64 << 20},
		{"40 ms", natlab.Config{}, "eim-apdf", 0, 2 << 20}, // the lab's own speed is the limit
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkThroughput(b, exes, c) })
	}
}

// A throughputCase is a path, and how much is moved over it at a time.
type throughputCase struct {
	name  string
	lab   natlab.Config
	nat   string // of both sides
	mbits uint64 // 0 for no limit
	bytes int64
}

// throughputRounds are many and short: the machine may have other work.
const throughputRounds = 15

func benchmarkThroughput(b *testing.B, exes exes, c throughputCase) {
	s := newLabStage(b, exes, c.lab, c.nat, c.nat)
	if c.mbits > 0 {
		for _, where := range []place{atHome, away} {
			if err := s.hosts[where].Do(func() error { return shape(c.mbits * 1e6 / 8) }); err != nil {
				b.Skipf("the kernel shapes no traffic: %v", err)
			}
		}
	}
	s.startRelay(b)
	service := s.serveBytes(b)
	home := netip.AddrPortFrom(s.hosts[atHome].Addr(), service.Port())
	if err := s.sites[atHome].Forward(service.Port(), home); err != nil {
		b.Fatal(err)
	}
	plain := netip.AddrPortFrom(s.sites[atHome].External(), service.Port()).String()
	dialler, id := running{}, ""
	_, id = s.startServe(b, "-to", home.String())
	dialler, tunnel := s.startDial(b, id)
	dialler.Line("direct connection up")

	for b.Loop() {
		for name, direction := range map[string]byte{"up": sinks, "down": sources} {
			var ratios []float64
			var rates []string
			for range 1 + throughputRounds { // the first is that of windows that are still small
				var took [2]time.Duration
				for i, addr := range []string{tunnel, plain} {
					took[i] = s.timeBytes(b, addr, direction, c.bytes)
					rates = append(rates, console.Rate(c.bytes, took[i]))
				}
				ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
			}
			ratios = slices.Sorted(slices.Values(ratios[1:]))
			b.ReportMetric(ratios[len(ratios)/2], name+"-ratio")
			b.Logf("%s: tunnel, TCP: %s; ratios %.2f", name, rates, ratios)
		}
	}
	b.ReportMetric(0, "ns/op") // not of interest
}

// What a client asks of the service first.
const (
	sinks   = '>' // take what comes, and answer at the end
	sources = '<' // send
)

// serveBytes serves at home, at all addresses, what timeBytes asks for.
func (s *labStage) serveBytes(b *testing.B) netip.AddrPort {
	var l net.Listener
	err := s.hosts[atHome].Do(func() (err error) {
		l, err = net.Listen("tcp4", ":0")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var direction byte
				var n int64
				if _, err := fmt.Fscanf(c, "%c%d\n", &direction, &n); err != nil {
					return
				}
				if direction == sources {
					_, _ = io.CopyN(c, zeros{}, n)
					return
				}
				_, _ = io.CopyN(io.Discard, c, n)
				_, _ = c.Write([]byte{'.'})
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// timeBytes moves bytes between a client and the service at an address, and returns how long it
// took until all had arrived.
func (s *labStage) timeBytes(b *testing.B, addr string, direction byte, n int64) time.Duration {
	c, err := s.dial(away)(context.Background(), "tcp4", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	begun := time.Now()
	if _, err = fmt.Fprintf(c, "%c%d\n", direction, n); err == nil && direction == sinks {
		if _, err = io.CopyN(c, zeros{}, n); err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
	} else if err == nil {
		_, err = io.CopyN(io.Discard, c, n)
	}
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// shape limits what leaves the host to a number of bytes a second, as a router's uplink does.
func shape(bytesPerSecond uint64) error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback != 0 {
			continue
		}
		const burst = 128 << 10 // two of the largest segments that are offloaded
		err := netlink.QdiscAdd(&netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
			Rate:       bytesPerSecond,
			Limit:      1 << 20,
			Buffer:     burst,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", l.Attrs().Name, err)
		}
	}
	return nil
}
