package transport

import (
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-yamux/v5"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

// relayRTT returns the round trip time between this host and the relay that carries a connection,
// as the host's own connection to the relay has measured it, or 0 if that is unknown. Nothing is
// sent. The first round trip of a relayed connection itself is over only when the ANSWER is there.
func relayRTT(h host.Host, relayed network.Conn) time.Duration {
	id, ok := relayOf(relayed.RemoteMultiaddr())
	if !ok {
		return 0
	}
	for _, c := range h.Network().ConnsToPeer(id) {
		var y *yamux.Session
		var q *quic.Conn
		switch {
		case isRelayed(c):
		case c.As(&y) && y.RTT() > 0:
			return y.RTT()
		case c.As(&q):
			return q.ConnectionStats().SmoothedRTT
		}
	}
	return 0
}

// relayOf returns the relay in an address.
func relayOf(relayed ma.Multiaddr) (peer.ID, bool) {
	before, _ := ma.SplitFunc(relayed, func(c ma.Component) bool { return c.Code() == ma.P_CIRCUIT })
	_, relay := ma.SplitLast(before)
	if relay == nil || relay.Code() != ma.P_P2P {
		return "", false
	}
	id, err := peer.IDFromBytes(relay.RawValue())
	return id, err == nil
}
