package pair

import (
	"errors"
	"sync"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

// attempts sums up what a transport's tracer reports: between NATs that answer with RST a punch has
// a hundred steps, of which a person wants to know the number.
type attempts struct {
	tell func(Event)

	mu   sync.Mutex
	last map[peer.ID]*attempt // the last one with each peer; nil until it is Offered
}

type attempt struct {
	connects, refused, silent int
	connected                 map[string]bool // remote addresses: by our connect, or else by our listener

	over bool
	then []func() // to be called when it is over
}

func newAttempts(tell func(Event)) *attempts {
	return &attempts{tell: tell, last: make(map[peer.ID]*attempt)}
}

// trace is for [transport.WithTracer].
func (as *attempts) trace(e transport.Event) {
	for _, f := range as.take(e) {
		f()
	}
}

// take enters a step, and returns what is to be called now.
func (as *attempts) take(e transport.Event) (now []func()) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a, known := as.last[e.Peer]
	switch e.Kind {
	case transport.Started:
		as.last[e.Peer] = nil // what the last one did is not this one's
		return a.end()
	case transport.Offered:
		as.last[e.Peer] = &attempt{connected: make(map[string]bool)}
		as.tell(Event{Kind: Offered, Peer: e.Peer, Own: e.Own, Theirs: e.Theirs})
		return a.end()
	}
	if a == nil {
		if known && e.Kind == transport.Finished && e.Direction == network.DirInbound && e.Err != nil {
			as.tell(Event{Kind: Punched, Peer: e.Peer, Err: natpeer.Explain(e.Err)}) // a dialler has the error
		}
		return nil
	}
	switch e.Kind {
	case holepunch.Connecting:
		a.connects++
	case holepunch.ConnectFailed:
		if errors.Is(e.Err, syscall.ECONNREFUSED) {
			a.refused++
		} else {
			a.silent++
		}
	case holepunch.Connected, holepunch.Accepted:
		a.connected[e.Remote.String()] = e.Kind == holepunch.Connected
	case transport.RoundFailed, transport.Finished:
		as.tell(Event{Kind: Punched, Peer: e.Peer, Connects: a.connects, Refused: a.refused, Silent: a.silent, Err: natpeer.Explain(e.Err)})
		if e.Kind == transport.Finished {
			return a.end()
		}
	}
	return nil
}

// end marks an attempt as over, unless it is nil, and returns what is to be called now.
func (a *attempt) end() (now []func()) {
	if a == nil {
		return nil
	}
	now, a.over, a.then = a.then, true, nil
	return now
}

// after calls f when the attempt with p that is under way is over, or now if there is none. The
// swarm may notify of a connection before the transport reports that the attempt is over.
func (as *attempts) after(p peer.ID, f func()) {
	as.mu.Lock()
	a := as.last[p]
	if a != nil && !a.over {
		a.then = append(a.then, f)
		f = func() {}
	}
	as.mu.Unlock()
	f()
}

// connected reports whether our connect made the direct connection to p at remote, rather than our
// listener.
func (as *attempts) connected(p peer.ID, remote ma.Multiaddr) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.last[p]
	return a != nil && a.connected[remote.String()]
}

// forget drops what is known of a peer that is gone.
func (as *attempts) forget(p peer.ID) {
	as.mu.Lock()
	now := as.last[p].end()
	delete(as.last, p)
	as.mu.Unlock()
	for _, f := range now {
		f()
	}
}
