package pair

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
)

const (
	// renewBefore is how long before its end a reservation is renewed: of the usual hour enough is
	// left to find the relay busy or rebooting.
	renewBefore = 5 * time.Minute

	// retryAfter is how long a relay that is gone is left alone: libp2p's own back-off after a
	// first failed dial.
	retryAfter = 5 * time.Second
)

// Listen keeps a reservation at the relay and serves the peers that come, until ctx ends. It fails
// only at the start: later, a relay that is gone is told as an event and tried again.
func Listen(ctx context.Context, cfg Config, report func(Event)) error {
	n, err := newNode(cfg, report, nil)
	if err != nil {
		return err
	}
	defer n.Close()
	n.SetStreamHandler(transferProtocol, n.receive)
	gone := n.watchRelay()
	renew, err := n.reserve(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // what its end broke is no news
	}
	if err != nil {
		return err
	}
	n.ready(ctx)
	for connected := true; ; {
		select {
		case <-time.After(renew):
		case <-gone:
		case <-ctx.Done():
			return nil
		}
		renew, err = n.reserve(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			connected, renew = false, retryAfter
			n.tell(Event{Kind: Disconnected, Err: explain(err)})
		case !connected:
			connected = true
			n.ready(ctx)
		}
	}
}

// reserve makes or renews the reservation, and returns how soon to do so again.
func (n *node) reserve(ctx context.Context) (renew time.Duration, err error) {
	if err := n.reachRelay(ctx); err != nil {
		return 0, err
	}
	r, err := client.Reserve(ctx, n, n.cfg.Relay)
	if err != nil {
		return 0, fmt.Errorf("the relay refuses a reservation: %w", err)
	}
	return max(time.Until(r.Expiration)-renewBefore, retryAfter), nil
}

// watchRelay tells when the connection to the relay ends, and the reservation with it.
func (n *node) watchRelay() <-chan struct{} {
	gone := make(chan struct{}, 1)
	n.Network().Notify(&network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() != n.cfg.Relay.ID {
			return
		}
		select {
		case gone <- struct{}{}:
		default:
		}
	}})
	return gone
}
