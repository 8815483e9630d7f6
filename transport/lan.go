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

// lanCandidates are where a port can be reached within the host's own networks. They
// are disclosed only to a peer that has the same public address, see
// [holepunch.SameSite].
func lanCandidates(port uint16) []holepunch.Candidate {
	var cs []holepunch.Candidate
	for _, p := range links() {
		if a := p.Addr(); a.IsPrivate() {
			cs = append(cs, holepunch.Candidate{Kind: pb.Candidate_LAN, Addr: netip.AddrPortFrom(a, port)})
		}
	}
	return cs
}
