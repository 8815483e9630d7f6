package transport

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A closingHost's dials succeed, and the peer has closed the connection by then.
type closingHost struct {
	host.Host
	net closingNetwork
}

func (h *closingHost) Network() network.Network { return &h.net }

type closingNetwork struct {
	network.Network
	dials int
}

func (n *closingNetwork) DialPeer(context.Context, peer.ID) (network.Conn, error) {
	n.dials++
	return closedConn{}, nil
}

type closedConn struct{ network.Conn }

func (closedConn) IsClosed() bool { return true }

func (n *closingNetwork) ConnsToPeer(peer.ID) []network.Conn { return nil }

// TestPeerClosesAtOnce: a peer that closes each direct connection as soon as it is there has the
// host dial some times, and not as long as it likes.
func TestPeerClosesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, Enable())
	closing := &closingHost{Host: h}
	c, err := find(h).connect(testContext(t), closing, "peer")
	if c != nil || holepunch.ReasonOf(err) != holepunch.ErrNoConnection {
		t.Errorf("got %v, %v, want %v", c, err, holepunch.ErrNoConnection)
	}
	if n := closing.net.dials; n > maxDials {
		t.Errorf("%d dials", n)
	}
}
