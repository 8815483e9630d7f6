package transport

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/metricshelper"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// As in go-libp2p all hosts of a process share the collectors. docs/grafana.json shows them.
var (
	attemptsTotal = newCounter("attempts_total", "Attempts to get a direct connection that began", "side")
	resultsTotal  = newCounter("results_total", "Attempts that ended, with the reason why they failed, or 'direct'", "side", "reason")
	refusedTotal  = newCounter("refused_total", "OFFERs that were refused before an attempt began: the peer is filtered, or offers too often", "reason")
	queriesTotal  = newCounter("queries_total",
		"Observers that were asked for the reflexive address of a port: STUN servers, or libp2p peers", "observer", "outcome")
	relayedClosedTotal = newCounter("relayed_closed_total", "Relayed connections that were closed since a direct one took their place")
	directClosedTotal  = newCounter("direct_closed_total", "Direct connections that were closed since they were of no use", "reason")
	directSeconds      = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: metricNamespace,
		Name:      "time_to_direct_seconds",
		Help:      "Time from the beginning of an attempt to the direct connection",
		// Some three round trips, from neighbours to satellites; one lost SYN adds 1 s;
		// an attempt has 15 s.
		Buckets: []float64{.025, .05, .1, .2, .3, .4, .6, .8, 1.2, 1.6, 2.5, 5, 10, 15},
	}, []string{"side"})
	observersHeld = prometheus.NewGauge(gaugeOpts("observer_sockets", "Connections to observers that hold a mapping of the NAT"))

	collectors = []prometheus.Collector{
		attemptsTotal, resultsTotal, refusedTotal, queriesTotal, relayedClosedTotal, directClosedTotal, directSeconds, observersHeld,
		prometheus.NewGaugeFunc(gaugeOpts("listening_sockets", "Sockets that listen on punching ports"),
			func() float64 { return float64(tcpport.Listening()) }),
		prometheus.NewGaugeFunc(gaugeOpts("connecting_sockets", "Connects from punching ports that are under way"),
			func() float64 { return float64(tcpport.Connecting()) }),
	}
)

const metricNamespace = "libp2p_simopen"

func newCounter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: metricNamespace, Name: name, Help: help}, labels)
}

func gaugeOpts(name, help string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{Namespace: metricNamespace, Name: name, Help: help}
}

// otherLabels are the values of the label "reason" besides the codes of the reasons: for an attempt
// that succeeded, and for errors without a reason.
var otherLabels = []string{"direct", "cancelled", "timeout", "other"}

// reasons are those that are labels.
var reasons = holepunch.Reasons()

// refusals are the reasons for which an OFFER is refused before it is an attempt.
var refusals = []holepunch.Reason{holepunch.ErrBusy, ErrPeerFiltered}

// metrics counts for Prometheus. A nil one counts nothing.
type metrics struct{}

// newMetrics registers with reg. As in go-libp2p it panics if something else has the names.
func newMetrics(reg prometheus.Registerer) *metrics {
	metricshelper.RegisterCollectors(reg, collectors...)
	// Every series exists from the start with 0, so that its first event shows as an increase.
	for _, side := range []string{side(network.DirOutbound), side(network.DirInbound)} {
		attemptsTotal.WithLabelValues(side)
		directSeconds.WithLabelValues(side)
		for _, reason := range reasons {
			resultsTotal.WithLabelValues(side, string(reason))
		}
		for _, label := range otherLabels {
			resultsTotal.WithLabelValues(side, label)
		}
	}
	relayedClosedTotal.WithLabelValues()
	for _, reason := range givenUp {
		directClosedTotal.WithLabelValues(reason)
	}
	for _, reason := range refusals {
		refusedTotal.WithLabelValues(string(reason))
	}
	for _, observer := range []string{"stun", "peer"} {
		for _, outcome := range []string{"answer", "failure"} {
			queriesTotal.WithLabelValues(observer, outcome)
		}
	}
	return &metrics{}
}

func (m *metrics) started(dir network.Direction) {
	if m != nil {
		attemptsTotal.WithLabelValues(side(dir)).Inc()
	}
}

func (m *metrics) finished(dir network.Direction, err error, reason holepunch.Reason, took time.Duration) {
	if m == nil {
		return
	}
	resultsTotal.WithLabelValues(side(dir), resultLabel(err, reason)).Inc()
	if err == nil {
		directSeconds.WithLabelValues(side(dir)).Observe(took.Seconds())
	}
}

// refused counts an OFFER that was refused before it was an attempt.
func (m *metrics) refused(reason holepunch.Reason) {
	if m != nil && slices.Contains(refusals, reason) {
		refusedTotal.WithLabelValues(string(reason)).Inc()
	}
}

func resultLabel(err error, reason holepunch.Reason) string {
	switch {
	case err == nil:
		return "direct"
	case slices.Contains(reasons, reason):
		return string(reason)
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "other"
}

// asked counts that an observer was asked, and how that ended.
func (m *metrics) asked(stunServer bool, err error) {
	if m == nil {
		return
	}
	observer, outcome := "peer", "answer"
	if stunServer {
		observer = "stun"
	}
	if err != nil {
		outcome = "failure"
	}
	queriesTotal.WithLabelValues(observer, outcome).Inc()
}

// holding counts connections to observers, n more.
func (m *metrics) holding(n int) {
	if m != nil {
		observersHeld.Add(float64(n))
	}
}

func (m *metrics) relayedClosed() {
	if m != nil {
		relayedClosedTotal.WithLabelValues().Inc()
	}
}

// directClosed counts a direct connection that was given up.
func (m *metrics) directClosed(reason string) {
	if m != nil {
		directClosedTotal.WithLabelValues(reason).Inc()
	}
}

func side(dir network.Direction) string {
	if dir == network.DirOutbound {
		return "initiator"
	}
	return "responder"
}
