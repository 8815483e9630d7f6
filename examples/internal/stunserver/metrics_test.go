package stunserver

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/simopen/go-libp2p-simopen/stun"
)

func TestStatus(t *testing.T) {
	for want, stats := range map[string]stun.ServerStats{
		"0 connections open, 0 so far, 0 requests":                                       {Refused: map[stun.Refusal]uint64{stun.RefusedFull: 0}},
		"1 connections open, 2 so far, 3 requests over TCP, 4 over UDP, 5 connects back": {Open: 1, Accepted: 2, TCPRequests: 3, UDPRequests: 4, ConnectBacks: 5},
		"0 connections open, 9 so far, 9 requests, 3 refused (evicted 1, slow 2)": {
			Accepted: 9, TCPRequests: 9, Refused: map[stun.Refusal]uint64{stun.RefusedSlow: 2, stun.RefusedEvicted: 1, stun.RefusedFull: 0},
		},
	} {
		if got := Status(stats); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMetricNames(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(Collector(stun.NewServer(nil).Stats))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
