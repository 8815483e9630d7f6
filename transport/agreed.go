package transport

import (
	"context"
	"errors"
	"net"
	"slices"

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

// agreed is the security protocol that multistream-select would come to with a peer
// that negotiates those, or nil if that is not known.
func (t *Transport) agreed(theirs []string) sec.SecureTransport {
	if pnet.ForcePrivateNetwork {
		return nil // upgradeAs would fail, whose Upgrader has no protector
	}
	for _, s := range t.parts.Security {
		if slices.Contains(theirs, string(s.ID())) {
			return s
		}
	}
	return nil
}

// upgradeAs upgrades a connection as initiator, with a security protocol that the
// peer is known to negotiate.
func (t *Transport) upgradeAs(ctx context.Context, s sec.SecureTransport, c manet.Conn, p peer.ID, scope network.ConnManagementScope, choose func() error) (tpt.CapableConn, error) {
	// The network's protector goes below what is said beforehand, and an
	// Upgrader would put it above.
	u, err := upgrader.New([]sec.SecureTransport{s}, t.parts.Muxers, nil, t.rcmgr, t.gater)
	if err != nil {
		return nil, err
	}
	var below net.Conn = c
	if len(t.parts.PSK) > 0 {
		if below, err = protector.NewProtectedConn(t.parts.PSK, c); err != nil {
			return nil, err
		}
	}
	return u.Upgrade(ctx, t, newAgreedConn(c, below, s.ID(), choose), network.DirOutbound, p, scope)
}

// An agreedConn is a connection over which the peer negotiates a security protocol.
type agreedConn struct {
	choosingConn
	propose []byte // what is left of the Upgrader's proposal
	consent []byte // and of what it gets for it
}

func newAgreedConn(c manet.Conn, below net.Conn, id protocol.ID, choose func() error) *agreedConn {
	var proposal []byte
	for _, token := range []string{msmux.ProtocolID, string(id)} {
		proposal = append(proposal, varint.ToUvarint(uint64(len(token)+1))...)
		proposal = append(proposal, token+"\n"...)
	}
	// It sends the proposal with the first write, and reads the consent before anything else.
	lazy := msmux.NewMSSelect(below, id)
	return &agreedConn{choosingConn{Conn: c, rw: lazy, choose: choose}, proposal, proposal}
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
