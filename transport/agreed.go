package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tpt "github.com/libp2p/go-libp2p/core/transport"
	protector "github.com/libp2p/go-libp2p/p2p/net/pnet"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	manet "github.com/multiformats/go-multiaddr/net"
	msmux "github.com/multiformats/go-multistream"
	"github.com/multiformats/go-varint"
)

// An Upgrader begins with multistream-select: it proposes a security protocol and waits a
// round trip for the consent, which the peer has given beforehand, in its ANSWER. So
// the initiator's Upgrader is given that consent at once, and the proposal goes out in one
// flight with the first message of the security handshake. On the wire it is
// multistream-select as ever, and the responder's Upgrader knows no difference.

// security names the security protocols that the host negotiates, for an ANSWER.
func (t *Transport) security() (ids []string) {
	for _, s := range t.parts.Security {
		ids = append(ids, string(s.ID()))
	}
	return ids
}

// choosesSecurity tells whether an initiator can negotiate its security by itself. upgradeAs
// has an Upgrader without protector, which refuses to serve where the environment wants one.
func (t *Transport) choosesSecurity() bool {
	return len(t.parts.Security) > 0 && !pnet.ForcePrivateNetwork
}

// agreed is the security protocol that multistream-select would come to with a peer
// that negotiates those, or nil if that is not known.
func (t *Transport) agreed(theirs []string) sec.SecureTransport {
	if !t.choosesSecurity() {
		return nil
	}
	for _, s := range t.parts.Security {
		if slices.Contains(theirs, string(s.ID())) {
			return s
		}
	}
	return nil
}

// upgradeAs upgrades a connection as initiator, with a security protocol that the
// peer is known to negotiate, or nil. That is negotiated here then, and not by the Upgrader: consent is
// what anybody gives, and no answer for which a connection would be chosen.
func (t *Transport) upgradeAs(ctx context.Context, s sec.SecureTransport, c manet.Conn, p peer.ID, scope network.ConnManagementScope, choose func() error) (tpt.CapableConn, error) {
	// The network's protector goes below what is said beforehand, and an
	// Upgrader would put it above.
	var below net.Conn = c
	if len(t.parts.PSK) > 0 {
		var err error
		if below, err = protector.NewProtectedConn(t.parts.PSK, c); err != nil {
			return nil, err
		}
	}
	var rw io.ReadWriter = below
	if s != nil {
		// It sends the proposal with the first write, and reads the consent before anything else.
		rw = msmux.NewMSSelect(below, s.ID())
	} else {
		var err error
		if s, err = t.negotiate(ctx, below); err != nil {
			return nil, err
		}
	}
	u, err := upgrader.New([]sec.SecureTransport{s}, t.parts.Muxers, nil, t.rcmgr, t.gater)
	if err != nil {
		return nil, err
	}
	return u.Upgrade(ctx, t, newAgreedConn(c, rw, s.ID(), choose), network.DirOutbound, p, scope)
}

// negotiate comes to a security protocol with whoever is at the other end.
func (t *Transport) negotiate(ctx context.Context, c net.Conn) (sec.SecureTransport, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	id, err := msmux.SelectOneOf(t.security(), c)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("negotiate security: %w", err)
	}
	i := slices.IndexFunc(t.parts.Security, func(s sec.SecureTransport) bool { return string(s.ID()) == id })
	return t.parts.Security[i], nil
}

// An agreedConn is a connection over which the peer negotiates a security protocol, or has. It is the
// other end of multistream-select for the Upgrader.
type agreedConn struct {
	choosingConn
	propose []byte // what is left of the Upgrader's proposal
	consent []byte // and of what it gets for it
}

func newAgreedConn(c manet.Conn, rw io.ReadWriter, id protocol.ID, choose func() error) *agreedConn {
	var proposal []byte
	for _, token := range []string{msmux.ProtocolID, string(id)} {
		proposal = append(proposal, varint.ToUvarint(uint64(len(token)+1))...)
		proposal = append(proposal, token+"\n"...)
	}
	return &agreedConn{choosingConn{Conn: c, rw: rw, choose: choose}, proposal, proposal}
}

func (c *agreedConn) Read(b []byte) (int, error) {
	if len(c.consent) > 0 {
		n := copy(b, c.consent)
		c.consent = c.consent[n:]
		return n, nil
	}
	return c.choosingConn.Read(b)
}

func (c *agreedConn) Write(b []byte) (int, error) {
	if len(c.propose) == 0 {
		return c.choosingConn.Write(b)
	}
	n := min(len(b), len(c.propose))
	if string(b[:n]) != string(c.propose[:n]) {
		return 0, errors.New("the Upgrader does not begin with multistream-select")
	}
	c.propose = c.propose[n:]
	if n == len(b) {
		return n, nil
	}
	rest, err := c.choosingConn.Write(b[n:])
	return n + rest, err
}
