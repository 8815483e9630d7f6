package stun

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// When a server is full, a newcomer is not refused as a rule: whoever has a network or
// some of them to himself could otherwise fill the server with a request each minute and
// a half, and keep everybody out. It takes the place of
//
//   - a connection that has used up more than half of the time that it may be silent for. Peers
//     use a third: those are safe.
//   - or else one of the network that has the most, if that has at least two more than
//     the newcomer's. Who has many addresses next to one another then competes with
//     himself, and peers do not push each other out in a circle where there are too many.
//
// If there is neither, the server has as many clients as it was made for, from as many
// networks, and the newcomer is refused. Nothing tells it from those which are there.

const (
	// evictSample is how many connections are looked at, chosen at random. To look at
	// all would take a millisecond where there are 100,000, which an attacker could
	// have the server spend on each connect. Of 32, those of which one in ten is
	// like it have one with a probability of 97 %.
	evictSample = 32

	// outstayed is the part of its time after which a connection may lose its place.
	// A peer that asks every 25 to 30 s uses a third of 90 s, and CONNECT-BACK takes
	// two fifths of 5 s.
	outstayed = 0.5
)

// evict takes out the connection whose place a newcomer from a network gets, and
// returns it. It returns nil if there is none.
func (t *connTable) evict(network netip.Prefix, now time.Time) *serverConn {
	var slowest, crowded *serverConn
	var slowestUsed, crowdedUsed float64
	crowd := t.networks[network] + 1 // no better for one of those who have one more
	for range evictSample {
		if len(t.conns) == 0 {
			return nil
		}
		c := t.conns[rand.IntN(len(t.conns))]
		used := c.used(now)
		if slowest == nil || used > slowestUsed {
			slowest, slowestUsed = c, used
		}
		n := t.networks[networkKey(c.client.Addr())]
		if n > crowd || n == crowd && crowded != nil && used > crowdedUsed {
			crowded, crowd, crowdedUsed = c, n, used
		}
	}
	if slowestUsed < outstayed {
		slowest = crowded
	}
	if slowest != nil {
		t.remove(slowest)
	}
	return slowest
}
