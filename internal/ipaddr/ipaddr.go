// Package ipaddr says what an IP address can be, for who is told one by a stranger.
package ipaddr

import (
	"net/netip"
	"slices"
)

// nobodys are no host's: "this network", and the reserved class E with the broadcast
// address (RFC 6890).
var nobodys = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// IsHost tells whether a can be the address of one host: it is valid, and neither
// unspecified, nor multicast, nor reserved.
func IsHost(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() &&
		!slices.ContainsFunc(nobodys, func(p netip.Prefix) bool { return p.Contains(a) })
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
