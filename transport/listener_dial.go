package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// A peer may name listeners of its host: public addresses where it accepts ordinary connections.
// The initiator dials them with the host's TCP transport, beside the punch, and so does the
// responder with the initiator's. The side that dials an ordinary listener is the client, and has
// the connection as outbound. The other side notices that the connection is there.

// dialBackDelay is the head start that a responder gives the punch, unless the NATs are known to
// allow none: the punch is through by then, or has lost a SYN. Both at once would make two
// connections.
const dialBackDelay = time.Second

var errNotElsewhere = errors.New("no connection by other means")

// isElsewhere reports whether an attempt may have ended with err because there is a connection by
// other means. Either side notices such a connection, and callers that wait for one then stop
// waiting.
func isElsewhere(err error) bool {
	var remote *holepunch.RemoteError
	return errors.Is(err, holepunch.ErrElsewhere) || errors.Is(err, holepunch.ErrNoConnection) ||
		errors.Is(err, holepunch.ErrSmallPackets) || errors.Is(err, context.Canceled) ||
		errors.As(err, &remote) && remote.Status == holepunch.StatusCancelled
}

// connectElsewhere is [holepunch.Options.Elsewhere]. It is called once in an attempt, and connects
// to maxListeners addresses at most: that bounds the SYNs.
func (a *attempt) connectElsewhere(ctx context.Context, theirs []netip.AddrPort, punchable bool) error {
	theirs = theirs[:min(len(theirs), maxListeners)]
	if a.dir == network.DirInbound {
		return a.dialBack(ctx, theirs, punchable)
	}
	return a.dialListeners(ctx, theirs)
}

// dialBack connects to the initiator's listeners, and gives the connection to the swarm.
func (a *attempt) dialBack(ctx context.Context, theirs []netip.AddrPort, punchable bool) error {
	if len(theirs) == 0 {
		return errNotElsewhere
	}
	if punchable {
		select {
		case <-time.After(dialBackDelay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := a.dialListeners(ctx, theirs); err != nil {
		return err
	}
	c, ok := a.elsewhere.take()
	if !ok {
		return errNotElsewhere
	}
	// The swarm would take a suspect connection for a good one, and close this one.
	if _, err := a.t.awaitVerdict(ctx, a.h, a.peer); err != nil {
		c.Close()
		return err
	}
	_, err := a.t.swarm.handOver(ctx, a.h, c)
	return err
}

// untilFull returns a context for a dial of listeners. It ends when a connection of the punch has
// shown the token and the resource manager has no room for it: the dial may occupy the last place,
// and may never be answered.
func (a *attempt) untilFull(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.full, cancel)
	return ctx, func() { stop(); cancel() }
}

// dialListeners connects to the peer's listeners. An initiator waits as well for the peer to
// connect to this host's.
func (a *attempt) dialListeners(ctx context.Context, theirs []netip.AddrPort) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialling, cancelDials := a.untilFull(ctx)
	defer cancelDials()
	var ways []func() error
	if a.dir == network.DirOutbound && len(a.listeners) > 0 {
		ways = append(ways, func() error {
			if a.t.awaitDirect(ctx, a.h, a.peer, nil) == nil {
				return ctx.Err()
			}
			return nil
		})
	}
	for _, l := range theirs {
		ways = append(ways, func() error { return a.dialListener(dialling, toMultiaddr(l)) })
	}
	ended := make(chan error)
	for _, way := range ways {
		go func() { ended <- way() }()
	}
	result := errNotElsewhere
	for range ways {
		if err := <-ended; err == nil {
			result = nil
			cancel()
		}
	}
	return result
}

// dialListener connects to one address with the transport that the host has for it.
func (a *attempt) dialListener(ctx context.Context, addr ma.Multiaddr) error {
	n, ok := a.h.Network().(interface {
		TransportForDialing(ma.Multiaddr) tpt.Transport
	})
	if !ok {
		return fmt.Errorf("%T has no transports", a.h.Network())
	}
	tcp := n.TransportForDialing(addr)
	if tcp == nil {
		return fmt.Errorf("no transport for %s", addr)
	}
	c, err := tcp.Dial(ctx, addr, a.peer)
	if err != nil {
		return err
	}
	if !a.elsewhere.put(c) {
		c.Close()
		return errNotElsewhere
	}
	return nil
}
