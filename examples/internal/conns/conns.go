// Package conns has what is done with one libp2p connection, and not with a peer whichever way.
package conns

import (
	"context"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	msmux "github.com/multiformats/go-multistream"
)

// Open opens a stream on this very connection. Host.NewStream would choose one itself: the direct
// connection, once there is one. The protocol is named with the first bytes that are written; a
// peer that does not speak it is found out by reading.
func Open(ctx context.Context, c network.Conn, proto protocol.ID) (network.Stream, error) {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "simopen example"))
	if err != nil {
		return nil, err
	}
	if err := s.SetProtocol(proto); err != nil {
		s.Reset()
		return nil, err
	}
	return &lazyStream{s, msmux.NewMSSelect(s, proto)}, nil
}

// A lazyStream negotiates its protocol with the first bytes.
type lazyStream struct {
	network.Stream
	negotiated io.ReadWriter
}

func (s *lazyStream) Read(b []byte) (int, error)  { return s.negotiated.Read(b) }
func (s *lazyStream) Write(b []byte) (int, error) { return s.negotiated.Write(b) }

// Alive reports whether the other end of a connection answers before ctx ends, even with an error.
func Alive(ctx context.Context, c network.Conn) bool {
	s, err := Open(ctx, c, ping.ID)
	if err != nil {
		return !c.IsClosed() && ctx.Err() == nil
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	ball := make([]byte, ping.PingSize)
	if _, err := s.Write(ball); err == nil {
		_, _ = io.ReadFull(s, ball) // an error is an answer, too, if ctx has not ended
	}
	return !c.IsClosed() && ctx.Err() == nil
}

// IsRelayed reports whether a relay carries the connection.
func IsRelayed(c network.Conn) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}
