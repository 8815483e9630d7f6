package stun

import (
	"net/netip"
	"time"
)

// connTable holds the open connections of a server within the bounds of their
// number. The server's mutex guards it.
type connTable struct {
	max          int
	maxPerClient int
	conns        map[*serverConn]struct{}
	clients      map[netip.Prefix]int // the number of connections of each
}

func newConnTable(maxConns, maxPerClient int) connTable {
	return connTable{
		max:          maxConns,
		maxPerClient: maxPerClient,
		conns:        make(map[*serverConn]struct{}),
		clients:      make(map[netip.Prefix]int),
	}
}

// add takes c in, or returns false if there are as many as there may be.
func (t *connTable) add(c *serverConn) bool {
	key := clientKey(c.client.Addr())
	if len(t.conns) >= t.max || t.clients[key] >= t.maxPerClient {
		return false
	}
	t.conns[c] = struct{}{}
	t.clients[key]++
	return true
}

func (t *connTable) remove(c *serverConn) {
	key := clientKey(c.client.Addr())
	delete(t.conns, c)
	if t.clients[key]--; t.clients[key] == 0 {
		delete(t.clients, key)
	}
}

// clientKey returns what counts as one client: an IPv4 address, or an IPv6 /64,
// the least that a network gives to a customer (RFC 6177).
func clientKey(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.WithZone("").Prefix(bits) // The error is about bits.
	return p
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
