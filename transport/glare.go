package transport

import "github.com/libp2p/go-libp2p/core/peer"

// Two peers that dialled each other through relays would both offer, and two
// punches between the same two ports get in each other's way. So there is one
// attempt at a time between two peers: who is answering does not offer, and when
// two OFFERs cross, the lower peer ID's is the one.

// mayOffer counts an attempt as initiator, unless we answer one of the peer.
func (t *Transport) mayOffer(p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answering[p] > 0 {
		return false
	}
	t.offering[p]++
	return true
}

// mayAnswer counts an attempt as responder, unless our own OFFER is out and
// precedes the peer's.
func (t *Transport) mayAnswer(self, p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.offering[p] > 0 && self < p {
		return false
	}
	t.answering[p]++
	return true
}
