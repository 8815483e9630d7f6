package transport

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// shake returns the handshake of a punch with p: gater, resource manager,
// security and muxer of the host, in the order in which libp2p's TCP transport
// asks them. What the host refuses of the peer ends the punch through stop, for
// another connection would be refused as well. Of a stranger it means nothing,
// and strangers are not accounted to the peer.
//
// With agreed, the security protocol is not negotiated any more; see agreed.go.
func (t *Transport) shake(p peer.ID, dir network.Direction, agreed sec.SecureTransport, stop context.CancelCauseFunc) func(context.Context, *holepunch.Conn) (tpt.CapableConn, error) {
	refused := func(c *holepunch.Conn, err error) (tpt.CapableConn, error) {
		if c.Candidate {
			stop(err)
		}
		return nil, err
	}
	var accounted atomic.Int32 // connections that the resource manager knows of: in their handshake, or secured
	return func(ctx context.Context, c *holepunch.Conn) (tpt.CapableConn, error) {
		maconn, err := manet.WrapNetConn(c.TCPConn)
		if err != nil {
			return nil, err
		}
		if t.gater != nil && (c.Accepted || dir == network.DirInbound) && !t.gater.InterceptAccept(maconn) {
			return refused(c, fmt.Errorf("%w: connection from %s", ErrGated, maconn.RemoteMultiaddr()))
		}
		if dir == network.DirInbound {
			held := &heldConn{Conn: maconn}
			if err := held.hear(ctx); err != nil {
				return nil, err
			}
			maconn = held
		}
		scope, err := t.openScope(ctx, p, dir, maconn, c.Candidate)
		if err != nil {
			if accounted.Load() > 0 {
				return nil, err // there may be room for one, and another has it
			}
			return refused(c, err)
		}
		accounted.Add(1)
		choose := func() error { return c.Choose(ctx) }
		var conn tpt.CapableConn
		switch {
		case dir == network.DirOutbound && t.choosesSecurity():
			conn, err = t.upgradeAs(ctx, agreed, maconn, p, scope, choose)
		case dir == network.DirOutbound:
			maconn = &choosingConn{Conn: maconn, rw: maconn, choose: choose}
			fallthrough
		default:
			conn, err = t.upgrader.Upgrade(ctx, t, maconn, dir, p, scope)
		}
		if err != nil {
			scope.Done()
			accounted.Add(-1)
			return nil, err
		}
		return conn, nil
	}
}

// A heldConn is one of several connections of a punch at the responder, of which the
// initiator will use one. It begins to speak on that, and until then none is accounted
// for: resource limits need have room for the one alone.
type heldConn struct {
	manet.Conn
	first []byte // read, and not yet handed on
}

// hear waits for the initiator's first byte.
func (c *heldConn) hear(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	b := make([]byte, 1)
	n, err := c.Conn.Read(b)
	if !stop() {
		return ctx.Err()
	}
	c.first = b[:n]
	return err
}

func (c *heldConn) Read(b []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	c.first = c.first[n:]
	return n, nil
}

// openScope asks the resource manager for a connection, and again for a while if
// it has none to give: the swarm's dials of the peer's other addresses, which
// began with the relayed connection, may only just be ending.
func (t *Transport) openScope(ctx context.Context, p peer.ID, dir network.Direction, c manet.Conn, ofPeer bool) (network.ConnManagementScope, error) {
	deadline := time.Now().Add(scopePatience)
	for {
		scope, err := t.rcmgr.OpenConnection(dir, true, c.RemoteMultiaddr())
		// The Upgrader accounts a stranger's connection to the peer, once the
		// stranger has proved to be the peer.
		if err == nil && ofPeer {
			if err = scope.SetPeer(p); err != nil {
				scope.Done()
			}
		}
		if err == nil {
			return scope, nil
		}
		if !ofPeer || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-time.After(scopeRetry):
		case <-ctx.Done():
			return nil, err
		}
	}
}

const (
	scopePatience = time.Second           // a dial that is cancelled ends in milliseconds, on a busy host later
	scopeRetry    = 20 * time.Millisecond // short against a handshake
)

// ungated leaves out the candidates that the gater refuses. Whether the peer may be dialled
// the swarm has asked for the initiator; but the responder sends SYNs as well.
func (t *Transport) ungated(p peer.ID, dir network.Direction, candidates []holepunch.Candidate) ([]holepunch.Candidate, error) {
	if t.gater == nil {
		return candidates, nil
	}
	if dir == network.DirInbound && !t.gater.InterceptPeerDial(p) {
		return nil, fmt.Errorf("%w: dial of the peer", ErrGated)
	}
	var left []holepunch.Candidate
	for _, c := range candidates {
		if t.gater.InterceptAddrDial(p, toMultiaddr(c.Addr)) {
			left = append(left, c)
		}
	}
	if len(left) == 0 {
		return nil, fmt.Errorf("%w: each of the peer's addresses %v", ErrGated, toMultiaddrs(candidates))
	}
	return left, nil
}
