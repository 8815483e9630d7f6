package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// An observer is a libp2p peer and an address at which it listens. Any libp2p peer says by identify
// from which address it sees a connection.
//
// The port asks over a connection with a throw-away identity: with the host's own, the peer would
// take it for a connection to the host, and open streams there of which the host knows nothing. The
// peer counts it among those of the host's IP address, and stock go-libp2p lets in 8, from all
// hosts behind that address. So it is there for as long as an attempt needs it, and a peer that
// refuses one is left alone for a while.
type observer struct {
	t    *Transport
	id   peer.ID
	addr netip.AddrPort
}

var _ holepunch.Observer = observer{}

func (o observer) String() string { return fmt.Sprintf("%s at %s", o.id, o.addr) }
func (o observer) IPv4() bool     { return o.addr.Addr().Is4() }

// Observe connects to the peer, asks it, and answers its own questions until the connection ends.
func (o observer) Observe(ctx context.Context, d stun.Dialer, report func(remote, reflexive netip.AddrPort)) error {
	err := o.t.peers.mayAsk(o.id)
	if err == nil {
		err = o.observe(ctx, d, report)
		own := errors.Is(err, errObserverGated) || errors.Is(err, network.ErrResourceLimitExceeded)
		if ctx.Err() == nil && !own {
			o.t.observerFailed(o.id, err)
		}
	}
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err) // the muxer has errors of its own
		}
		return fmt.Errorf("observe by %s: %w", o, err)
	}
	return nil
}

func (o observer) observe(ctx context.Context, d stun.Dialer, report func(remote, reflexive netip.AddrPort)) error {
	u, key, err := o.t.throwAway()
	if err != nil {
		return err
	}
	conn, err := o.connect(ctx, d, u)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- serveIdentify(conn, key) }()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	reflexive, err := identifyUs(ctx, conn)
	if err == nil {
		err = stun.CheckMapped(o.addr.Addr(), reflexive.Addr())
	}
	if err != nil {
		conn.Close()
		<-served
		return fmt.Errorf("identify: %w", err)
	}
	o.t.peers.observerAnswered(o.id)
	report(o.addr, reflexive)
	return <-served
}

// errObserverGated is not [ErrGated], which is the reason of an attempt: here it is what one of
// several observers has failed for, and the attempt's reason is that it has no address.
var errObserverGated = errors.New("refused by the connection gater")

// connect asks gater and resource manager as for a connection of the host.
func (o observer) connect(ctx context.Context, d stun.Dialer, u tpt.Upgrader) (_ tpt.CapableConn, err error) {
	raddr := toMultiaddr(o.addr)
	if gater := o.t.gater; gater != nil && !gater.InterceptAddrDial(o.id, raddr) {
		return nil, errObserverGated
	}
	scope, err := o.t.rcmgr.OpenConnection(network.DirOutbound, true, raddr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			scope.Done()
		}
	}()
	if err := scope.SetPeer(o.id); err != nil {
		return nil, err
	}
	nc, err := d.DialContext(ctx, "tcp", o.addr.String())
	if err != nil {
		return nil, err
	}
	counting := &countingConn{Conn: nc}
	maconn, err := manet.WrapNetConn(counting)
	if err != nil {
		nc.Close()
		return nil, err
	}
	c, err := u.Upgrade(ctx, o.t, maconn, network.DirOutbound, o.id, scope)
	if err != nil && counting.read == 0 && ctx.Err() == nil {
		err = fmt.Errorf("%w (%w)", errObserverFull, err)
	}
	return c, err
}

// throwAway returns an Upgrader that differs from the host's in its identity, which is a new one,
// and the public key of that.
func (t *Transport) throwAway() (tpt.Upgrader, crypto.PubKey, error) {
	key, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	var security []sec.SecureTransport
	var ids []protocol.ID
	for _, s := range t.parts.Security {
		ids = append(ids, s.ID())
		var own sec.SecureTransport
		switch s.(type) {
		case *noise.Transport:
			own, err = noise.New(s.ID(), key, t.parts.Muxers)
		case *libp2ptls.Transport:
			own, err = libp2ptls.New(s.ID(), key, t.parts.Muxers)
		default:
			continue // it cannot be made with another identity
		}
		if err != nil {
			return nil, nil, err
		}
		security = append(security, own)
	}
	if len(security) == 0 {
		return nil, nil, fmt.Errorf("none of the host's security transports %v can be made with another identity: "+
			"that takes go-libp2p's own Noise or TLS, under any ID", ids)
	}
	u, err := upgrader.New(security, t.parts.Muxers, t.parts.PSK, t.rcmgr, t.gater)
	return u, pub, err
}
