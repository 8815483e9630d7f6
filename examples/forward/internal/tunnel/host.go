package tunnel

import (
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	libp2prate "github.com/libp2p/go-libp2p/x/rate"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/simopen/go-libp2p-simopen/transport"
)

// NewHost makes a libp2p host with simopen, which carries MaxConnections connections. reg may be
// nil: then it has no metrics.
func NewHost(key crypto.PrivKey, reg prometheus.Registerer, opts ...transport.Option) (host.Host, error) {
	rm, err := newResourceManager()
	if err != nil {
		return nil, err
	}
	metrics := libp2p.DisableMetrics()
	if reg != nil {
		metrics = libp2p.PrometheusRegisterer(reg)
	}
	h, err := libp2p.New(
		libp2p.Identity(key),
		libp2p.ResourceManager(rm),
		metrics,
		// No listener: no peer could reach it behind a NAT, and without one a direct connection can
		// only be simopen's.
		libp2p.NoListenAddrs,
		libp2p.EnableRelay(),
		transport.Enable(opts...),
	)
	if err != nil {
		_ = rm.Close()
		return nil, fmt.Errorf("make a libp2p host: %w", err)
	}
	return h, nil
}

// maxConns is how many libp2p connections there may be: in all, with one peer, and with one IP
// address. Each process with the same identity has two of its own for a minute, and all relayed
// connections count for the relay's address.
const maxConns = 256

// newResourceManager returns one with limits for the streams of MaxConnections connections, and
// those that are refused, to one peer. It does not limit their memory: yamux counts the 256 KiB
// that a stream may buffer when the stream is opened, and would end all of them with one too many.
func newResourceManager() (network.ResourceManager, error) {
	streams := rcmgr.ResourceLimits{
		Streams:         2 * MaxConnections,
		StreamsInbound:  2 * MaxConnections,
		StreamsOutbound: 2 * MaxConnections,
		Memory:          rcmgr.Unlimited64,
		Conns:           maxConns,
		ConnsInbound:    maxConns,
		ConnsOutbound:   maxConns,
		FD:              rcmgr.Unlimited, // the process's own limit is close
	}
	defaults := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&defaults)
	limits := rcmgr.PartialLimitConfig{
		System:       streams,
		Transient:    streams, // until their protocol is negotiated
		PeerDefault:  streams,
		Protocol:     map[protocol.ID]rcmgr.ResourceLimits{Protocol: streams},
		ProtocolPeer: map[protocol.ID]rcmgr.ResourceLimits{Protocol: streams},
		Conn:         rcmgr.ResourceLimits{Memory: rcmgr.Unlimited64},
	}.Build(defaults.AutoScale())
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: maxConns}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: maxConns}}),
		// One command after the other, each with a process of its own, is no attack.
		rcmgr.WithConnRateLimiters(&libp2prate.Limiter{}))
}
