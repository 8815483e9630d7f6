package natpeer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	pbv2 "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	ma "github.com/multiformats/go-multiaddr"
)

// ErrNotThere is matched by the error of [DialThrough] if the relay does not know the peer: its ID
// is mistyped, or the peer is gone.
var ErrNotThere = errors.New("is not at the relay: take the peer ID that the other machine prints, and leave that program running")

// throughTimeout bounds a connection through the relay: seven round trips, twice over a satellite.
// By itself it takes up to a minute where the relay is dead, and that is not known yet.
const throughTimeout = 15 * time.Second

// DialThrough connects to a peer through a relay, unless the host is connected to the peer. Unlike
// Host.Connect it does not wait for identify.
func DialThrough(ctx context.Context, h host.Host, relay peer.AddrInfo, target peer.ID) error {
	circuit, err := ma.NewMultiaddr(fmt.Sprintf("/p2p/%s/p2p-circuit", relay.ID))
	if err != nil {
		return err
	}
	for _, a := range relay.Addrs {
		h.Peerstore().AddAddr(target, a.Encapsulate(circuit), peerstore.TempAddrTTL)
	}
	ctx, cancel := context.WithTimeout(ctx, throughTimeout)
	defer cancel()
	clearBackoff(h, relay.ID)
	clearBackoff(h, target)
	if _, err := h.Network().DialPeer(ctx, target); err != nil {
		return refused(target, Cause(err))
	}
	return nil
}

// refused explains why there is no relayed connection. go-libp2p has it in the text only.
func refused(target peer.ID, err error) error {
	if strings.Contains(err.Error(), pbv2.Status_NO_RESERVATION.String()) {
		return fmt.Errorf("%s %w", target, ErrNotThere)
	}
	return fmt.Errorf("cannot reach %s through the relay: %w", target, err)
}

// clearBackoff lets the host dial p at once, whatever failed before: the swarm leaves it alone for
// ever longer after failures.
func clearBackoff(h host.Host, p peer.ID) {
	if s, ok := h.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(p)
	}
}
