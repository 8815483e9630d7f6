package transport

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/internal/dashboard"
)

// The dashboard asks for metrics, labels and values that there are, and shows every metric.
func TestDashboardShowsTheMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	for _, name := range dashboard.Read(t).Check(t, reg, metricNamespace+"_") {
		t.Errorf("no panel shows %s", name)
	}
}
