package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Two peers that dialled each other through relays would both offer, and two
// punches between the same two ports get in each other's way. So there is one
// attempt at a time between two peers: who is answering does not offer, and when
// two OFFERs cross, the lower peer ID's is the one.

// answering is the attempts with one peer in which we are the responder.
type answering struct {
	n    int
	over chan struct{} // closed when there are none left
}

// mayOffer counts an attempt as initiator, until offered is called, unless we
// answer one of the peer.
func (t *Transport) mayOffer(p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answering[p] != nil {
		return false
	}
	t.offering[p]++
	return true
}

func (t *Transport) offered(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.offering[p]--; t.offering[p] == 0 {
		delete(t.offering, p)
	}
}

// mayAnswer counts an attempt as responder, until answered is called, unless our
// own OFFER is out and precedes the peer's.
func (t *Transport) mayAnswer(self, p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.offering[p] > 0 && self < p {
		return false
	}
	if t.answering[p] == nil {
		t.answering[p] = &answering{over: make(chan struct{})}
	}
	t.answering[p].n++
	return true
}

func (t *Transport) answered(p peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.answering[p]
	if a.n--; a.n == 0 {
		close(a.over)
		delete(t.answering, p)
	}
}

// awaitInbound waits for the connection of the attempt in which the peer is the
// initiator, until that attempt is over. It returns [ErrGlare] all the same: the
// swarm looks for a connection that came in meanwhile when a dial fails.
func (t *Transport) awaitInbound(ctx context.Context, h host.Host, p peer.ID) error {
	ctx, cancel := context.WithTimeout(ctx, inboundTimeout)
	defer cancel()
	t.mu.Lock()
	a := t.answering[p]
	t.mu.Unlock()
	if a != nil { // else its OFFER is still on the way
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-a.over:
			case <-stop:
				return
			}
			select {
			case <-time.After(time.Second): // for the swarm to take the connection
				cancel()
			case <-stop:
			}
		}()
	}
	if _, err := awaitDirect(ctx, h, p); err != nil {
		return fmt.Errorf("%w, and failed: %w", ErrGlare, err)
	}
	return ErrGlare
}

// inboundTimeout is how long the peer's own attempt may take that is under way, or
// whose OFFER is.
const inboundTimeout = 12 * time.Second
