package rendezvous

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/examples/internal/metrics"
	"github.com/simopen/go-libp2p-simopen/internal/dashboard"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// The dashboard asks for metrics, labels and values that a relay with a STUN server has, when
// everything has happened once, and shows all that the STUN server counts.
func TestDashboardShowsTheMetrics(t *testing.T) {
	reg := metrics.NewRegistry()
	limits := DefaultLimits()
	limits.Relay.MaxReservations, limits.Relay.MaxCircuits = 1, 1
	s, err := Start(Config{
		Listen: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0")}, STUN: "127.0.0.1:0", Limits: &limits, Metrics: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	useRelay(t, s.Info(), reg)
	c, err := stun.Dial(t.Context(), &net.Dialer{}, s.STUNAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Binding(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := dashboard.Read(t)
	for _, prefix := range []string{"libp2p_relaysvc_", "libp2p_rcmgr_", "libp2p_swarm_", "process_"} {
		d.Check(t, reg, prefix) // of these it shows some
	}
	for _, name := range d.Check(t, reg, "simopen_stun_") {
		t.Errorf("no panel shows %s", name)
	}
}

// useRelay has a relay for one peer grant and refuse all that it can be asked for.
func useRelay(t *testing.T, relay peer.AddrInfo, reg prometheus.Gatherer) {
	t.Helper()
	newHost := func() host.Host {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	a, b := newHost(), newHost()
	dial := func(from host.Host, to peer.ID) error {
		through := relay.Addrs[0].Encapsulate(ma.StringCast("/p2p/" + relay.ID.String() + "/p2p-circuit"))
		return from.Connect(network.WithAllowLimitedConn(t.Context(), "test"), peer.AddrInfo{ID: to, Addrs: []ma.Multiaddr{through}})
	}
	for range 2 { // opened and renewed
		if _, err := client.Reserve(t.Context(), a, relay); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Reserve(t.Context(), b, relay); err == nil {
		t.Fatal("a reservation beyond the limit")
	}
	if err := dial(b, a.ID()); err != nil {
		t.Fatal(err)
	}
	if err := dial(a, newHost().ID()); err == nil {
		t.Fatal("connected to somebody without a reservation")
	}
	for range 2*1 + 64 + 8 { // more streams than the host's limits allow
		if stream, err := b.NewStream(t.Context(), relay.ID, ping.ID); err == nil {
			_, _ = stream.Write(make([]byte, 32)) // it may have been refused
		}
	}
	await(t, reg, "libp2p_rcmgr_blocked_resources", "stream")
	for _, h := range []host.Host{b, a} {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, reg, "libp2p_relaysvc_connections_total", "closed")
	await(t, reg, "libp2p_relaysvc_reservations_total", "closed")
}

// await waits until a metric has a label with the value.
func await(t *testing.T, reg prometheus.Gatherer, metric, value string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if f.GetName() == metric && l.GetValue() == value {
						return
					}
				}
			}
		}
	}
	t.Fatalf("%s is never %q", metric, value)
}
