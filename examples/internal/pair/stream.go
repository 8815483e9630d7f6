package pair

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	msmux "github.com/multiformats/go-multistream"
)

const (
	// pings is how many round trips are measured; the shortest counts, for all that a busy machine
	// or a queue on the path does is to make one longer.
	pings = 5

	// pingTimeout bounds all of them. On a path that loses packets one may take some seconds.
	pingTimeout = 15 * time.Second
)

// openStream opens a stream on this very connection. Host.NewStream would choose one itself: the
// direct connection, once there is one.
func openStream(ctx context.Context, c network.Conn, proto protocol.ID) (network.Stream, error) {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "simopen example"))
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	err = errors.Join(s.SetDeadline(deadline), s.SetProtocol(proto))
	if err == nil {
		err = msmux.SelectProtoOrFail(proto, s)
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

// roundTrip measures a connection's round trip time.
func roundTrip(ctx context.Context, c network.Conn) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	s, err := openStream(ctx, c, ping.ID)
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	var shortest time.Duration
	ball := make([]byte, ping.PingSize)
	for i := range pings {
		rand.Read(ball)
		begun := time.Now()
		if _, err := s.Write(ball); err != nil {
			return 0, fmt.Errorf("ping: %w", err)
		}
		if _, err := io.ReadFull(s, ball); err != nil {
			return 0, fmt.Errorf("ping: %w", err)
		}
		if took := time.Since(begun); i == 0 || took < shortest {
			shortest = took
		}
	}
	return shortest, nil
}
