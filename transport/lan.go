package transport

import (
	"net"
	"net/netip"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// links are the addresses of the host's interfaces with their prefixes. A host
// that cannot tell has none.
func links() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var ps []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// lanCandidates is where a port can be reached within the host's own network: at the
// private address from which it sends to others. A host may have more, of virtual
// networks and the like, which are nobody's business. The one is disclosed to
// whoever claims to have the same public address, see [holepunch.SameSite].
func lanCandidates(port uint16) []holepunch.Candidate {
	// Nothing is sent: it asks for the route. The address is one for documentation.
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return nil
	}
	defer c.Close()
	a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	if !a.IsPrivate() {
		return nil
	}
	return []holepunch.Candidate{{Kind: pb.Candidate_LAN, Addr: netip.AddrPortFrom(a, port)}}
}
