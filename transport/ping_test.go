package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	msmux "github.com/multiformats/go-multistream"
)

// pingOver pings the other end of c, and no other connection's.
func pingOver(ctx context.Context, c network.Conn) error {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "ping"))
	if err != nil {
		return err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := msmux.SelectProtoOrFail[protocol.ID](ping.ID, s); err != nil {
		return err
	}
	said, heard := make([]byte, ping.PingSize), make([]byte, ping.PingSize)
	rand.Read(said)
	if _, err := s.Write(said); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, heard); err != nil {
		return err
	}
	if !bytes.Equal(said, heard) {
		return errors.New("the peer has answered another ping")
	}
	return nil
}
