package transport

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

const (
	// scopePatience is how long a connection waits for room in the resource manager. The swarm's dials
	// of the peer's other addresses, which began with the relayed connection, may only just be ending:
	// a dial that is cancelled ends in milliseconds, and on a busy host later.
	scopePatience = time.Second

	// scopeRetry is how often the resource manager is asked meanwhile: short against a handshake.
	scopeRetry = 20 * time.Millisecond
)

// The attempt asks the host's connection gater and resource manager for its connection, in the
// order in which libp2p's TCP transport asks them. Several TCP connections of an attempt have one
// scope: by their token they are the peer's, and one of them will be used.

// admit asks for a TCP connection that has shown the attempt's token. Calls come from several
// goroutines.
func (a *attempt) admit(c *net.TCPConn, accepted bool) error {
	addrs := connAddrs{c}
	gater := a.t.gater
	if gater != nil && (accepted || a.dir == network.DirInbound) && !gater.InterceptAccept(addrs) {
		return fmt.Errorf("%w: connection from %s", ErrGated, addrs.RemoteMultiaddr())
	}
	if err := a.openScope(addrs.RemoteMultiaddr()); err != nil {
		return err
	}
	if gater != nil && !gater.InterceptSecured(a.dir, a.peer, addrs) {
		return fmt.Errorf("%w: connection with the peer at %s", ErrGated, addrs.RemoteMultiaddr())
	}
	return nil
}

// openScope opens the attempt's scope unless that was done, and returns how it went.
func (a *attempt) openScope(remote ma.Multiaddr) error {
	a.opening.Do(func() {
		var scope network.ConnManagementScope
		if scope, a.openErr = a.askForScope(remote, a.noRoom); a.openErr == nil && !a.scope.put(scope) {
			scope.Done()
			a.openErr = context.Canceled // the attempt has ended meanwhile
		}
	})
	return a.openErr
}

// askForScope asks the resource manager for a connection, and again for a while if it has no room;
// it calls full then.
func (a *attempt) askForScope(remote ma.Multiaddr, full func()) (network.ConnManagementScope, error) {
	deadline := time.Now().Add(scopePatience)
	for {
		scope, err := a.t.rcmgr.OpenConnection(a.dir, true, remote)
		if err == nil {
			if err = scope.SetPeer(a.peer); err == nil {
				return scope, nil
			}
			scope.Done()
		}
		full()
		err = fmt.Errorf("%w: %w", holepunch.ErrResourceLimit, err)
		if time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-time.After(scopeRetry):
		case <-a.ctx.Done():
			return nil, err
		}
	}
}

// connAddrs are the addresses of a connection for a gater.
type connAddrs struct{ c net.Conn }

var _ network.ConnMultiaddrs = connAddrs{}

func (a connAddrs) LocalMultiaddr() ma.Multiaddr  { return netMultiaddr(a.c.LocalAddr()) }
func (a connAddrs) RemoteMultiaddr() ma.Multiaddr { return netMultiaddr(a.c.RemoteAddr()) }

// ungated returns the addresses of the peer at which the gater lets this host dial it. An initiator
// has asked whether the peer may be dialled; but the responder sends SYNs as well. The responder
// also asks here whether it may have a connection with each address: by the time that there is one,
// the initiator may have chosen it, and it is too late to send a reason. An address is asked about
// once in an attempt.
func (a *attempt) ungated(addrs []ma.Multiaddr) ([]ma.Multiaddr, error) {
	gater, inbound := a.t.gater, a.dir == network.DirInbound
	if gater == nil {
		return addrs, nil
	}
	if inbound && !gater.InterceptPeerDial(a.peer) {
		return nil, fmt.Errorf("%w: dial of the peer", ErrGated)
	}
	var left []ma.Multiaddr
	for _, m := range addrs {
		key := string(m.Bytes())
		allowed, known := a.allowed[key]
		if !known {
			allowed = gater.InterceptAddrDial(a.peer, m)
			if c := (candidateAddrs{m}); allowed && inbound {
				allowed = gater.InterceptAccept(c) && gater.InterceptSecured(a.dir, a.peer, c)
			}
			a.allowed[key] = allowed
		}
		if allowed {
			left = append(left, m)
		}
	}
	if len(left) == 0 {
		return nil, fmt.Errorf("%w: each of the peer's addresses %v", ErrGated, addrs)
	}
	return left, nil
}

// candidateAddrs are the addresses of a connection that a responder may get, for a gater.
type candidateAddrs struct{ remote ma.Multiaddr }

var _ network.ConnMultiaddrs = candidateAddrs{}

func (a candidateAddrs) LocalMultiaddr() ma.Multiaddr {
	return netMultiaddr(&net.TCPAddr{IP: net.IPv4zero})
}
func (a candidateAddrs) RemoteMultiaddr() ma.Multiaddr { return a.remote }

// checkRoom returns an error if the resource manager has no room for a connection with the peer. A
// responder asks before it answers, as [attempt.ungated] does, and gives back at once what it gets.
// It asks as for a connection from loopback: the resource manager also bounds how many connections
// come from an IP address within a time, and the peer may have named anybody's. If one of the
// addresses is on the application's allowlist, nothing is asked: a connection from there needs no
// room.
func (a *attempt) checkRoom(addrs []ma.Multiaddr) error {
	if a.dir != network.DirInbound {
		return nil
	}
	a.checking.Do(func() {
		allowlist := rcmgr.GetAllowlist(a.t.rcmgr)
		if allowlist != nil && slices.ContainsFunc(addrs, func(m ma.Multiaddr) bool { return allowlist.AllowedPeerAndMultiaddr(a.peer, m) }) {
			return
		}
		var scope network.ConnManagementScope
		if scope, a.checkErr = a.askForScope(loopback, func() {}); a.checkErr == nil {
			scope.Done()
		}
	})
	return a.checkErr
}

var loopback = ma.StringCast("/ip4/127.0.0.1/tcp/0")
