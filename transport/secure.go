package transport

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	protector "github.com/libp2p/go-libp2p/p2p/net/pnet"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	msmux "github.com/multiformats/go-multistream"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// The attempt secures and multiplexes its connection with the host's own security transports and
// muxers, as an Upgrader does. It is not an Upgrader's work because the security handshake begins
// in the signalling, and which protocol it is was settled there.

// handshake returns what the agent runs on the connection.
func (a *attempt) handshake() (*holepunch.Handshake, error) {
	hs := &holepunch.Handshake{Run: a.secure}
	for _, st := range a.t.parts.Security {
		hs.Protocols = append(hs.Protocols, string(st.ID()))
	}
	psk := a.t.parts.PSK
	switch {
	case psk != nil:
		hs.Wrap = func(c net.Conn) (net.Conn, error) { return protector.NewProtectedConn(psk, c) }
	case pnet.ForcePrivateNetwork:
		return nil, pnet.ErrNotInPrivateNetwork
	}
	return hs, nil
}

// secure runs the security handshake, and expects the peer at the other end.
func (a *attempt) secure(ctx context.Context, c net.Conn, id string, initiator bool) error {
	i := slices.IndexFunc(a.t.parts.Security, func(st sec.SecureTransport) bool { return string(st.ID()) == id })
	if i < 0 {
		return fmt.Errorf("%w: %q", holepunch.ErrNoProtocol, id)
	}
	st := a.t.parts.Security[i]
	run := st.SecureInbound
	if initiator {
		run = st.SecureOutbound
	}
	secured, err := run(ctx, c, a.peer)
	if err != nil {
		return err
	}
	if got := secured.RemotePeer(); got != a.peer {
		secured.Close()
		return sec.ErrPeerIDMismatch{Expected: a.peer, Actual: got}
	}
	a.secured, a.protocol = secured, protocol.ID(id)
	return nil
}

// multiplex makes a connection of what the agent returned after the handshake. It owns c and the
// scope.
func (a *attempt) multiplex(ctx context.Context, c tcpConn, scope network.ConnManagementScope) (*conn, error) {
	id, muxed, err := a.t.newMuxedConn(ctx, a.secured, a.dir == network.DirInbound, scope.PeerScope())
	if err != nil {
		a.secured.Close()
		c.Close()
		scope.Done()
		return nil, fmt.Errorf("%w: negotiate muxer: %w", holepunch.ErrHandshake, err)
	}
	state := a.secured.ConnState()
	made := &conn{
		MuxedConn:    muxed,
		ConnSecurity: a.secured,
		transport:    a.t,
		tcp:          c,
		scope:        scope,
		state: network.ConnectionState{
			StreamMultiplexer:         id,
			Security:                  a.protocol,
			Transport:                 "tcp",
			UsedEarlyMuxerNegotiation: state.UsedEarlyMuxerNegotiation,
		},
	}
	made.decided, made.decide = context.WithCancel(context.Background())
	made.setOptions()
	return made, nil
}

// muxerTimeout bounds the negotiation of a muxer, as in go-libp2p's Upgrader. An attempt's context
// is usually shorter.
const muxerTimeout = time.Minute

// newMuxedConn makes a muxed connection of a secured one: by the muxer that the security handshake
// has come to, or else by the one that multistream-select comes to.
func (t *Transport) newMuxedConn(ctx context.Context, c sec.SecureConn, server bool, scope network.PeerScope) (protocol.ID, network.MuxedConn, error) {
	id := c.ConnState().StreamMultiplexer
	if id == "" {
		stop := context.AfterFunc(ctx, func() { c.Close() })
		c.SetDeadline(time.Now().Add(muxerTimeout))
		var err error
		id, err = t.negotiateMuxer(c, server)
		if !stop() {
			return "", nil, context.Cause(ctx)
		}
		if err != nil {
			return "", nil, err
		}
		c.SetDeadline(time.Time{})
	}
	i := slices.IndexFunc(t.parts.Muxers, func(m upgrader.StreamMuxer) bool { return m.ID == id })
	if i < 0 {
		return "", nil, fmt.Errorf("unknown muxer %q", id)
	}
	muxed, err := t.parts.Muxers[i].Muxer.NewConn(c, server, scope)
	return id, muxed, err
}

func (t *Transport) negotiateMuxer(c net.Conn, server bool) (protocol.ID, error) {
	if !server {
		ids := make([]protocol.ID, len(t.parts.Muxers))
		for i, m := range t.parts.Muxers {
			ids[i] = m.ID
		}
		return msmux.SelectOneOf(ids, c)
	}
	mux := msmux.NewMultistreamMuxer[protocol.ID]()
	for _, m := range t.parts.Muxers {
		mux.AddHandler(m.ID, nil)
	}
	id, _, err := mux.Negotiate(c)
	return id, err
}
