package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	msmux "github.com/multiformats/go-multistream"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// serviceName is the name of the signalling to the resource manager, the connection manager, and
// the swarm.
const serviceName = "simopen"

// A lazyStream proposes its protocol together with the first write, which saves the round trip that
// Host.NewStream spends on it, and the wait for identify. Reads wait for that write: a read would
// propose the protocol by itself, in a packet of its own.
type lazyStream struct {
	network.Stream
	rw       io.ReadWriteCloser
	begin    func() error // called by the first write, before it; the error is that of all writes
	begun    chan struct{}
	expired  chan struct{} // closed when a read deadline has passed
	expire   func()
	answered atomic.Bool // the peer speaks the protocol: something was read
}

func (s *lazyStream) Read(b []byte) (int, error) {
	if !s.hasBegun() {
		select {
		case <-s.begun:
		case <-s.expired:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n, err := s.rw.Read(b)
	if n > 0 {
		s.answered.Store(true)
	}
	return n, err
}

func (s *lazyStream) Write(b []byte) (int, error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	return s.rw.Write(b)
}

// hasBegun reports whether there was a write that begin has allowed.
func (s *lazyStream) hasBegun() bool {
	select {
	case <-s.begun:
		return true
	default:
		return false
	}
}

// SetReadDeadline ends reads that wait for the first write if t is in the past.
func (s *lazyStream) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		s.expire()
	}
	return s.Stream.SetReadDeadline(t)
}

// openStream opens a stream for signalling on a relayed connection. Begun is called before the
// first write. If it fails, nothing is written, and all writes return its error.
func openStream(ctx context.Context, c network.Conn, begun func() error) (*lazyStream, error) {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, serviceName))
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = fmt.Errorf("%w: %w", ctx.Err(), err) // the muxer has errors of its own
		case errors.Is(err, network.ErrResourceLimitExceeded):
			err = fmt.Errorf("%w: %w", holepunch.ErrResourceLimit, err)
		default:
			err = fmt.Errorf("%w: %w", holepunch.ErrSignalLost, err)
		}
		return nil, fmt.Errorf("open stream on the relayed connection: %w", err)
	}
	err = s.SetProtocol(holepunch.Protocol)
	if err == nil {
		err = s.Scope().SetService(serviceName)
	}
	if err != nil {
		s.Reset()
		return nil, fmt.Errorf("open stream on the relayed connection: %w: %w", holepunch.ErrResourceLimit, err)
	}
	l := &lazyStream{
		Stream:  s,
		rw:      msmux.NewMSSelect[protocol.ID](s, holepunch.Protocol),
		begun:   make(chan struct{}),
		expired: make(chan struct{}),
	}
	l.begin = sync.OnceValue(func() error {
		err := begun()
		if err == nil {
			close(l.begun)
		}
		return err
	})
	l.expire = sync.OnceFunc(func() { close(l.expired) })
	return l, nil
}

// awaitSupport waits for identify to show whether the peer speaks the protocol. It does so only if
// the attempt would connect to observers in place of STUN servers. No such connections are made for
// peers without the protocol.
func (t *Transport) awaitSupport(ctx context.Context, h host.Host, relayed network.Conn) error {
	ids, ok := h.(interface{ IDService() identify.IDService })
	p := relayed.RemotePeer()
	if !ok || supports(h, p) || !t.agent.Asks() {
		return nil
	}
	t.peers.at(p, "waiting for identify")
	select {
	case <-ids.IDService().IdentifyWait(relayed):
	case <-ctx.Done():
		return ctx.Err()
	}
	if protocols, err := h.Peerstore().GetProtocols(p); err != nil || len(protocols) == 0 || supports(h, p) {
		return nil
	}
	// The list may lack something if the peer has just started: go-libp2p's identify may replace
	// its newest list with the one before. So the peer has to say it.
	t.peers.at(p, "proposing the protocol")
	switch err := propose(ctx, relayed); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return ErrPeerUnsupported
	}
}

// proposeTimeout bounds propose: more than a round trip over a relay, with a packet that is lost.
const proposeTimeout = 2 * time.Second

// propose proposes the protocol on a relayed connection, and returns nil if the peer accepts. The
// stream ends before an OFFER, which counts as no attempt there.
func propose(ctx context.Context, relayed network.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	s, err := relayed.NewStream(network.WithAllowLimitedConn(ctx, serviceName))
	if err != nil {
		return err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := errors.Join(s.SetProtocol(holepunch.Protocol), s.Scope().SetService(serviceName)); err != nil {
		return err
	}
	return msmux.SelectProtoOrFail[protocol.ID](holepunch.Protocol, s)
}

// supports reports whether a peer is known to speak the protocol.
func supports(h host.Host, p peer.ID) bool {
	known, err := h.Peerstore().SupportsProtocols(p, holepunch.Protocol)
	return err == nil && len(known) > 0
}

// unsupported returns [ErrPeerUnsupported] if an error of the signalling is the answer of a peer
// that does not know the protocol, and otherwise err. That answer is "na", or the reset after it of
// a stream on which our message was taken for another proposal. Only go-libp2p gives that reset a
// code of its own. Where it has none, the protocol is proposed again.
func unsupported(ctx context.Context, h host.Host, relayed network.Conn, err error) error {
	if isUnsupported(err) {
		return ErrPeerUnsupported // no caller needs the answer
	}
	var reset *network.StreamError
	if !errors.As(err, &reset) || !reset.Remote || reset.ErrorCode != 0 {
		return err
	}
	if !supports(h, relayed.RemotePeer()) && isUnsupported(propose(ctx, relayed)) {
		return ErrPeerUnsupported
	}
	return err
}

func isUnsupported(err error) bool {
	var na msmux.ErrNotSupported[protocol.ID]
	var reset *network.StreamError
	return errors.As(err, &na) || errors.As(err, &reset) && reset.ErrorCode == network.StreamProtocolNegotiationFailed
}
