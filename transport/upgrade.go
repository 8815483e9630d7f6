package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// shake returns the handshake of a punch with p: gater, resource manager,
// security and muxer of the host, in the order in which libp2p's TCP transport
// asks them. What the host refuses of the peer ends the punch through stop, for
// another connection would be refused as well. Of a stranger it means nothing,
// and strangers are not accounted to the peer.
func (t *Transport) shake(p peer.ID, dir network.Direction, stop context.CancelCauseFunc) func(context.Context, *holepunch.Conn) (tpt.CapableConn, error) {
	refused := func(c *holepunch.Conn, err error) (tpt.CapableConn, error) {
		if c.Candidate {
			stop(err)
		}
		return nil, err
	}
	return func(ctx context.Context, c *holepunch.Conn) (tpt.CapableConn, error) {
		maconn, err := manet.WrapNetConn(c.TCPConn)
		if err != nil {
			return nil, err
		}
		if t.gater != nil && (c.Accepted || dir == network.DirInbound) && !t.gater.InterceptAccept(maconn) {
			return refused(c, fmt.Errorf("%w: connection from %s", ErrGated, maconn.RemoteMultiaddr()))
		}
		scope, err := t.rcmgr.OpenConnection(dir, true, maconn.RemoteMultiaddr())
		if err != nil {
			return refused(c, err)
		}
		if c.Candidate {
			if err := scope.SetPeer(p); err != nil {
				scope.Done()
				return refused(c, err)
			}
		} // else the Upgrader does it, once the stranger has proved to be the peer
		conn, err := t.upgrader.Upgrade(ctx, t, maconn, dir, p, scope)
		if err != nil {
			scope.Done()
			return nil, err
		}
		return conn, nil
	}
}

// ungated leaves out the candidates that the gater refuses.
func (t *Transport) ungated(p peer.ID, candidates []netip.AddrPort) ([]netip.AddrPort, error) {
	if t.gater == nil {
		return candidates, nil
	}
	var left []netip.AddrPort
	for _, c := range candidates {
		if t.gater.InterceptAddrDial(p, toMultiaddr(c)) {
			left = append(left, c)
		}
	}
	if len(left) == 0 {
		return nil, fmt.Errorf("%w: each of the peer's addresses %v", ErrGated, candidates)
	}
	return left, nil
}

func netAddr(a netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(a) }
