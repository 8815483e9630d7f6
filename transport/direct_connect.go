package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// DirectConnect returns a direct connection to p: one that is there, or one that an attempt brings.
// There must be a relayed connection to p. All callers share the attempt that is under way, on
// either side. DirectConnect returns as soon as there is a direct connection, by whatever
// transport, or with an [*Error] that says why there is none.
//
// Call it before host.NewStream where the code must not go on without a direct connection: on a
// limited relayed connection NewStream waits for one until its context ends, also when the punch
// has failed. To use the relayed connection then, open the stream with
// [network.WithAllowLimitedConn].
//
// A peer that has come back through the relay, as after a restart, may have left a dead direct
// connection. DirectConnect returns that connection only if the peer answers on it, and otherwise
// waits until it is closed: for a second or five round trips, for up to 8.5 s while packets arrive,
// and for 3 s where the system does not report packets. Without a deadline in ctx, DirectConnect
// takes at most twice that and the time of one attempt ([WithTimeout]).
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
	if c := t.directConn(h, p); c != nil {
		return c, nil
	}
	if !t.wants(p) {
		return nil, ErrPeerFiltered
	}
	if relayedConn(h, p) == nil {
		if c, err := t.awaitVerdict(ctx, h, p); c != nil || err != nil {
			return c, err
		}
		if relayedConn(h, p) == nil { // the peer may have come back
			return nil, ErrNoRelayedConn
		}
	}
	return t.connect(ctx, h, p)
}

// isClosed reports whether h is closing. Its network does so first, and its transports last.
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

// blame returns a failure as that of a host, or a transport, which is closing, if it may be:
// contexts and connections end by that for reasons of their own.
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

// A sharedDial is a dial of a peer, shared by all callers that wait for it. Its fields belong to
// the table of peers. conn and err may be read once done is closed.
type sharedDial struct {
	callers int
	step    string // for callers that give up
	cancel  context.CancelFunc

	done chan struct{}
	conn network.Conn
	err  error
}

// connect dials p and returns the connection, or any direct one that comes up meanwhile. Concurrent
// calls share the dial, which ends when the last of them gives up.
func (t *Transport) connect(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	d := t.joinDial(h, p)
	c := t.awaitDirect(ctx, h, p, d.done)
	step := t.leaveDial(p, d)
	switch {
	case c != nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w while %s", ctx.Err(), step)
	}
	return d.conn, d.err
}

// joinDial returns the dial of p that is under way, or begins one. A dial that all have given up
// ends before the next begins, for the peer has one attempt at a time.
func (t *Transport) joinDial(h host.Host, p peer.ID) *sharedDial {
	ctx, cancel := context.WithCancel(t.ctx)
	begun := &sharedDial{step: "waiting for an earlier attempt to end", cancel: cancel, done: make(chan struct{})}
	var d, before *sharedDial
	t.peers.with(p, func(s *peerState) {
		if before = s.dial; before == nil || before.callers == 0 {
			s.dial = begun
		}
		d = s.dial
		d.callers++
	})
	if d != begun {
		cancel()
		return d
	}
	end := func(c network.Conn, err error) {
		cancel()
		d.conn, d.err = c, err
		t.peers.with(p, func(s *peerState) {
			if s.dial == d {
				s.dial = nil
			}
		})
		close(d.done)
	}
	ctx, _, endWork, err := t.begin(ctx)
	if err != nil {
		end(nil, err)
		return d
	}
	go func() {
		defer endWork()
		if before != nil {
			<-before.done
		}
		end(t.dialPeer(ctx, h, p))
	}()
	return d
}

// leaveDial ends a caller's part in a dial, and returns what it was at.
func (t *Transport) leaveDial(p peer.ID, d *sharedDial) (step string) {
	last := false
	t.peers.with(p, func(*peerState) {
		d.callers--
		step, last = d.step, d.callers == 0
	})
	if last {
		d.cancel()
	}
	return step
}

// at records the step of p's dial, for callers that give up meanwhile.
func (pt *peerTable) at(p peer.ID, step string) {
	pt.with(p, func(s *peerState) {
		if s.dial != nil {
			s.dial.step = step
		}
	})
}

// maxAttempts is how many attempts are made in a row while a connection has ended by the time that
// the attempt has: the direct one, or the relayed one below the attempt. Without a bound a peer
// could have this host make one attempt after the other.
const maxAttempts = 3

// dialPeer gets a direct connection to p, or whichever there is meanwhile.
func (t *Transport) dialPeer(ctx context.Context, h host.Host, p peer.ID) (network.Conn, error) {
	for n := 1; ; n++ {
		relayed := relayedConn(h, p)
		c, err := t.dialOnce(ctx, h, p)
		ended := err == nil && c.IsClosed()
		if errors.Is(err, holepunch.ErrSignalLost) || errors.Is(err, ErrNoRelayedConn) {
			// A waiting caller may have connected through the relay again, and joined this dial.
			ended = (relayed == nil || relayed.IsClosed()) && relayedConn(h, p) != nil
		}
		switch {
		case !ended:
			return c, err
		case n < maxAttempts && ctx.Err() == nil:
		case err == nil:
			return nil, fmt.Errorf("%w that stays: it was closed at once", holepunch.ErrNoConnection)
		default:
			return nil, err
		}
	}
}

// dialOnce is dialPeer with one attempt.
func (t *Transport) dialOnce(ctx context.Context, h host.Host, p peer.ID) (c network.Conn, err error) {
	if c, err = t.awaitVerdict(ctx, h, p); c != nil || err != nil {
		return c, err // the swarm would take no other
	}
	err = t.attempt(ctx, h, p, func(made tpt.CapableConn) (err error) {
		c, err = t.swarm.handOver(ctx, h, made)
		if errors.Is(err, swarm.ErrGaterDisallowedConnection) {
			return fmt.Errorf("%w: connection with the peer", ErrGated)
		}
		return err
	})
	if err == nil {
		return c, nil
	}
	if c = t.directConn(h, p); c != nil { // by the peer's own attempt, for one
		return c, nil
	}
	return nil, err
}

// relayedConn returns a relayed connection to p: the newest that this host dialled, for the older
// ones' relays may be gone, or else the newest.
func relayedConn(h host.Host, p peer.ID) network.Conn {
	var found network.Conn
	for _, c := range h.Network().ConnsToPeer(p) { // oldest first
		if c.IsClosed() || !isRelayed(c) {
			continue
		}
		if found == nil || c.Stat().Direction == network.DirOutbound || found.Stat().Direction == network.DirInbound {
			found = c
		}
	}
	return found
}

// awaitDirect waits until there is a direct connection to p, by whatever transport. It returns nil
// when ctx or done has ended before. (Connectedness events would not do: a relayed connection
// without limits counts as connected.)
func (t *Transport) awaitDirect(ctx context.Context, h host.Host, p peer.ID, done <-chan struct{}) network.Conn {
	defer t.peers.wait(p)()
	for {
		changed, _ := t.peers.changed(p)
		if c := t.directConn(h, p); c != nil {
			return c
		}
		select {
		case <-changed:
		case <-done:
			return t.directConn(h, p)
		case <-ctx.Done():
			return nil
		}
	}
}
