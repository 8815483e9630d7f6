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

// Dial makes an attempt as initiator, and returns the direct connection to p. It needs a relayed
// connection to p, which it neither opens nor closes. The swarm calls Dial only to take a
// connection that an attempt has brought already. Programs call [DirectConnect]. The error is an
// [*Error].
func (t *Transport) Dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID) (made tpt.CapableConn, err error) {
	err = t.dial(ctx, raddr, p, func(c tpt.CapableConn) error { made = c; return nil })
	if err != nil {
		return nil, &Error{Op: "dial", Peer: p, Err: err}
	}
	return made, nil
}

func (t *Transport) dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID, give func(tpt.CapableConn) error) error {
	if !isSimopen(raddr) {
		return fmt.Errorf("not a simopen address: %s", raddr)
	}
	ctx, h, end, err := t.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if c := t.swarm.take(reasonOf(ctx)); c != nil {
		// The swarm has read the address. If it stayed in the peerstore it could leave the host: a
		// DHT server sends what its peerstore has about a peer.
		h.Peerstore().SetAddr(p, simopenAddr, 0)
		return give(c)
	}
	return t.attempt(ctx, h, p, give)
}

// attempt runs an attempt as initiator, reports how it ended, and passes its connection to give.
func (t *Transport) attempt(ctx context.Context, h host.Host, p peer.ID, give func(tpt.CapableConn) error) error {
	relayed := relayedConn(h, p)
	if relayed == nil {
		return ErrNoRelayedConn
	}
	r := t.started(p, network.DirOutbound)
	conn, err := t.initiate(ctx, h, relayed, r)
	var remote ma.Multiaddr
	if err == nil {
		remote = conn.RemoteMultiaddr()
		err = give(conn)
	}
	// The peer has connected to this host's listener, for one.
	if err != nil && !(isElsewhere(err) && t.directConn(h, p) != nil) {
		err = t.blame(h, err)
		r.finished(r.took(), nil, err)
		return err
	}
	r.finished(r.took(), remote, nil)
	return err
}

// initiate asks the peer filter and the gater, offers, and resolves glare.
func (t *Transport) initiate(ctx context.Context, h host.Host, relayed network.Conn, r *report) (tpt.CapableConn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.timeout)
	defer cancel()
	p := relayed.RemotePeer()
	switch {
	case !t.wants(p):
		return nil, ErrPeerFiltered
	case t.gater != nil && !(t.gater.InterceptPeerDial(p) && t.gater.InterceptAddrDial(p, simopenAddr)):
		return nil, fmt.Errorf("%w: dial of the peer, or of %s", ErrGated, simopenAddr)
	}
	defer t.protect(h, p, true)()
	defer t.peers.wait(p)()
	_, before := t.peers.changed(p)
	if before.underWay > 0 {
		return nil, t.awaitInbound(ctx, h, p, before)
	}
	conn, err := t.offer(ctx, h, relayed, r, &before)
	if errors.Is(err, holepunch.ErrGlare) {
		return nil, t.awaitInbound(ctx, h, p, before)
	}
	return conn, err
}

// offer opens the signalling stream, and dials with the agent. before are the peer's attempts when
// this one began, and then when its OFFER left.
func (t *Transport) offer(ctx context.Context, h host.Host, relayed network.Conn, r *report, before *answers) (tpt.CapableConn, error) {
	p := relayed.RemotePeer()
	a := t.newAttempt(ctx, h, p, network.DirOutbound)
	defer a.release()
	o, err := a.options(relayed)
	if err != nil {
		return nil, err
	}
	o.Trace = func(e holepunch.Event) {
		r.step(e)
		if e.Kind == Offered {
			t.peers.at(p, fmt.Sprintf("punching from port %d to %v", e.Local, e.Theirs))
		}
	}
	if err := t.awaitSupport(ctx, h, relayed); err != nil {
		return nil, err
	}
	t.peers.at(p, "gathering candidates")
	s, err := openStream(ctx, relayed, func() (err error) {
		t.peers.at(p, "signalling over the relayed connection")
		*before, err = t.peers.beginOffer(p, *before)
		return err
	})
	if err != nil {
		return nil, err
	}
	c, err := t.agent.Dial(ctx, s, o)
	if s.hasBegun() {
		defer t.peers.endOffer(p)
	}
	if ctx.Err() != nil && errors.Is(err, holepunch.ErrSignalLost) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err) // the stream has errors of its own for that
	}
	if s.hasBegun() {
		s.Close() // a reset might overtake the last message
	} else {
		s.Reset()
	}
	if !s.answered.Load() {
		if err == nil {
			c.Close()
			return nil, holepunch.ErrSignalLost
		}
		if s.hasBegun() {
			err = unsupported(ctx, h, relayed, err)
		}
		return nil, t.explain(err)
	}
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
