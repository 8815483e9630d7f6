package transport_test

import (
	"context"
	"log"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// An exampleRelay is a relay on loopback, with go-libp2p's limits.
type exampleRelay struct {
	peer.AddrInfo
	host     host.Host
	service  *relay.Relay
	reserved chan struct{}
}

func newExampleRelay() *exampleRelay {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		log.Fatal(err)
	}
	r := &exampleRelay{
		AddrInfo: peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()},
		host:     h,
		reserved: make(chan struct{}, 1),
	}
	r.service, err = relay.New(h, relay.WithMetricsTracer(reservationTracer{
		MetricsTracer: relay.NewMetricsTracer(relay.WithRegisterer(prometheus.NewRegistry())),
		reserved:      r.reserved,
	}))
	if err != nil {
		log.Fatal(err)
	}
	return r
}

// awaitReservation waits for the first reservation.
func (r *exampleRelay) awaitReservation(ctx context.Context) {
	select {
	case <-r.reserved:
	case <-ctx.Done():
		log.Fatal("nobody has a reservation at the relay")
	}
}

// circuitTo returns how a peer with a reservation is reached.
func (r *exampleRelay) circuitTo(p peer.ID) peer.AddrInfo {
	circuit := ma.StringCast("/p2p/" + r.ID.String() + "/p2p-circuit")
	return peer.AddrInfo{ID: p, Addrs: []ma.Multiaddr{r.Addrs[0].Encapsulate(circuit)}}
}

func (r *exampleRelay) Close() {
	r.service.Close()
	r.host.Close()
}

// A reservationTracer signals that the relay has a reservation.
type reservationTracer struct {
	relay.MetricsTracer
	reserved chan<- struct{}
}

func (t reservationTracer) ReservationAllowed(isRenewal bool) {
	t.MetricsTracer.ReservationAllowed(isRenewal)
	select {
	case t.reserved <- struct{}{}:
	default:
	}
}
