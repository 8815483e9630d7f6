package stun_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

const (
	honest       = 4 // clients that ask side by side
	attackRounds = 5 // of each server, in turn
	attackTime   = time.Second
	attackRate   = 2000 // connections a second where the attack waits for the server
)

// BenchmarkAttack has both servers attacked in turn, from a process of its own and from other
// addresses, while clients connect, ask and hang up. It reports how many were answered in a second,
// and after what time: the medians of the rounds, and of the ratios of neighbouring rounds, this
// server's to coturn's. This server has its default bounds, coturn none to set.
func BenchmarkAttack(b *testing.B) {
	var ours serving
	labtest.StartOutside(b, "attacked", attackedServer{}).Next(b, &ours)
	coturn := startCoturn(b)
	for _, tt := range []struct {
		name string
		attack
	}{
		{"none", attack{}},
		{"connects", attack{Kind: "connects", From: addresses(1), Conns: 256}},
		{"connects, many addresses", attack{Kind: "connects", From: addresses(256), Conns: 256}},
		{"garbage", attack{Kind: "garbage", From: addresses(1), Conns: 256, Rate: attackRate}},
		{"pipelined", attack{Kind: "pipelined", From: addresses(1), Conns: 256, Rate: attackRate}},
		{"half requests", attack{Kind: "half a request", From: addresses(32), Conns: 6000, Rate: attackRate}},
		{"silent, many addresses", attack{Kind: "silent", From: addresses(6000), Conns: 6000, Rate: attackRate}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				var rate, p50, p99, failed [2][]float64
				var rates, p50s, p99s []float64
				for range attackRounds {
					for i, s := range []serving{ours, coturn} {
						r := underAttack(b, s, tt.attack)
						rate[i], p50[i] = append(rate[i], r.rate), append(p50[i], r.quantile(0.5))
						p99[i], failed[i] = append(p99[i], r.quantile(0.99)), append(failed[i], float64(r.failed))
					}
					n := len(rates)
					rates = append(rates, rate[0][n]/rate[1][n])
					p50s, p99s = append(p50s, p50[0][n]/p50[1][n]), append(p99s, p99[0][n]/p99[1][n])
				}
				b.ReportMetric(median(rates), "ratio")
				b.ReportMetric(median(p50s), "p50-ratio")
				b.ReportMetric(median(p99s), "p99-ratio")
				for i, name := range []string{"simopen", "coturn"} {
					b.ReportMetric(median(rate[i]), name+"/s")
					b.ReportMetric(median(p50[i]), name+"-p50-ms")
					b.ReportMetric(median(p99[i]), name+"-p99-ms")
					b.ReportMetric(median(failed[i]), name+"-failed")
					b.ReportMetric(float64(anonymous(b, []serving{ours, coturn}[i].PID))/(1<<20), name+"-MB")
				}
			}
			b.ReportMetric(0, "ns/op") // not of interest
		})
	}
}

// answered is what became of honest clients.
type answered struct {
	rate   float64
	took   []time.Duration // sorted
	failed int
}

// quantile is in ms.
func (a answered) quantile(q float64) float64 {
	if len(a.took) == 0 {
		return float64(attackTime.Milliseconds()) // it is at least that
	}
	return float64(a.took[int(q*float64(len(a.took)-1))]) / float64(time.Millisecond)
}

// underAttack asks a server while it is attacked.
func underAttack(b *testing.B, s serving, a attack) (r answered) {
	b.Helper()
	if a.Kind != "" {
		a.Server = s.At
		p := labtest.StartOutside(b, "attack", a)
		defer p.Kill()
		// Once it has its connections, or had as many as that.
		for begun := int64(0); begun < min(int64(a.Conns), attackRate); {
			p.Send(b, true)
			p.Next(b, &begun)
			time.Sleep(10 * time.Millisecond)
		}
	}
	var mu sync.Mutex
	var clients sync.WaitGroup
	begun := time.Now()
	for range honest {
		clients.Go(func() {
			for time.Since(begun) < attackTime {
				start := time.Now()
				err := askOnce(s.At)
				mu.Lock()
				if err != nil {
					r.failed++
				} else {
					r.took = append(r.took, time.Since(start))
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	r.rate = float64(len(r.took)) / time.Since(begun).Seconds()
	slices.Sort(r.took)
	return r
}

// askOnce connects, asks and hangs up.
func askOnce(server netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	d.SetMultipathTCP(false)
	nc, err := d.DialContext(ctx, "tcp4", server.String())
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.(*net.TCPConn).SetLinger(0) // the next one needs a port, too
	deadline, _ := ctx.Deadline()
	_ = nc.SetDeadline(deadline)
	if _, err := nc.Write(bindingRequest); err != nil {
		return err
	}
	b := make([]byte, 512)
	n, err := io.ReadAtLeast(nc, b, 20)
	if err == nil && (b[0] != 1 || b[1] != 1) {
		err = errors.New("no answer: " + string(b[:n]))
	}
	return err
}
