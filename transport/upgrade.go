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
// and strangers take no room: see lateScope.
//
// With agreed, the security protocol is not negotiated any more; see agreed.go.
func (t *Transport) shake(p peer.ID, dir network.Direction, agreed sec.SecureTransport, stop context.CancelCauseFunc) func(context.Context, *holepunch.Conn) (tpt.CapableConn, error) {
	var accounted atomic.Int32 // connections that the resource manager knows of: in their handshake, or secured
	account := func(ctx context.Context, c manet.Conn) (network.ConnManagementScope, error) {
		scope, err := t.openScope(ctx, p, dir, c)
		if err == nil {
			accounted.Add(1)
		} else if accounted.Load() == 0 { // or else there is room for one, and another has it
			stop(err)
		}
		return scope, err
	}
	return func(ctx context.Context, c *holepunch.Conn) (tpt.CapableConn, error) {
		maconn, err := manet.WrapNetConn(c)
		if err != nil {
			return nil, err
		}
		if t.gater != nil && (c.Accepted || dir == network.DirInbound) && !t.gater.InterceptAccept(maconn) {
			err := fmt.Errorf("%w: connection from %s", ErrGated, maconn.RemoteMultiaddr())
			if c.Candidate {
				stop(err)
			}
			return nil, err
		}
		if dir == network.DirInbound {
			held := &heldConn{Conn: maconn}
			if err := held.hear(ctx); err != nil {
				return nil, err
			}
			maconn = held
		}
		var scope network.ConnManagementScope
		if c.Candidate {
			if scope, err = account(ctx, maconn); err != nil {
				return nil, err
			}
		} else {
			scope = &lateScope{&network.NullScope{}, func() (network.ConnManagementScope, error) { return account(ctx, maconn) }}
		}
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
			if scope.PeerScope() != nil {
				accounted.Add(-1)
			}
			scope.Done()
			return nil, err
		}
		return conn, nil
	}
}

// A lateScope is a connection of which the resource manager hears when the other end has
// proved to be the peer, which is when an Upgrader says so. Until then a stranger's counts for nothing: the usual
// limits allow an IP address eight connections, and one in five seconds after the first sixteen, so that a
// stranger who shares it with the peer would use them up.
type lateScope struct {
	network.ConnManagementScope // none to speak of until then
	open                        func() (network.ConnManagementScope, error)
}

func (s *lateScope) PeerScope() network.PeerScope {
	if s.open != nil {
		return nil
	}
	return s.ConnManagementScope.PeerScope()
}

func (s *lateScope) SetPeer(peer.ID) error {
	scope, err := s.open()
	if err == nil {
		s.ConnManagementScope, s.open = scope, nil
	}
	return err
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
func (t *Transport) openScope(ctx context.Context, p peer.ID, dir network.Direction, c manet.Conn) (network.ConnManagementScope, error) {
	deadline := time.Now().Add(scopePatience)
	for {
		scope, err := t.rcmgr.OpenConnection(dir, true, c.RemoteMultiaddr())
		if err == nil {
			if err = scope.SetPeer(p); err == nil {
				return scope, nil
			}
			scope.Done()
		}
		if time.Now().After(deadline) {
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
