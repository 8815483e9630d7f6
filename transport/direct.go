package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	msmux "github.com/multiformats/go-multistream"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// DirectConnect returns a direct connection to p: one that is there, one that
// is on its way, or else one that it asks for. There must be a relayed
// connection to p. It returns as soon as there is a direct connection, by
// whatever transport, or with an [*Error] that says why there is none; without
// a deadline in ctx, after the time of one attempt ([WithTimeout]).
func DirectConnect(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	c, err := directConnect(ctx, h, p)
	if err != nil {
		return nil, &Error{Op: "direct connect", Peer: p, Err: err}
	}
	return c, nil
}

func directConnect(ctx context.Context, h host.Host, p peer.ID) (_ network.Conn, err error) {
	t := find(h)
	switch {
	case t == nil && isClosed(h):
		return nil, ErrClosed
	case t == nil:
		return nil, ErrNotEnabled
	}
	ctx, h, end, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	defer func() { err = t.blame(h, err) }()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.cfg.timeout)
		defer cancel()
	}
	if c := directConn(h, p); c != nil {
		return c, nil
	}
	if !t.wants(p) {
		return nil, ErrPeerFiltered
	}
	relayed := relayedConn(h, p)
	switch {
	case relayed == nil:
		return nil, ErrNoRelayedConn
	case relayed.Stat().Direction == network.DirOutbound:
		return t.connect(ctx, h, p)
	default:
		return t.request(ctx, h, relayed)
	}
}

// isClosed tells whether h is closing, which its network does first, and its transports last.
func isClosed(h host.Host) bool {
	n, ok := h.Network().(interface{ Done() <-chan struct{} })
	if !ok {
		return false
	}
	select {
	case <-n.Done():
		return true
	default:
		return false
	}
}

// blame says of a failure that it is due to the end of the host, or the transport, if it may be: contexts
// and connections end by that for reasons of their own.
func (t *Transport) blame(h host.Host, err error) error {
	if err == nil || errors.Is(err, ErrClosed) || t.ctx.Err() == nil && !isClosed(h) {
		return err
	}
	return fmt.Errorf("%w (until then: %v)", ErrClosed, err)
}

// find returns the transport that h's network has for /simopen.
func find(h host.Host) *Transport {
	n, ok := h.Network().(interface {
		TransportForDialing(ma.Multiaddr) tpt.Transport
	})
	if !ok {
		return nil
	}
	t, _ := n.TransportForDialing(simopenAddr).(*Transport)
	return t
}

// maxDials is how often connect dials, where the connection is closed by the time that the dial returns. Once more is for one
// that was shared, and was just ending. A peer could have us begin an attempt after the other.
const maxDials = 3

// connect has the swarm dial p at /simopen, as initiator. Concurrent calls for
// a peer share one dial.
func (t *Transport) connect(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	t.dialBegins(h, p)
	defer t.dialEnds(h, p)
	dial := func() (network.Conn, error) { return t.ranked.dial(t.ranked.context(ctx), h, p) }
	c, err := dial()
	for n := 1; err == nil && c.IsClosed(); n++ {
		if n == maxDials || ctx.Err() != nil {
			err = fmt.Errorf("%w that stays: it was closed at once", holepunch.ErrNoConnection)
			break
		}
		c, err = dial()
	}
	var own *Error
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &own) && own.Peer == p:
		return nil, own.Err // the swarm's list of addresses is no news
	case errors.Is(err, swarm.ErrGaterDisallowedConnection):
		return nil, fmt.Errorf("%w: dial of the peer, or of %s", ErrGated, simopenAddr)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w while %s", ctx.Err(), t.step(p))
	}
	return nil, err
}

// request asks the peer, which dialled the relayed connection, to initiate.
func (t *Transport) request(ctx context.Context, h host.Host, relayed network.Conn) (network.Conn, error) {
	s, err := openStream(ctx, relayed)
	if err != nil {
		return nil, err
	}
	defer s.Reset()
	ctx, cancel := context.WithCancelCause(ctx)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		if err := holepunch.Request(ctx, s); err != nil {
			cancel(unsupported(ctx, h, relayed.RemotePeer(), err))
			return
		}
		// The initiator has the connection, and we soon, too.
		select {
		case <-time.After(securedSoon):
			cancel(errors.New("the peer says that it is connected, but the connection did not come up here"))
		case <-ctx.Done():
		}
	}()
	c, err := awaitDirect(ctx, h, relayed.RemotePeer())
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	<-asked
	return c, err
}

// awaitDirect waits until there is a direct connection to p. (Connectedness
// events would not do: a relayed connection without limits counts as connected.)
func awaitDirect(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	connected := make(chan struct{}, 1)
	n := &network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}}
	h.Network().Notify(n)
	defer h.Network().StopNotify(n)
	for {
		if c := directConn(h, p); c != nil {
			return c, nil
		}
		select {
		case <-connected:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unsupported recognises the answer of a peer that does not know the protocol:
// "na", or the reset after it of a stream on which our message was taken for another
// proposal. Only go-libp2p gives that reset a code of its own. Where it has none, the
// peer is asked again, by the host, which waits for identify and sends nothing else.
func unsupported(ctx context.Context, h host.Host, p peer.ID, err error) error {
	var reset *network.StreamError
	if errors.As(err, &reset) && reset.Remote && reset.ErrorCode == 0 {
		ctx = network.WithNoDial(network.WithAllowLimitedConn(ctx, serviceName), serviceName)
		s, failed := h.NewStream(ctx, p, holepunch.Protocol)
		if failed == nil {
			s.Reset() // before the protocol was proposed: the peer's handler does not see it
			return err
		}
		if isUnsupported(failed) {
			return ErrPeerUnsupported
		}
		return err
	}
	if isUnsupported(err) {
		return ErrPeerUnsupported // how it said so is of no use to anybody
	}
	return err
}

func isUnsupported(err error) bool {
	var na msmux.ErrNotSupported[protocol.ID]
	var reset *network.StreamError
	return errors.As(err, &na) || errors.As(err, &reset) && reset.ErrorCode == network.StreamProtocolNegotiationFailed
}
