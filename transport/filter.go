package transport

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	dcutr "github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// AddrFilter is go-libp2p's own, so that one serves DCUtR as well; see [WithAddrFilter].
type AddrFilter = dcutr.AddrFilter

// wants tells whether the host's user lets it have direct connections with p.
func (t *Transport) wants(p peer.ID) bool {
	return t.cfg.peerFilter == nil || t.cfg.peerFilter(p)
}

// filtered are the candidates whose addresses a filter leaves. What it adds does not count: a
// punch needs to know what leads to which port.
func filtered(cs []holepunch.Candidate, filter func([]ma.Multiaddr) []ma.Multiaddr) []holepunch.Candidate {
	if filter == nil || len(cs) == 0 {
		return cs
	}
	left := filter(toMultiaddrs(cs))
	return slices.DeleteFunc(slices.Clone(cs), func(c holepunch.Candidate) bool {
		return !slices.ContainsFunc(left, toMultiaddr(c.Addr).Equal)
	})
}
