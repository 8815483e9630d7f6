package rendezvous

import (
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// An acl has the peers that a relay relays for, on either end. Others may connect to the relay
// itself: peers ask for addresses under throw-away identities.
type acl map[peer.ID]struct{}

func newACL(ids []peer.ID) acl {
	a := make(acl, len(ids))
	for _, id := range ids {
		a[id] = struct{}{}
	}
	return a
}

func (a acl) has(id peer.ID) bool {
	_, ok := a[id]
	return ok
}

// AllowReserve reports whether a peer may have a reservation.
func (a acl) AllowReserve(id peer.ID, _ ma.Multiaddr) bool { return a.has(id) }

// AllowConnect reports whether a peer may connect to another one through the relay.
func (a acl) AllowConnect(src peer.ID, _ ma.Multiaddr, dest peer.ID) bool {
	return a.has(src) && a.has(dest)
}
