package transport

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// maxProtected is how many peers at a time are protected for attempts of theirs, which go on
// without it: otherwise an attacker with many identities could fill the host with connections that
// its manager may not close. go-libp2p's manager begins to close at 192.
const maxProtected = 32

// protect keeps the connection manager from closing the relayed connection to p while there is
// signalling over it, and the direct one before the attempt is over: peers with little traffic are
// the first to go. That holds until unprotect is called, for each of this host's own attempts, and
// for some of the peers'. go-libp2p's relay client protects the connection to the relay.
func (t *Transport) protect(h host.Host, p peer.ID, own bool) (unprotect func()) {
	tag := t.peers.beginProtection(p, own)
	if tag == "" {
		return func() {}
	}
	h.ConnManager().Protect(p, tag)
	return func() {
		h.ConnManager().Unprotect(p, tag)
		t.peers.endProtection(p)
	}
}

// beginProtection returns a tag for the protection of a peer, or "". Each has one of its own, for
// then it does not matter in which order protections begin and end.
func (pt *peerTable) beginProtection(p peer.ID, own bool) (tag string) {
	pt.with(p, func(s *peerState) {
		if s.protections == 0 {
			if pt.protected >= maxProtected && !own {
				return
			}
			pt.protected++
		}
		s.protections++
		pt.ids++
		tag = fmt.Sprintf("%s-%d", serviceName, pt.ids)
	})
	return tag
}

func (pt *peerTable) endProtection(p peer.ID) {
	pt.with(p, func(s *peerState) {
		if s.protections--; s.protections == 0 {
			pt.protected--
		}
	})
}
