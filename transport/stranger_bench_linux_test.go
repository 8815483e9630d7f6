package transport

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab/labtest"
)

// BenchmarkUnderSiege compares the time to a direct connection while a stranger at the peer's
// address attacks with the time without, in turn. Docs have its table:
//
//	go test ./transport -run '^$' -bench UnderSiege -benchtime 20x
func BenchmarkUnderSiege(b *testing.B) {
	for _, carrier := range []string{"eim-apdf", "apdm-apdf-random"} {
		b.Run(carrier, func(b *testing.B) {
			s := newSiege(b, carrier)
			for _, kind := range []string{"says nothing", "crowd", "opens and closes", "one byte a second", "half a handshake", "noise", "tls"} {
				for _, server := range []bool{true, false} {
					name := kind + " to a responder"
					if server {
						name = kind + " to an initiator"
					}
					b.Run(name, func(b *testing.B) {
						var times [2][]time.Duration
						for range b.N {
							for i, by := range []*labtest.Proc{nil, s.stranger} {
								o, _, _ := s.punchUnder(b, by, attack{Kind: kind, Server: server})
								times[i] = append(times[i], o.Took)
							}
						}
						median := func(of int) float64 {
							slices.Sort(times[of])
							return float64(times[of][b.N/2].Microseconds()) / 1000
						}
						b.ReportMetric(0, "ns/op")
						b.ReportMetric(median(0), "ms-in-peace")
						b.ReportMetric(median(1), "ms-attacked")
						b.ReportMetric(median(1)/median(0), "ratio")
						b.ReportMetric(float64(times[1][b.N-1].Microseconds())/1000, "ms-worst")
						b.Log(fmt.Sprint(times[1]))
					})
				}
			}
		})
	}
}
