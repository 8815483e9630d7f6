package transport

import (
	"net"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/stun"
)

// An identifiedConn is a connection to a peer, and the punched one behind it, if it is one.
type identifiedConn struct {
	network.Conn
	peer          peer.ID
	local, remote string
	dir           network.Direction
	punched       *conn
}

func (c *identifiedConn) IsClosed() bool               { return false }
func (c *identifiedConn) ID() string                   { return string(c.peer) }
func (c *identifiedConn) RemotePeer() peer.ID          { return c.peer }
func (c *identifiedConn) LocalMultiaddr() ma.Multiaddr { return ma.StringCast(c.local) }
func (c *identifiedConn) RemoteMultiaddr() ma.Multiaddr {
	return ma.StringCast(c.remote)
}
func (c *identifiedConn) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: c.dir}}
}
func (c *identifiedConn) As(target any) bool {
	if t, ok := target.(**conn); ok && c.punched != nil {
		*t = c.punched
		return true
	}
	return false
}

type chosenTCP struct{ tcpConn }

func (chosenTCP) TCPConn() *net.TCPConn { return new(net.TCPConn) }

// TestObservedConns: punched connections are distinguished from the host's own, whatever ports they
// come from and whatever their peers claim to be.
func TestObservedConns(t *testing.T) {
	t.Parallel()
	const observed = "/ip4/46.0.0.1/tcp/5000"
	conns := make(observedConns)
	for _, c := range []*identifiedConn{
		{peer: "relay", local: "/ip4/10.0.0.7/tcp/4001", remote: "/ip4/46.0.2.1/tcp/4001", dir: network.DirOutbound},
		{peer: "stranger", local: "/ip4/10.0.0.7/tcp/4001", remote: "/ip4/46.0.2.2/tcp/4001", dir: network.DirInbound},
		{peer: "dialled", local: "/ip4/10.0.0.7/tcp/50000", remote: "/ip4/46.0.5.5/tcp/7000", dir: network.DirOutbound, punched: &conn{tcp: chosenTCP{}}},
		{peer: "accepted", local: "/ip4/10.0.0.7/tcp/50001", remote: "/ip4/46.0.6.6/tcp/7000", dir: network.DirInbound, punched: &conn{tcp: chosenTCP{}}},
	} {
		conns.add(event.EvtPeerIdentificationCompleted{
			Peer: c.peer, Conn: c, ObservedAddr: ma.StringCast(observed), Protocols: []protocol.ID{proto.ProtoIDv2Hop},
		})
	}
	own, punched := conns.best(new(Transport), nil)
	check := func(what string, got []stun.ObservedConn, want ...string) {
		var servers []string
		for _, c := range got {
			servers = append(servers, c.Server.String())
		}
		slices.Sort(servers)
		if !slices.Equal(servers, want) {
			t.Errorf("%s: %v, want %v", what, servers, want)
		}
	}
	check("own", own, "46.0.2.1:4001")
	check("punched", punched, "46.0.5.5:7000", "46.0.6.6:7000")
}
