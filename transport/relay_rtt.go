package transport

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-yamux/v5"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"
)

// yamux measures the round trip of a connection when it is new and both ends are busy with it, and
// again after 30 s. Between hosts that had just started on two cores, that was 86 to 107 ms where
// the path took 60. So the host measures it as well when it has identified a relay, for half a
// second, in which the busy time ends. The shortest counts.
const (
	relayPings     = 5
	relayPingPause = 100 * time.Millisecond
)

// measureRelay measures the round trip of a connection to a relay. QUIC does so by itself.
func (t *Transport) measureRelay(c network.Conn) {
	var y *yamux.Session
	if !c.As(&y) {
		return
	}
	ctx, _, end, err := t.begin(t.ctx)
	if err != nil {
		return
	}
	go func() {
		defer end()
		for range relayPings {
			rtt, err := pingRelay(ctx, y)
			if err != nil {
				return
			}
			t.peers.measured(c.RemotePeer(), rtt)
			if c.IsClosed() {
				t.peers.unmeasured(c.RemotePeer()) // once more, since its end may have been noticed before
				return
			}
			select {
			case <-time.After(relayPingPause):
			case <-ctx.Done():
				return
			}
		}
	}()
}

// pingRelay measures the round trip once. A ping that is not answered ends with the session, at the
// latest after the 10 s that yamux gives it.
func pingRelay(ctx context.Context, y *yamux.Session) (time.Duration, error) {
	type answer struct {
		rtt time.Duration
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		rtt, err := y.Ping()
		answered <- answer{rtt, err}
	}()
	select {
	case a := <-answered:
		return a.rtt, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// measured records a round trip to a relay, unless a shorter one is known.
func (pt *peerTable) measured(relay peer.ID, rtt time.Duration) {
	pt.with(relay, func(s *peerState) {
		if s.relayRTT == 0 || rtt < s.relayRTT {
			s.relayRTT = rtt
		}
	})
}

// unmeasured forgets what was measured of a relay, to which the host is not connected any more.
func (pt *peerTable) unmeasured(relay peer.ID) {
	pt.with(relay, func(s *peerState) { s.relayRTT = 0 })
}

// relayRTT returns the round trip time between this host and the relay that carries a connection,
// as far as the host's own connection to the relay has shown it, or 0 if that is unknown. Nothing
// is sent for it. The first round trip of a relayed connection itself is over only when the ANSWER
// is there.
func (t *Transport) relayRTT(h host.Host, relayed network.Conn) (rtt time.Duration) {
	id, ok := relayOf(relayed.RemoteMultiaddr())
	if !ok {
		return 0
	}
	t.peers.with(id, func(s *peerState) { rtt = s.relayRTT })
	for _, c := range h.Network().ConnsToPeer(id) {
		var y *yamux.Session
		var q *quic.Conn
		own := time.Duration(0)
		switch {
		case isRelayed(c):
		case c.As(&y):
			own = y.RTT()
		case c.As(&q):
			own = q.ConnectionStats().MinRTT
		}
		if own > 0 && (rtt == 0 || own < rtt) {
			rtt = own
		}
	}
	return rtt
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
