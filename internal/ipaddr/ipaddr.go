// Package ipaddr classifies IP addresses that a stranger names.
package ipaddr

import (
	"net/netip"
	"slices"
)

// MinPort is the lowest port that is connected to on a stranger's word. NATs allocate mappings from
// there up (RFC 6056, section 3.2; RFC 4787, REQ-3), and services that a stray SYN would disturb
// listen below.
const MinPort = 1024

// noHost are the prefixes in which no host has an address: "this network", and the reserved class E
// with the broadcast address (RFC 6890); Teredo and 6to4, whose addresses lead to the IPv4 address
// in them, even a private one.
var noHost = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
}

// global6 contains all global unicast addresses of IPv6 (RFC 4291, section 2.4, and IANA's registry
// of address space). Outside of it are, among others, those of NAT64, which also lead to the IPv4
// address in them.
var global6 = netip.MustParsePrefix("2000::/3")

// IsHost reports whether a can be the address of one host: it is valid, and neither unspecified,
// nor multicast, nor reserved, nor an IPv6 address that leads to an IPv4 address.
func IsHost(a netip.Addr) bool {
	local := a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsPrivate()
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() &&
		(a.Is4() || a.Is4In6() || local || global6.Contains(a)) &&
		!within(a, noHost)
}

// private4 are the IPv4 prefixes, besides those of RFC 1918, whose addresses mean something only
// within one network.
var private4 = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), // a carrier's customers (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),  // the equipment of DS-Lite (RFC 6333), and other protocols
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks (RFC 2544), and some VPNs
}

// IsPrivate reports whether a means something only within one network: a private address (RFC 1918,
// RFC 4193), or one of the shared address space and the like.
func IsPrivate(a netip.Addr) bool { return a.IsPrivate() || within(a, private4) }

// IsPublic reports whether a host on the Internet can have address a.
func IsPublic(a netip.Addr) bool { return a.IsGlobalUnicast() && !IsPrivate(a) }

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Customer returns the addresses that one customer has: an IPv4 address, or an IPv6 /64, the least
// that a network assigns (RFC 6177). It returns the zero Prefix for an invalid address.
func Customer(a netip.Addr) netip.Prefix { return prefix(a, 32, 64) }

// Network returns the addresses that one party obtains easily: an IPv4 /24, the least that is
// routed on the Internet, or an IPv6 /48, the most that a site is usually assigned (RFC 6177),
// which holds 65,536 customers. It returns the zero Prefix for an invalid address.
func Network(a netip.Addr) netip.Prefix { return prefix(a, 24, 48) }

func prefix(a netip.Addr, bits4, bits6 int) netip.Prefix {
	bits := bits4
	if a.Is6() {
		bits = bits6
	}
	p, _ := a.WithZone("").Prefix(bits) // its error is for an invalid address; bits fit
	return p
}
