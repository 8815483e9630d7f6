package transport

import (
	"testing"

	ttransport "github.com/libp2p/go-libp2p/p2p/transport/testsuite"

	"github.com/simopen/go-libp2p-simopen/internal/stuntest"
)

// TestTransportSuite is go-libp2p's own suite for transports, whole: every connection of it is
// signalled over a relayed connection. It runs apart from the package's parallel tests, for it
// wants some things within 50 ms.
func TestTransportSuite(t *testing.T) {
	servers := WithSTUNServers(stuntest.New(t))
	relay := newRelay(t)
	// The suite opens 50 connections between the two at once, which go-libp2p's default limits and
	// ours refuse.
	a := newPeer(t, Enable(servers), unlimited)
	b := newPeer(t, Enable(servers, manyAttempts, WithOnRequestOnly()), unlimited)
	connectRelayed(t, relay, a, b)
	many := newManyPorts(t, a, servers)
	ttransport.SubtestTransport(t, many, many.dialler(find(b)), manyPortsAddr, a.ID())
}
