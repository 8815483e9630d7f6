package transport

import "github.com/libp2p/go-libp2p/core/peer"

// dialing is what those share who wait for the swarm to dial one peer at
// /simopen. The swarm merges their requests, and has no more to say than the
// context's error to one whose context ends.
type dialing struct {
	waiting int    // callers of connect
	step    string // what Dial is at
}

// dialBegins joins the callers of connect for p, and dialEnds leaves them and
// reports whether it was the last.
func (t *Transport) dialBegins(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dialing[p] == nil {
		t.dialing[p] = &dialing{step: "waiting for the swarm to dial"}
	}
	t.dialing[p].waiting++
}

func (t *Transport) dialEnds(p peer.ID) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dialing[p]
	if d.waiting--; d.waiting > 0 {
		return false
	}
	delete(t.dialing, p)
	return true
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
	return t.dialing[p].step
}
