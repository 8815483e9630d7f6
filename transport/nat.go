package transport

import (
	"context"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// natStale is how old knowledge of the NAT may become until it is sought
	// anew: a host that moves to another network makes new warm ports sooner than
	// that, and a router is seldom exchanged.
	natStale = 30 * time.Minute

	// natPatience is how long an attempt waits for knowledge that is being
	// sought, where the warm port has shown already that it matters. The peer
	// waits for 5 s.
	natPatience = 3 * time.Second
)

// nat is what the host knows of its NATs' behaviour. It is sought in the
// background, while a port is warm, and never holds up an attempt that can do
// without.
type nat struct {
	mu      sync.Mutex
	known   stun.Behaviour
	since   time.Time
	seeking chan struct{} // closed when the search ends; nil if there is none
}

// learnNAT seeks to know the NAT's behaviour, in the background, unless that is
// being sought or was found out lately. Only STUN servers can tell.
func (t *Transport) learnNAT() {
	if len(t.cfg.servers) == 0 || !t.nat.begin() {
		return
	}
	ctx, _, end, err := t.begin(t.ctx)
	if err != nil {
		t.nat.end(nil)
		return
	}
	go func() {
		defer end()
		r, err := stun.Discover(ctx, t.cfg.servers)
		if err != nil {
			log.Debug("NAT behaviour was not found out", "err", err)
			t.nat.end(nil)
			return
		}
		log.Debug("NAT behaviour", "is", r.Behaviour)
		t.nat.end(&r.Behaviour)
	}()
}

// begin tells whether to seek, and end how it ended: nil is a failure.
func (n *nat) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seeking != nil || !n.since.IsZero() && time.Since(n.since) < natStale {
		return false
	}
	n.seeking = make(chan struct{})
	return true
}

func (n *nat) end(b *stun.Behaviour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b != nil {
		n.known, n.since = *b, time.Now()
	}
	close(n.seeking)
	n.seeking = nil
}

// behaviour is what is known, completed by the mapping behaviour that the
// observers of the warm port agree on.
func (n *nat) behaviour(ctx context.Context, mapping stun.Mapping) stun.Behaviour {
	if mapping == stun.ADM || mapping == stun.APDM {
		n.settled(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.known
	if b.Mapping == stun.MappingUnknown {
		b.Mapping = mapping
	}
	return b
}

// settled waits until no search is under way, for natPatience at most.
func (n *nat) settled(ctx context.Context) {
	n.mu.Lock()
	seeking := n.seeking
	n.mu.Unlock()
	if seeking == nil {
		return
	}
	t := time.NewTimer(natPatience)
	defer t.Stop()
	select {
	case <-seeking:
	case <-t.C:
	case <-ctx.Done():
	}
}
