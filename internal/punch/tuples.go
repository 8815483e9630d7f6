package punch

import (
	"net/netip"
	"sync"
)

// A tuple names a TCP connection of this host. Its local address follows from the routes.
type tuple struct {
	port   uint16
	remote netip.AddrPort
}

// tuples keeps account of the 4-tuples that the attempts of an agent want. There is one TCP
// connection for each, and two attempts want the same one if a peer names another peer's address
// as its own: by mistake, as both are behind one carrier's NAT, or to disrupt it. The kernel
// gives the second connect [tcpport.ErrTupleTaken].
//
// The attempt that connected such a tuple waits for the other end's token before it writes, so
// that it does not get the connection reset by a peer of another attempt; see
// [Receiver.awaitToken]. The zero value is ready for use.
type tuples struct {
	mu     sync.Mutex
	wanted map[tuple]*demand
	live   map[tuple]int // connections that a Receiver has
}

// A demand is what is known of a tuple that an attempt wants. tuples.mu guards it.
type demand struct {
	openings int           // that connect it
	claims   int           // openings that have no reason to doubt that it leads to their peer
	freed    chan struct{} // closed when a connect, or the connection, has ended
}

// A claim is one Opening's interest in a tuple. One goroutine uses it.
type claim struct {
	tuples  *tuples
	tuple   tuple
	doubted bool
}

// claim says that an Opening connects the tuple until it calls release.
func (t *tuples) claim(k tuple) *claim {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wanted == nil {
		t.wanted = make(map[tuple]*demand)
	}
	d := t.wanted[k]
	if d == nil {
		d = &demand{freed: make(chan struct{})}
		t.wanted[k] = d
	}
	d.openings++
	d.claims++
	return &claim{tuples: t, tuple: k}
}

// demand returns what is known of the claim's tuple. The account's mutex is held.
func (c *claim) demand() *demand {
	return c.tuples.wanted[c.tuple]
}

// shared reports whether the tuple may lead to the peer of another attempt.
func (c *claim) shared() bool {
	c.tuples.mu.Lock()
	defer c.tuples.mu.Unlock()
	others := c.demand().claims
	if !c.doubted {
		others--
	}
	return others > 0
}

// doubt records that a connection of the tuple was of no use to its attempt. Other attempts need
// not wait for that attempt any more.
func (c *claim) doubt() {
	c.tuples.mu.Lock()
	defer c.tuples.mu.Unlock()
	if !c.doubted {
		c.doubted = true
		c.demand().claims--
	}
}

// freed returns a channel that is closed when the tuple may have become free. It must be called
// before the connect, so that no event is missed.
func (c *claim) freed() <-chan struct{} {
	c.tuples.mu.Lock()
	defer c.tuples.mu.Unlock()
	return c.demand().freed
}

// release ends the claim. Its connect has ended.
func (c *claim) release() {
	c.doubt()
	c.tuples.mu.Lock()
	defer c.tuples.mu.Unlock()
	d := c.demand()
	d.wake()
	if d.openings--; d.openings == 0 {
		delete(c.tuples.wanted, c.tuple)
	}
}

// accepted reports whether a Receiver has a connection of the tuple.
func (c *claim) accepted() bool {
	c.tuples.mu.Lock()
	defer c.tuples.mu.Unlock()
	return c.tuples.live[c.tuple] > 0
}

// accept says that a Receiver has a connection of the tuple, until end is called.
func (t *tuples) accept(k tuple) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live == nil {
		t.live = make(map[tuple]int)
	}
	t.live[k]++
}

func (t *tuples) end(k tuple) {
	t.mu.Lock()
	if t.live[k]--; t.live[k] == 0 {
		delete(t.live, k)
	}
	t.mu.Unlock()
	t.free(k)
}

// free says that a connect, or the connection, has ended.
func (t *tuples) free(k tuple) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.wanted[k]; d != nil {
		d.wake()
	}
}

func (d *demand) wake() {
	close(d.freed)
	d.freed = make(chan struct{})
}
