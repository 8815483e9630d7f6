package transport

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/simopen/go-libp2p-simopen/stun"
)

const (
	// natStale is how old knowledge of the NAT may become until it is sought
	// anew: a router is seldom exchanged, and a host that moves to another network
	// has another address there. After a search that was cut off it is natRetry, and after one
	// that failed natFailed, doubling up to natRetry: servers restart within seconds, and
	// behind a NAT whose ports have to be foretold no punch succeeds before.
	natStale  = 30 * time.Minute
	natRetry  = time.Minute
	natFailed = 2 * time.Second

	// natPatience is how long an attempt waits for knowledge that is being
	// sought, where the warm port has shown already that it matters. The peer
	// waits for 5 s.
	natPatience = 3 * time.Second
)

// nat is what the host knows of its NATs' behaviour. It is sought in the background
// while a port is warm, and an attempt waits for it only where the warm port has shown
// already that it matters.
type nat struct {
	mu      sync.Mutex
	known   stun.Behaviour
	addrs   []netip.Addr  // external ones, of the network that it is known of
	next    time.Time     // when to seek again
	wait    time.Duration // until then, after failures
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
			t.log.Debug("NAT behaviour was not found out", "err", err)
			t.nat.end(nil)
			t.emitters.nat.Emit(EvtNATLearnt{Err: err})
			return
		}
		t.log.Debug("NAT behaviour", "is", r.Behaviour)
		t.nat.end(r)
		t.emitters.nat.Emit(EvtNATLearnt{Behaviour: r.Behaviour})
	}()
}

// begin tells whether to seek, and end how it ended: nil is a failure.
func (n *nat) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seeking != nil || time.Now().Before(n.next) {
		return false
	}
	n.seeking = make(chan struct{})
	return true
}

func (n *nat) end(r *stun.Report) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case r == nil:
		n.wait = min(max(2*n.wait, natFailed), natRetry)
	case r.Complete:
		n.wait = natStale
	default:
		n.wait = natRetry
	}
	n.next = time.Now().Add(n.wait)
	if r != nil {
		n.known, n.addrs, n.wait = r.Behaviour, r.Addrs, 0
	}
	close(n.seeking)
	n.seeking = nil
}

// moved is called when the machine is in another network.
func (t *Transport) moved() {
	t.nat.forget()
	t.learnNAT()
}

// forget has nothing known: the host has moved.
func (n *nat) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known, n.addrs, n.next = stun.Behaviour{}, nil, time.Time{}
}

// behaviour is what is known, completed by what the observers of the warm port see.
// Where they contradict it for the better, or see the host at other addresses, the
// host has moved to another network: nothing is known of that one yet.
func (n *nat) behaviour(ctx context.Context, v view) stun.Behaviour {
	if v.mapping == stun.ADM || v.mapping == stun.APDM {
		n.settled(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	worse := n.known.Mapping == stun.ADM || n.known.Mapping == stun.APDM
	if worse && v.mapping == stun.EIM || n.moved(v) {
		n.known, n.addrs, n.next = stun.Behaviour{}, nil, time.Time{}
	}
	b := n.known
	if b.Mapping == stun.MappingUnknown {
		b.Mapping = v.mapping
	}
	return b
}

// moved tells whether the warm port's IPv4 addresses are none of those known.
func (n *nat) moved(v view) bool {
	others := false
	for _, a := range v.addrs {
		if slices.Contains(n.addrs, a.Addr()) {
			return false
		}
		others = others || a.Addr().Is4()
	}
	return others && slices.ContainsFunc(n.addrs, netip.Addr.Is4)
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
