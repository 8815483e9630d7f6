package gather

import (
	"errors"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/internal/tcpport"
)

// Addresses for documentation (RFC 5737, RFC 3849), which the default routes lead to.
var (
	anyIPv4 = netip.MustParseAddrPort("192.0.2.1:9")
	anyIPv6 = netip.MustParseAddrPort("[2001:db8::1]:9")
)

// listLinks returns the addresses of the host's interfaces with their prefixes. A system may refuse
// to list them: a service under systemd's RestrictAddressFamilies, for one, has no netlink. Then
// they are the addresses that the host sends from, and what else is on their links is not known.
func (g *Gatherer) listLinks() []netip.Prefix {
	var links []netip.Prefix
	addrs, err := g.listAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			links = append(links, p)
		}
	}
	if err == nil {
		return links
	}
	g.cfg.Log.Debug("the system does not list the host's addresses", "err", err)
	for _, to := range []netip.AddrPort{anyIPv4, anyIPv6} {
		if a, err := g.sourceAddr(to); err == nil {
			links = append(links, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return links
}

// hasRoute reports whether the host can send to an address, as far as it has a socket to find out.
func (g *Gatherer) hasRoute(to netip.AddrPort) bool {
	_, err := g.sourceAddr(to)
	return err == nil || errors.Is(err, tcpport.ErrShort)
}

func isIPv4(a netip.AddrPort) bool { return a.Addr().Is4() }

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
