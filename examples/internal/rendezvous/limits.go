package rendezvous

import (
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/x/rate"

	"github.com/simopen/go-libp2p-simopen/examples/internal/daemon"
	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// maxReservations is what docs/operations.md gives a machine.
	maxReservations = 50_000

	// reservationMemory is what the machine should have for each. One takes 64 kB, with the peer's
	// connection; the rest is for circuits, STUN, and Go's collector.
	reservationMemory = 160 << 10
)

// Limits are a Server's.
type Limits struct {
	Relay relay.Resources
	STUN  stun.ServerConfig
}

// DefaultLimits returns what this machine has room for. Package stunserver has the STUN server's.
func DefaultLimits() Limits {
	res := relay.DefaultResources()
	res.MaxReservations = daemon.Capacity(reservationMemory, maxReservations)
	res.MaxReservationsPerIP = 64 // peers behind a carrier's NAT share one address
	res.MaxReservationsPerASN = res.MaxReservations
	res.MaxCircuits = 64
	return Limits{Relay: res}
}

// hostOptions returns limits of the host that leave room for the relay's. go-libp2p's own are for a
// peer among others: 8 connections of an address, 160 in all.
func (l *Limits) hostOptions() ([]libp2p.Option, error) {
	res := l.Relay
	// Peers that dial through the relay have no reservation, and stay for a minute or two. Beyond
	// low the connection manager closes connections that are idle, and keeps those with a
	// reservation.
	low, high := res.MaxReservations*7/5+64, res.MaxReservations*8/5+128
	conns := rcmgr.LimitVal(2*res.MaxReservations + 256)
	limits := rcmgr.PartialLimitConfig{
		System:    rcmgr.ResourceLimits{Conns: conns, ConnsInbound: conns, Memory: rcmgr.LimitVal64(daemon.Memory() / 2)},
		Transient: rcmgr.ResourceLimits{Conns: conns/8 + 64, ConnsInbound: conns/8 + 64}, // handshakes
		// A circuit is a stream at each of its ends; the rest is for identify and the like.
		PeerDefault: rcmgr.ResourceLimits{Conns: 8, Streams: rcmgr.LimitVal(2*res.MaxCircuits + 64)},
	}.Build(rcmgr.InfiniteLimits)

	// Beside its own connection a peer has another one now and then, which asks for an address.
	perIP := 4 * res.MaxReservationsPerIP
	subnet := func(bits int) []rcmgr.ConnLimitPerSubnet {
		return []rcmgr.ConnLimitPerSubnet{{PrefixLength: bits, ConnCount: perIP}}
	}
	// All of them at once, after a restart, and then each once in ten seconds.
	newConns := func(bits int) []rate.SubnetLimit {
		return []rate.SubnetLimit{{PrefixLength: bits, Limit: rate.Limit{RPS: float64(perIP) / 10, Burst: perIP}}}
	}
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithLimitPerSubnet(subnet(32), subnet(56)),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{ // without a limit
				{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
				{Prefix: netip.MustParsePrefix("::1/128")},
			},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: newConns(32),
				IPv6SubnetLimits: newConns(56),
				GracePeriod:      time.Minute,
			},
		}))
	if err != nil {
		return nil, err
	}
	trimmer, err := connmgr.NewConnManager(low, high)
	if err != nil {
		manager.Close()
		return nil, err
	}
	return []libp2p.Option{libp2p.ResourceManager(manager), libp2p.ConnectionManager(trimmer)}, nil
}
