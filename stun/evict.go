package stun

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// When a server is full, a newcomer is not refused as a rule: who has a network or some
// of them to himself could otherwise fill the server with a request each minute and a
// half, and keep everybody out. It takes the place of
//
//   - a connection that has used up more than half of the time that it may be silent for.
//     Peers use a third: those are safe.
//   - or else, where many have yet to send a request, the one that has had the most
//     time for it. Connections that only come then push each other out, in the order in
//     which they came, and those on which something was asked are safe.
//   - or else one of the network that has the most, if that has at least two more than
//     the newcomer's. Who has many addresses next to one another competes with
//     himself, and peers do not push each other out in a circle where there are too many.
//
// If there is none, the server has as many clients as it was made for, from as many
// networks, and the newcomer is refused. Nothing tells it from those which are there.

const (
	// evictSample is how many connections are looked at, chosen at random. To look at
	// all would take a millisecond where there are 100,000, which an attacker could
	// have the server spend on each connect. Of 32, one is among the worst tenth
	// with a probability of 97 %.
	evictSample = 32

	// manyOwing of those make many. A server to which peers come, and stay for hours,
	// has fewer: they ask at once.
	manyOwing = evictSample / 8

	// outstayed is the part of its time after which a connection may lose its place.
	// A peer that asks every 25 to 30 s uses a third of 90 s, and CONNECT-BACK takes
	// two fifths of 5 s.
	outstayed = 0.5
)

// evict takes out the connection whose place a newcomer from a network gets, and
// returns it. It returns nil if there is none.
func (t *connTable) evict(network netip.Prefix, now time.Time) *serverConn {
	if len(t.conns) == 0 {
		return nil
	}
	var slowest, owing, crowded candidate
	var owe int
	crowd := t.networks[network] + 2 // with fewer, the newcomer would be in its place
	for range evictSample {
		c := t.conns[rand.IntN(len(t.conns))]
		used := c.used(now)
		slowest.consider(c, used)
		if c.owes() {
			owe++
			owing.consider(c, used)
		}
		if n := t.networks[ipaddr.Network(c.client.Addr())]; n > crowd {
			crowded, crowd = candidate{c, used}, n
		} else if n == crowd {
			crowded.consider(c, used)
		}
	}
	evicted := crowded.conn
	switch {
	case slowest.used > outstayed:
		evicted = slowest.conn
	case owe >= manyOwing:
		evicted = owing.conn
	}
	if evicted != nil {
		t.remove(evicted)
	}
	return evicted
}

// A candidate for eviction has used up this part of its time.
type candidate struct {
	conn *serverConn
	used float64
}

// consider takes c instead, if it has used up more.
func (o *candidate) consider(c *serverConn, used float64) {
	if o.conn == nil || used > o.used {
		*o = candidate{c, used}
	}
}
