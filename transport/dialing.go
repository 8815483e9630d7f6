package transport

import (
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// addrTTL is how long /simopen is in the peerstore at most: a dial takes 15 s. It
// must be none of package peerstore's, for identify, whenever it ends, takes the
// addresses away that have peerstore.TempAddrTTL.
const addrTTL = time.Minute

// dialing is what those share who wait for the swarm to dial one peer at
// /simopen. The swarm merges their requests, and has no more to say than the
// context's error to one whose context ends.
type dialing struct {
	waiting int    // callers of connect
	step    string // what Dial is at
}

// dialBegins joins the callers of connect for p, and dialEnds leaves them.
//
// The swarm takes addresses from the peerstore only. /simopen is there as long as
// anybody dials p: it is of no use to others.
func (t *Transport) dialBegins(h host.Host, p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.Peerstore().AddAddr(p, simopenAddr, addrTTL)
	if t.dialing[p] == nil {
		t.dialing[p] = &dialing{step: "waiting for the swarm to dial"}
	}
	t.dialing[p].waiting++
}

func (t *Transport) dialEnds(h host.Host, p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dialing[p]
	if d.waiting--; d.waiting == 0 {
		delete(t.dialing, p)
		h.Peerstore().SetAddr(p, simopenAddr, 0)
	}
}

// at says what Dial is at, for those who give up meanwhile.
func (t *Transport) at(p peer.ID, step string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.dialing[p]; d != nil {
		d.step = step
	}
}

func (t *Transport) step(p peer.ID) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.dialing[p]; d != nil {
		return d.step
	}
	return "dialling" // the swarm, of its own accord
}
