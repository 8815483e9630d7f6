package transport

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// A keeper keeps a host's connection manager from closing the relayed connection while
// there is signalling over it, and the direct one before the attempt is over: peers with
// little traffic are the first to go. The relay's connection go-libp2p's relay client
// makes worth more by itself.
type keeper struct {
	mu       sync.Mutex
	attempts map[peer.ID]int
}

// maxKept is how many peers at a time are protected for attempts of theirs, which go on without
// it: else who has many identities could fill the host with connections that
// its manager may not close. go-libp2p's manager begins to close at 192.
const maxKept = 32

// protect protects p's connections, under the tag "simopen", until unprotect is called as
// often as protect was. Those of our own attempts always are.
func (r *keeper) protect(h host.Host, p peer.ID, own bool) (unprotect func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.attempts == nil {
		r.attempts = make(map[peer.ID]int)
	}
	if r.attempts[p] == 0 && len(r.attempts) >= maxKept && !own {
		return func() {}
	}
	if r.attempts[p]++; r.attempts[p] == 1 {
		h.ConnManager().Protect(p, serviceName)
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.attempts[p]--; r.attempts[p] == 0 {
			delete(r.attempts, p)
			h.ConnManager().Unprotect(p, serviceName)
		}
	}
}
