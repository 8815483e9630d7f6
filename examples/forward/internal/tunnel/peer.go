package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natpeer"
	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/transport"
)

const (
	// patience is for how long a peer that cannot be reached is tried again: the peer or the relay
	// may be about to come back. peerRetry is between two tries.
	patience  = 15 * time.Second
	peerRetry = time.Second

	// answerTimeout is how long a relayed connection may take to answer: five round trips through a
	// relay on the other side of the world, and the repetition of a lost packet.
	answerTimeout = 2 * time.Second

	// directHead is for how long a direct connection is waited for where the relayed one will do. A
	// punch takes four round trips, and one lost SYN adds a second.
	directHead = 3 * time.Second

	// relayedFor is for how long after a failure no direct connection is tried where the relayed
	// one will do. The transport tries by itself.
	relayedFor = 30 * time.Second
)

// A Peer is whom a Client connects to.
type Peer struct {
	host    host.Host
	relay   peer.AddrInfo
	id      peer.ID
	relayed bool // the relayed connection will do
	tell    func(Event)

	ctx    context.Context
	cancel context.CancelFunc
	trying sync.WaitGroup

	mu      sync.Mutex
	current *try         // nil if none is under way
	last    *try         // that has ended
	ended   time.Time    // when it did
	told    network.Conn // the relayed connection of the last event Relayed
}

// A try is an attempt to get a direct connection, for all callers that wait for it. Its fields conn
// and err may be read once done is closed.
type try struct {
	done chan struct{}
	conn network.Conn
	err  error

	why atomic.Value // why it did not succeed at once; a string
}

// NewPeer makes a Peer, which is found through a relay. If relayed is set, connections may go over
// the relay where there is no direct connection. Close must be called.
func NewPeer(h host.Host, relay peer.AddrInfo, id peer.ID, relayed bool, tell func(Event)) *Peer {
	p := &Peer{host: h, relay: relay, id: id, relayed: relayed, tell: tell}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close ends what is under way, and waits for it. No try begins after that.
func (p *Peer) Close() {
	p.mu.Lock()
	p.cancel()
	p.mu.Unlock()
	p.trying.Wait()
}

// Connect returns a connection to the peer: a direct one, or the relayed one if that will do. All
// callers share one try.
func (p *Peer) Connect(ctx context.Context) (network.Conn, error) {
	if !p.relayed {
		return p.wait(ctx, p.join())
	}
	switch c := p.conn(); {
	case c == nil:
	case !conns.IsRelayed(c):
		return c, nil
	default:
		if err := p.failedLately(); err != nil {
			return p.overRelay(c, err), nil
		}
	}
	head, cancel := context.WithTimeout(ctx, directHead)
	defer cancel()
	t := p.join()
	c, err := p.wait(head, t)
	if err != nil && ctx.Err() == nil && p.conn() == nil { // not even the relayed one is up
		c, err = p.wait(ctx, t)
	}
	if relayed := p.conn(); err != nil && relayed != nil {
		return p.overRelay(relayed, err), nil
	}
	return c, err
}

// overRelay tells, once, that a connection has to do for now.
func (p *Peer) overRelay(c network.Conn, err error) network.Conn {
	p.mu.Lock()
	first := p.told != c
	p.told = c
	p.mu.Unlock()
	if first && conns.IsRelayed(c) {
		p.tell(Event{Kind: Relayed, Peer: p.id, Err: err.Error()})
	}
	return c
}

// conn returns the connection that is there, a direct one if there is one, or nil.
func (p *Peer) conn() (found network.Conn) {
	for _, c := range p.host.Network().ConnsToPeer(p.id) {
		if !c.IsClosed() && (found == nil || conns.IsRelayed(found)) {
			found = c
		}
	}
	return found
}

// failedLately returns the failure of a try that there was a short time ago.
func (p *Peer) failedLately() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil || p.last.err == nil || time.Since(p.ended) > relayedFor {
		return nil
	}
	return p.last.err
}

// wait waits for a try.
func (p *Peer) wait(ctx context.Context, t *try) (network.Conn, error) {
	select {
	case <-t.done:
		return t.conn, t.err
	case <-ctx.Done():
		if why, ok := t.why.Load().(string); ok {
			return nil, errors.New(why)
		}
		return nil, errors.New("no direct connection is up yet")
	}
}

// join returns the try that is under way, or a new one. After Close that is one that has failed.
func (p *Peer) join() *try {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		return p.current
	}
	t := &try{done: make(chan struct{})}
	if p.ctx.Err() != nil {
		t.err = errShutdown
		close(t.done)
		return t
	}
	p.current = t
	p.trying.Go(func() {
		t.conn, t.err = p.persist(t)
		p.mu.Lock()
		p.current, p.last, p.ended = nil, t, time.Now()
		p.mu.Unlock()
		close(t.done)
	})
	return t
}

// persist gets a direct connection. It tries again, for a while, where that may help.
func (p *Peer) persist(t *try) (network.Conn, error) {
	for giveUp := time.Now().Add(patience); ; {
		c, err := p.direct()
		if err == nil {
			return c, nil
		}
		text := p.explain(err)
		if !passing(err) || p.ctx.Err() != nil || time.Now().After(giveUp) {
			return nil, errors.New(text)
		}
		if t.why.Swap(text) != text {
			p.tell(Event{Kind: NoDirect, Peer: p.id, Err: text + "; trying again"})
		}
		select {
		case <-time.After(peerRetry):
		case <-p.ctx.Done():
		}
	}
}

// passing reports whether a failure may be over in a moment.
func passing(err error) bool {
	reason := holepunch.ReasonOf(err)
	return !reason.Final() && reason != holepunch.ErrNoConnection || reason == transport.ErrNoRelayedConn
}

// direct gets a direct connection, at the first try.
func (p *Peer) direct() (network.Conn, error) {
	p.closeDead()
	c, err := transport.DirectConnect(p.ctx, p.host, p.id)
	if !errors.Is(err, transport.ErrNoRelayedConn) {
		return c, err
	}
	if err := natpeer.DialThrough(p.ctx, p.host, p.relay, p.id); err != nil {
		return nil, err
	}
	return transport.DirectConnect(p.ctx, p.host, p.id)
}

// closeDead closes a relayed connection that there is without a direct one, if it does not answer:
// what has ended the direct connection may have cut the peer off from the relay as well. The muxer
// notices after 40 s.
func (p *Peer) closeDead() {
	c := p.conn()
	if c == nil || !conns.IsRelayed(c) {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, answerTimeout)
	defer cancel()
	if !conns.Alive(ctx, c) {
		_ = c.Close() // it is dead anyway
	}
}

// explain says in one line why there is no direct connection.
func (p *Peer) explain(err error) string {
	if errors.Is(err, holepunch.ErrDeclined) {
		return fmt.Sprintf("the other side does not allow this peer: there, add %s to -allow", p.host.ID())
	}
	return natpeer.Explain(err)
}
