package transport

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// dialing is what those share who wait for the swarm to dial one peer at
// /simopen: the swarm merges their requests, and passes only its own error on
// when a context ends.
type dialing struct {
	waiting int // callers of connect; guarded by Transport.mu

	mu      sync.Mutex
	running int // calls of Dial
	idle    *sync.Cond
	err     error // of the last Dial
}

// dialingOf joins the callers of connect for p, and dialed leaves them.
func (t *Transport) dialingOf(p peer.ID) *dialing {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dialing[p]
	if d == nil {
		d = &dialing{}
		d.idle = sync.NewCond(&d.mu)
		t.dialing[p] = d
	}
	d.waiting++
	return d
}

// dialed reports whether it was the last caller that left.
func (t *Transport) dialed(p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dialing[p]
	if d.waiting--; d.waiting > 0 {
		return false
	}
	delete(t.dialing, p)
	return true
}

// dialBegins is called by Dial, which reports its end to the function returned.
func (t *Transport) dialBegins(p peer.ID) (report func(error)) {
	t.mu.Lock()
	d := t.dialing[p]
	t.mu.Unlock()
	if d == nil {
		return func(error) {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running++
	return func(err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.running--
		d.err = err
		d.idle.Broadcast()
	}
}

// last waits for a Dial under way, whose context has ended, and returns the last
// one's error.
func (d *dialing) last() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.running > 0 {
		d.idle.Wait()
	}
	return d.err
}
