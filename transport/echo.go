package transport

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
)

// echoID is the protocol by which a peer is asked over a direct connection whether it is still
// there: what it reads until the end of the stream, up to maxEcho bytes, it writes back at once.
const echoID protocol.ID = "/simopen/echo/1.0.0"

const (
	maxEcho = 4096

	// echoTimeout bounds how long serving an echo takes, as with libp2p's ping: much data may be on
	// the way before it.
	echoTimeout = time.Minute
)

// serveEcho serves a stream of the echo protocol.
func (t *Transport) serveEcho(s network.Stream) {
	if err := answerEcho(s); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func answerEcho(s network.Stream) error {
	if err := s.Scope().SetService(serviceName); err != nil {
		return err
	}
	if err := s.Scope().ReserveMemory(maxEcho, network.ReservationPriorityAlways); err != nil {
		return err
	}
	defer s.Scope().ReleaseMemory(maxEcho)
	s.SetDeadline(time.Now().Add(echoTimeout))
	b, err := io.ReadAll(io.LimitReader(s, maxEcho))
	if err != nil {
		return err
	}
	_, err = s.Write(b)
	return err
}

// echo makes the peer at the other end of c send back size bytes. It fails if nothing comes before
// ctx ends, or if the connection ends. Any answer will do, also that of a peer that does not have
// the protocol. If this host may not open a stream, no echo is sent, and that does not count
// against the peer.
func echo(ctx context.Context, c network.Conn, size int) error {
	s, err := c.NewStream(ctx)
	if err == nil {
		err = exchange(ctx, s, size)
		s.Reset()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case c.IsClosed():
		return err
	}
	return nil
}

func exchange(ctx context.Context, s network.Stream, size int) error {
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := errors.Join(s.SetProtocol(echoID), s.Scope().SetService(serviceName)); err != nil {
		return err
	}
	rw := msmux.NewMSSelect[protocol.ID](s, echoID)
	if _, err := rw.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	_, err := io.ReadFull(rw, make([]byte, size))
	return err
}
