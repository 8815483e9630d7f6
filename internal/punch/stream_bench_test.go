package punch

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkStream measures a stream after the choice beside a TCP connection: round trips of some
// bytes, on the one and the other in turn. What counts is the ratio of the medians.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{1, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%d-bytes", size), func(b *testing.B) {
			x, y := connPair(b)
			s, t := newStreams(b)
			fromS, fromT := join(b, s, t)
			<-fromS
			<-fromT
			conns := [2]net.Conn{x, s}
			var echoes sync.WaitGroup
			for _, c := range []net.Conn{y, t} {
				echoes.Go(func() {
					buf := make([]byte, size)
					for {
						if _, err := io.ReadFull(c, buf); err != nil {
							return
						}
						c.Write(buf)
					}
				})
			}
			buf := make([]byte, size)
			var took [2][]time.Duration
			for b.Loop() {
				for i, c := range conns {
					begin := time.Now()
					if _, err := c.Write(buf); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(c, buf); err != nil {
						b.Fatal(err)
					}
					took[i] = append(took[i], time.Since(begin))
				}
			}
			for i := range took {
				conns[i].Close()
				slices.Sort(took[i])
			}
			echoes.Wait()
			tcp, stream := took[0][len(took[0])/2], took[1][len(took[1])/2]
			b.ReportMetric(float64(tcp), "tcp-ns")
			b.ReportMetric(float64(stream), "stream-ns")
			b.ReportMetric(float64(stream)/float64(tcp), "stream/tcp")
		})
	}
}
