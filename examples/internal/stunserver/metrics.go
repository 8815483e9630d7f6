package stunserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// docs/grafana.json shows them.
var (
	openDesc         = newDesc("open_connections", "Connections of STUN clients at the moment")
	connectionsDesc  = newDesc("connections_total", "Connections of STUN clients that were let in")
	requestsDesc     = newDesc("requests_total", "STUN requests that were answered", "network")
	connectBacksDesc = newDesc("connect_backs_total", "Connects to clients that asked for it")
	refusedDesc      = newDesc("refused_total", "What was refused, or ended for a fault of the client's or for want of room", "reason")
)

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("simopen_stun_"+name, help, labels, nil)
}

// A Collector exports a server's counts to Prometheus.
type Collector func() stun.ServerStats

// Describe implements prometheus.Collector.
func (Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{openDesc, connectionsDesc, requestsDesc, connectBacksDesc, refusedDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(to chan<- prometheus.Metric) {
	s := c()
	to <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(s.Open))
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(connectionsDesc, s.Accepted)
	count(requestsDesc, s.TCPRequests, "tcp")
	count(requestsDesc, s.UDPRequests, "udp")
	count(connectBacksDesc, s.ConnectBacks)
	for reason, n := range s.Refused {
		count(refusedDesc, n, string(reason))
	}
}

// Status describes a server's counts in a line.
func Status(s stun.ServerStats) string {
	text := fmt.Sprintf("%d connections open, %d so far, %d requests", s.Open, s.Accepted, s.TCPRequests)
	if s.UDPRequests > 0 {
		text += fmt.Sprintf(" over TCP, %d over UDP", s.UDPRequests)
	}
	if s.ConnectBacks > 0 {
		text += fmt.Sprintf(", %d connects back", s.ConnectBacks)
	}
	var total uint64
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(s.Refused)) {
		if n := s.Refused[reason]; n > 0 {
			total += n
			reasons = append(reasons, fmt.Sprintf("%s %d", reason, n))
		}
	}
	if total > 0 {
		text += fmt.Sprintf(", %d refused (%s)", total, strings.Join(reasons, ", "))
	}
	return text
}
