package transport

import (
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	ttransport "github.com/libp2p/go-libp2p/p2p/transport/testsuite"
)

// TestTransportSuite is go-libp2p's own suite for transports, whole: every
// connection of it is signalled over a relayed connection.
func TestTransportSuite(t *testing.T) {
	servers := WithSTUNServers(newSTUNServer(t))
	relay := newRelay(t)
	// The suite opens 100 connections between the two at once, which go-libp2p's
	// default limits and ours refuse.
	unlimited := libp2p.ResourceManager(&network.NullResourceManager{})
	a, b := newPeer(t, Enable(servers), unlimited), newPeer(t, Enable(servers), unlimited)
	find(a).limiter, find(b).limiter = nil, nil
	find(a).listenAnywhere = true
	connectRelayed(t, relay, a, b)
	ttransport.SubtestTransport(t, find(a), find(b), "/ip4/127.0.0.1/tcp/0/simopen", a.ID())
}
