package transport

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestProtection: of the peers that make attempts some are protected from the connection manager,
// and of those with which this host makes attempts all are.
func TestProtection(t *testing.T) {
	t.Parallel()
	h := newHost(t, Enable())
	tr := find(h)
	ends := make(map[peer.ID]func())
	id := func(n int) peer.ID { return peer.ID(fmt.Sprint("peer ", n)) }
	for n := range 2 * maxProtected {
		ends[id(n)] = tr.protect(h, id(n), false)
		if got, want := h.ConnManager().IsProtected(id(n), ""), n < maxProtected; got != want {
			t.Errorf("peer %d: protected %v, want %v", n, got, want)
		}
	}
	own := id(2*maxProtected - 1)
	end := tr.protect(h, own, true)
	if !h.ConnManager().IsProtected(own, "") {
		t.Error("a peer of an attempt of this host is not protected")
	}
	ends[own]() // which had no place
	if !h.ConnManager().IsProtected(own, "") {
		t.Error("the end of a peer's attempt ended the protection of this host's")
	}
	end()
	delete(ends, own)
	for _, end := range ends {
		end()
	}
	if tr.peers.protected > 0 || h.ConnManager().IsProtected(own, "") || h.ConnManager().IsProtected(id(0), "") {
		t.Errorf("%d are protected for ever", tr.peers.protected)
	}
	if n := len(tr.peers.states); n > 0 {
		t.Errorf("%d peers are remembered of which there is nothing to remember", n)
	}
}
