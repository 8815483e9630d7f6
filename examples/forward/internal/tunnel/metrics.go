package tunnel

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts for Prometheus. A nil one counts nothing.
type Metrics struct {
	open  *prometheus.GaugeVec
	total *prometheus.CounterVec
	bytes *prometheus.CounterVec
}

// NewMetrics registers with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "forward_connections", Help: "Connections that are open",
		}, []string{"service"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "forward_connections_total", Help: "Connections that were opened or refused",
		}, []string{"service", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "forward_bytes_total", Help: "Bytes of connections, to the peer (sent) and from it (received)",
		}, []string{"direction"}),
	}
	reg.MustRegister(m.open, m.total, m.bytes)
	return m
}

// opened counts a connection, until end is called.
func (m *Metrics) opened(service string) (end func()) {
	if m == nil {
		return func() {}
	}
	m.total.WithLabelValues(service, "opened").Inc()
	m.open.WithLabelValues(service).Inc()
	return func() { m.open.WithLabelValues(service).Dec() }
}

func (m *Metrics) refused(service string) {
	if m != nil {
		m.total.WithLabelValues(service, "refused").Inc()
	}
}

func (m *Metrics) moved(direction string, n int) {
	if m != nil {
		m.bytes.WithLabelValues(direction).Add(float64(n))
	}
}
