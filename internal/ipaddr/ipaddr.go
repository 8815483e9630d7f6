// Package ipaddr says what an IP address can be, for who is told one by a stranger.
package ipaddr

import (
	"net/netip"
	"slices"
)

// nobodys are no host's: "this network", and the reserved class E with the broadcast
// address (RFC 6890); Teredo and 6to4, which lead to the IPv4 address in them, be it a private one.
var nobodys = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
}

// global6 is all that there is of global unicast addresses in IPv6 (RFC 4291, section 2.4, and IANA's registry of
// address space). Outside of it are, among others, NAT64's, which lead to the IPv4 address in them, too.
var global6 = netip.MustParsePrefix("2000::/3")

// IsHost tells whether a can be the address of one host, of which others may have told: it is valid, and
// neither unspecified, nor multicast, nor reserved, nor a way to an IPv4 address.
func IsHost(a netip.Addr) bool {
	local := a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsPrivate()
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() &&
		(a.Is4() || a.Is4In6() || local || global6.Contains(a)) &&
		!within(a, nobodys)
}

// innards mean something only within one network, as private addresses do.
var innards = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), // what carriers number their customers with (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),  // what DS-Lite numbers their equipment with (RFC 6333), and other protocols
	netip.MustParsePrefix("198.18.0.0/15"), // what benchmarks (RFC 2544) and some VPNs number theirs with
}

// IsPrivate tells whether a means something only within one network: a private address (RFC 1918, RFC
// 4193), or one of the shared address space and its like.
func IsPrivate(a netip.Addr) bool { return a.IsPrivate() || within(a, innards) }

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Customer is what one customer has of addresses: an IPv4 address, or an IPv6 /64, the
// least that a network gives (RFC 6177).
func Customer(a netip.Addr) netip.Prefix { return prefix(a, 32, 64) }

// Network is what one party has easily: an IPv4 /24, the least that is routed on the
// Internet, or an IPv6 /48, the most that a site is usually given (RFC 6177), which has 65,536
// customers in it.
func Network(a netip.Addr) netip.Prefix { return prefix(a, 24, 48) }

// prefix is the zero Prefix for an invalid address.
func prefix(a netip.Addr, bits4, bits6 int) netip.Prefix {
	bits := bits4
	if a.Is6() {
		bits = bits6
	}
	p, _ := a.WithZone("").Prefix(bits) // bits fit
	return p
}
