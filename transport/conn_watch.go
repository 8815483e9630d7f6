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

// watch closes direct connections that are dead: those of this transport on which nothing came for
// too long, and those of any transport that are bound to an address that the host had when it looked
// before, and has no more. (Behind a transparent proxy, connections have addresses that it never
// had.) It returns a channel for when to look again, nil if there are none.
func (d *upgradeDriver) watch() <-chan time.Time {
	had, has := d.hasAddr, make(map[netip.Addr]bool)
	d.hasAddr = has
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
			if _, asked := has[addr]; !asked {
				has[addr] = tcpport.HasAddr(addr, d.t.cfg.control)
			}
			if had[addr] && !has[addr] {
				e.kind = addrGone
			}
		}
		if tcp := tcpOf(c); tcp != nil {
			left := tcpport.DeadAfter - tcpport.Silence(tcp)
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
