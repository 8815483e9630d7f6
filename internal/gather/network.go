package gather

import (
	"net"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/internal/punch"
)

// sourceAddr returns the address from which the host would send, or an invalid one if there is no
// route. To connect a UDP socket sends nothing.
func sourceAddr(to netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// LANCandidates returns where the port can be reached within the host's own network: at the
// private address from which the host sends to others. A host may have more, of virtual networks
// and the like, which concern nobody. The one is disclosed to anybody who claims to have the same
// public address.
func LANCandidates(port uint16) []punch.Candidate {
	a := sourceAddr(netip.MustParseAddrPort("192.0.2.1:9")) // an address for documentation
	if !a.IsPrivate() {
		return nil
	}
	return []punch.Candidate{{Kind: punch.LAN, Addr: netip.AddrPortFrom(a, port)}}
}

// Links returns the addresses of the host's interfaces with their prefixes: none if the system does
// not report them.
func Links() []netip.Prefix {
	addrs, _ := net.InterfaceAddrs()
	var links []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			links = append(links, p)
		}
	}
	return links
}

func isIPv4(a netip.AddrPort) bool { return a.Addr().Is4() }

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
