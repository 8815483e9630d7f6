package rendezvous

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
)

// ParseAnnounce reads an address at which others reach the relay. It is a multiaddr, or an IP
// address or the name of a host that lead to this machine, at the same ports: then it is one
// address for each that the relay listens at.
func ParseAnnounce(s string, listen []ma.Multiaddr) ([]ma.Multiaddr, error) {
	if strings.HasPrefix(s, "/") {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, err
		}
		if len(a) < 2 || slices.ContainsFunc(a, func(c ma.Component) bool { return c.Code() == ma.P_P2P || c.Code() == ma.P_CIRCUIT }) {
			return nil, fmt.Errorf("%s is no address to listen at: want one like /ip4/192.0.2.1/tcp/4001, without /p2p", s)
		}
		return []ma.Multiaddr{a}, nil
	}
	protocol, family := "dns", 0 // any family
	if ip, err := netip.ParseAddr(s); err == nil {
		protocol, family = "ip6", ma.P_IP6
		if ip.Is4() {
			protocol, family = "ip4", ma.P_IP4
		}
	} else if s == "" || strings.ContainsAny(s, ":/ ") {
		return nil, fmt.Errorf("%q is no IP address, name of a host or multiaddr", s)
	}
	host, err := ma.NewComponent(protocol, s)
	if err != nil {
		return nil, err
	}
	var all []ma.Multiaddr
	for _, l := range listen {
		if family != 0 && l[0].Code() != family {
			continue
		}
		if port, err := l.ValueForProtocol(ma.P_TCP); err == nil && port == "0" {
			return nil, fmt.Errorf("%s does not say at which port the relay listens", l)
		}
		if a := append(host.Multiaddr(), l[1:]...); !slices.ContainsFunc(all, a.Equal) {
			all = append(all, a)
		}
	}
	if all == nil {
		return nil, fmt.Errorf("the relay does not listen at any address of %s's family", s)
	}
	return all, nil
}
