package stun

import (
	"net/netip"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/ipaddr"
)

// connTable holds the open connections of a server within the bounds of their
// number. The server's mutex guards it.
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

// add takes c in, in place of another one that it returns if there are as many as there
// may be. It returns false if there is no place.
func (t *connTable) add(c *serverConn, now time.Time) (evicted *serverConn, ok bool) {
	client, network := ipaddr.Customer(c.client.Addr()), ipaddr.Network(c.client.Addr())
	if t.clients[client] >= t.maxPerClient {
		return nil, false
	}
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

// remove takes c out, if it is in.
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
	drop(t.clients, ipaddr.Customer(c.client.Addr()))
	drop(t.networks, ipaddr.Network(c.client.Addr()))
}

// drop counts one less.
func drop(m map[netip.Prefix]int, key netip.Prefix) {
	if m[key]--; m[key] == 0 {
		delete(m, key)
	}
}

// rateLimit counts messages in windows of a second. Nothing finer is needed:
// it bounds work, and shapes no traffic.
type rateLimit struct {
	max   int
	begun time.Time // of the window
	n     int       // messages in the window
}

// allow counts a message at now, and reports whether it is within the bound.
func (r *rateLimit) allow(now time.Time) bool {
	if now.Sub(r.begun) >= time.Second {
		r.begun, r.n = now, 0
	}
	r.n++
	return r.n <= r.max
}
