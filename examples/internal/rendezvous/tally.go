package rendezvous

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// A tally counts what the relay does, for the status, and hands on what go-libp2p counts for
// Prometheus.
type tally struct {
	relay.MetricsTracer
	reservations, circuits               atomic.Int64 // at the moment
	reservationsRefused, circuitsRefused atomic.Uint64
	bytes                                atomic.Int64
}

func newTally(reg prometheus.Registerer) *tally {
	if reg == nil {
		reg = prometheus.NewRegistry() // which is not asked
	}
	return &tally{MetricsTracer: relay.NewMetricsTracer(relay.WithRegisterer(reg))}
}

// String describes the counts in a line.
func (t *tally) String() string {
	text := fmt.Sprintf("%d reservations, %d circuits, %s relayed", t.reservations.Load(), t.circuits.Load(), console.Size(t.bytes.Load()))
	if reservations, circuits := t.reservationsRefused.Load(), t.circuitsRefused.Load(); reservations+circuits > 0 {
		text += fmt.Sprintf(", refused %d reservations and %d circuits", reservations, circuits)
	}
	return text
}

func (t *tally) ConnectionOpened() {
	t.circuits.Add(1)
	t.MetricsTracer.ConnectionOpened()
}

func (t *tally) ConnectionClosed(d time.Duration) {
	t.circuits.Add(-1)
	t.MetricsTracer.ConnectionClosed(d)
}

func (t *tally) ConnectionRequestHandled(status pb.Status) {
	if status != pb.Status_OK {
		t.circuitsRefused.Add(1)
	}
	t.MetricsTracer.ConnectionRequestHandled(status)
}

func (t *tally) ReservationAllowed(isRenewal bool) {
	if !isRenewal {
		t.reservations.Add(1)
	}
	t.MetricsTracer.ReservationAllowed(isRenewal)
}

func (t *tally) ReservationClosed(n int) {
	t.reservations.Add(-int64(n))
	t.MetricsTracer.ReservationClosed(n)
}

func (t *tally) ReservationRequestHandled(status pb.Status) {
	if status != pb.Status_OK {
		t.reservationsRefused.Add(1)
	}
	t.MetricsTracer.ReservationRequestHandled(status)
}

func (t *tally) BytesTransferred(n int) {
	t.bytes.Add(int64(n))
	t.MetricsTracer.BytesTransferred(n)
}
