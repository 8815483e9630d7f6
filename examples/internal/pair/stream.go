package pair

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/simopen/go-libp2p-simopen/examples/internal/conns"
)

const (
	// pings is how many round trips are measured; the shortest counts, for all that a busy machine
	// or a queue on the path does is to make one longer.
	pings = 5

	// pingTimeout bounds all of them. On a path that loses packets one may take some seconds.
	pingTimeout = 15 * time.Second
)

// roundTrip measures a connection's round trip time.
func roundTrip(ctx context.Context, c network.Conn) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	s, err := conns.Open(ctx, c, ping.ID)
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
