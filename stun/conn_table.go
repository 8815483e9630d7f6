package stun

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// A connTable holds the open connections of a server and bounds their number. The server's mutex
// guards it.
//
// A full server does not refuse newcomers as a rule. Otherwise an attacker with some networks could
// fill it with one request per connection every 90 s, and keep everybody out. A newcomer takes the
// place of
//
//   - a connection that has used more than half of the time that it may be silent for. Peers use a
//     third, and are safe.
//   - or else, where many connections owe their first request, the one that has owed it for the
//     largest part of its time. Connections that only open then evict each other, in the order in
//     which they came, and those that have asked are safe.
//   - or else a connection of the network with the most, if that has at least two more than the
//     newcomer's. An attacker with many adjacent addresses competes with itself, and peers do not
//     evict each other in a circle where there are too many.
//
// If there is none, the newcomer is refused. The server then has as many clients as it was made
// for, from as many networks, and nothing tells the newcomer from them.
type connTable struct {
	max          int
	maxPerClient int
	conns        []*serverConn        // in no order
	clients      map[netip.Prefix]int // the number of connections of each
	networks     map[netip.Prefix]int
}

func newConnTable(maxConns, maxPerClient int) connTable {
	return connTable{
		max:          maxConns,
		maxPerClient: maxPerClient,
		clients:      make(map[netip.Prefix]int),
		networks:     make(map[netip.Prefix]int),
	}
}

// add adds c. If the table is full it removes and returns another connection. It returns false if
// there is no place for c.
func (t *connTable) add(c *serverConn, now time.Time) (evicted *serverConn, ok bool) {
	if t.atClientLimit(c) {
		return nil, false
	}
	client, network := ipaddr.Customer(c.client.Addr()), ipaddr.Network(c.client.Addr())
	if len(t.conns) >= t.max {
		if evicted = t.evict(network, now); evicted == nil {
			return nil, false
		}
	}
	c.place = len(t.conns)
	t.conns = append(t.conns, c)
	t.clients[client]++
	t.networks[network]++
	return evicted, true
}

// atClientLimit reports whether c's client has as many connections as it may have.
func (t *connTable) atClientLimit(c *serverConn) bool {
	return t.clients[ipaddr.Customer(c.client.Addr())] >= t.maxPerClient
}

// remove removes c, if it is in the table.
func (t *connTable) remove(c *serverConn) {
	if c.place < 0 {
		return
	}
	last := len(t.conns) - 1
	t.conns[c.place] = t.conns[last]
	t.conns[c.place].place = c.place
	t.conns[last] = nil
	t.conns = t.conns[:last]
	c.place = -1
	decrement(t.clients, ipaddr.Customer(c.client.Addr()))
	decrement(t.networks, ipaddr.Network(c.client.Addr()))
}

func decrement(m map[netip.Prefix]int, key netip.Prefix) {
	if m[key]--; m[key] == 0 {
		delete(m, key)
	}
}

const (
	// evictSample is how many connections are examined, chosen at random. Examining all would take
	// a millisecond where there are 100,000, which an attacker could make the server spend on each
	// connect. With a probability of 97 %, one of 32 is among the worst tenth.
	evictSample = 32

	// manyOwing is how many of the sample must owe a request. A server whose peers come and stay
	// for hours has fewer: they ask at once.
	manyOwing = evictSample / 8

	// overstayed is the part of its time after which a connection may lose its place. A peer that
	// asks every 25 to 30 s uses a third of 90 s, and CONNECT-BACK takes two fifths of 5 s.
	overstayed = 0.5
)

// evict removes the connection whose place a newcomer from a network takes, and returns it. It
// returns nil if there is none.
func (t *connTable) evict(network netip.Prefix, now time.Time) *serverConn {
	if len(t.conns) == 0 {
		return nil
	}
	var slowest, owing, crowded *serverConn
	slower := func(c, than *serverConn) bool { return than == nil || c.used(now) > than.used(now) }
	owe, crowd := 0, t.networks[network]+2 // with fewer, the newcomer would be in its place
	for range evictSample {
		c := t.conns[rand.IntN(len(t.conns))]
		if slower(c, slowest) {
			slowest = c
		}
		if c.owes() {
			owe++
			if slower(c, owing) {
				owing = c
			}
		}
		if n := t.networks[ipaddr.Network(c.client.Addr())]; n > crowd || n == crowd && slower(c, crowded) {
			crowded, crowd = c, n
		}
	}
	evicted := crowded
	switch {
	case slowest.used(now) > overstayed:
		evicted = slowest
	case owe >= manyOwing:
		evicted = owing
	}
	if evicted != nil {
		t.remove(evicted)
	}
	return evicted
}
