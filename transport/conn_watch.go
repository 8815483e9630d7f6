package transport

import (
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// watchInterval is how often the direct connections are looked at: soon after a host has moved it
// has closed those that hang, among them the one to its relay, and comes back. Looking at a
// connection takes a microsecond.
const watchInterval = time.Second

// givenUp says why a direct connection was closed.
var givenUp = map[upgradeEventKind]string{
	directSilent: "silent",
	directStuck:  "stuck",
	addrGone:     "address_gone",
}

// goneIPv6 is after how many looks in a row an IPv6 address has gone. A link that was down for a
// moment has its addresses back at once, but cannot use them before duplicate address detection
// ends, which takes one to two seconds (RFC 4862, section 5.4).
const goneIPv6 = 3

// ownAddrs are the addresses that the direct connections are bound to, each with the number of
// looks since the host had it, or -1 if it had not: behind a transparent proxy, connections have
// addresses of others.
type ownAddrs map[netip.Addr]int

// look records whether the host has an address, by what was recorded before.
func (o ownAddrs) look(a netip.Addr, has bool, before ownAddrs) {
	switch looks, known := before[a]; {
	case has:
		o[a] = 0
	case !known || looks < 0:
		o[a] = -1
	default:
		o[a] = looks + 1
	}
}

// gone reports whether the host had an address and has it no more.
func (o ownAddrs) gone(a netip.Addr) bool {
	if a.Is4() {
		return o[a] > 0
	}
	return o[a] >= goneIPv6
}

// watch closes direct connections that are dead: those of this transport on which nothing came for
// too long, and those of any transport that are bound to an address that has gone. It returns a
// channel for when to look again, nil if there are none.
func (d *upgradeDriver) watch() <-chan time.Time {
	before, addrs := d.addrs, make(ownAddrs)
	d.addrs = addrs
	var next time.Duration
	for _, c := range d.h.Network().Conns() {
		if c.IsClosed() || isRelayed(c) {
			continue
		}
		if next == 0 {
			next = watchInterval
		}
		e := queuedEvent{peer: c.RemotePeer(), conn: c}
		if addr, ok := localIP(c); ok {
			if _, asked := addrs[addr]; !asked {
				addrs.look(addr, tcpport.HasAddr(addr, d.t.cfg.control), before)
			}
			if addrs.gone(addr) {
				e.kind = addrGone
			}
		}
		if tcp := tcpOf(c); tcp != nil {
			silence, _ := tcpport.Silence(tcp)
			left := tcpport.DeadAfter - silence
			if left <= 0 {
				e.kind = directSilent
			} else {
				next = min(next, left)
			}
		}
		if e.kind != 0 {
			d.handle(e)
		}
	}
	if next == 0 {
		return nil
	}
	return time.After(next)
}

// localIP returns the address of the host that a connection is bound to.
func localIP(c network.Conn) (addr netip.Addr, ok bool) {
	local := c.LocalMultiaddr()
	if len(local) == 0 || local[0].Code() != ma.P_IP4 && local[0].Code() != ma.P_IP6 {
		return addr, false
	}
	addr, ok = netip.AddrFromSlice(local[0].RawValue())
	return addr.Unmap(), ok && !addr.IsUnspecified()
}
