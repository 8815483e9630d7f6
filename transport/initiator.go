package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// Dial gets a direct connection to p, as initiator. There must be a relayed connection to p; Dial
// does not touch it, and causes no other one. The swarm calls Dial, see [DirectConnect]. The error
// is an [*Error].
func (t *Transport) Dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID) (tpt.CapableConn, error) {
	conn, err := t.dial(ctx, raddr, p)
	if err != nil {
		return nil, &Error{Op: "dial", Peer: p, Err: err}
	}
	return conn, nil
}

func (t *Transport) dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID) (tpt.CapableConn, error) {
	if !isSimopen(raddr) {
		return nil, fmt.Errorf("not a simopen address: %s", raddr)
	}
	ctx, h, end, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	t.swarm.dialled(h, p)
	relayed := relayedConn(h, p)
	if relayed == nil {
		return nil, ErrNoRelayedConn
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.timeout)
	defer cancel()
	r := t.started(p, network.DirOutbound)
	conn, err := t.initiate(ctx, h, relayed, r)
	switch {
	case err == nil:
		r.finished(r.took(), conn.RemoteMultiaddr(), nil)
	case isElsewhere(err) && t.directConn(h, p) != nil:
		// The peer has connected to this host's listener, for one. The swarm looks for such a connection
		// when a dial fails.
		r.finished(r.took(), nil, nil)
	default:
		err = t.blame(h, err)
		r.finished(r.took(), nil, err)
	}
	return conn, err
}

// initiate makes the attempt, unless the peer is making one.
func (t *Transport) initiate(ctx context.Context, h host.Host, relayed network.Conn, r *report) (tpt.CapableConn, error) {
	p := relayed.RemotePeer()
	if !t.wants(p) {
		return nil, ErrPeerFiltered
	}
	defer t.protect(h, p, true)()
	defer t.peers.wait(p)()
	before, ok := t.peers.beginOffer(p)
	if !ok {
		return nil, t.awaitInbound(ctx, h, p, before)
	}
	defer t.peers.endOffer(p)
	conn, err := t.offer(ctx, h, relayed, r)
	if errors.Is(err, holepunch.ErrGlare) {
		return nil, t.awaitInbound(ctx, h, p, before)
	}
	return conn, err
}

// offer makes the attempt.
func (t *Transport) offer(ctx context.Context, h host.Host, relayed network.Conn, r *report) (tpt.CapableConn, error) {
	p := relayed.RemotePeer()
	a := t.newAttempt(ctx, h, p, network.DirOutbound)
	defer a.release()
	o, err := a.options()
	if err != nil {
		return nil, err
	}
	o.Trace = func(e holepunch.Event) {
		r.step(e)
		if e.Kind == Offered {
			t.peers.at(p, fmt.Sprintf("punching from port %d to %v", e.Local, e.Theirs))
		}
	}
	t.peers.at(p, "gathering candidates")
	s, err := openStream(ctx, relayed, func() { t.peers.at(p, "signalling over the relayed connection") })
	if err != nil {
		return nil, err
	}
	c, err := t.agent.Dial(ctx, s, o)
	if ctx.Err() != nil && errors.Is(err, holepunch.ErrSignalLost) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err) // the stream has errors of its own for that
	}
	if !s.answered.Load() {
		s.Reset()
		if err == nil {
			c.Close()
			return nil, holepunch.ErrSignalLost
		}
		if s.hasBegun() {
			err = unsupported(ctx, h, p, err)
		}
		return nil, t.explain(err)
	}
	s.Close() // a reset might overtake the last message
	if errors.Is(err, holepunch.ErrElsewhere) {
		if c, ok := a.elsewhere.take(); ok {
			return c, nil
		}
	}
	if err != nil {
		return nil, t.explain(err)
	}
	conn, err := a.assemble(ctx, c)
	if err != nil {
		return nil, err
	}
	return conn, nil
}
