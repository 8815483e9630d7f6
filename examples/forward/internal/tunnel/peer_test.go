package tunnel

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestClosedPeer: after Close nothing is begun, on a host that may be closed itself.
func TestClosedPeer(t *testing.T) {
	h := newTestHost(t)
	p := NewPeer(h, peer.AddrInfo{}, h.ID(), false, func(e Event) { t.Errorf("event %+v", e) })
	p.Close()
	p.host = nil // using it panics
	if c, err := p.Connect(t.Context()); c != nil || err != errShutdown {
		t.Errorf("got %v, %v", c, err)
	}
}
