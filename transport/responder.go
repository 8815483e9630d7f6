package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

const (
	// signalMemory is what the resource manager is asked for: a message in and one out, in bytes.
	signalMemory = 8 << 10

	// responderGrace is how much longer than the initiator a responder may take: the last flight of
	// the handshake may be lost twice.
	responderGrace = 3 * time.Second
)

// errUnserved is a stream whose first message was not read.
var errUnserved = errors.New("signalling not served")

// handle serves a signalling stream that a peer opened.
func (t *Transport) handle(s network.Stream) {
	p := s.Conn().RemotePeer()
	err := t.serve(s, p)
	if err != nil {
		t.log.Debug("attempt failed", "peer", p, "err", &Error{Op: "respond", Peer: p, Err: err})
	}
	if errors.Is(err, errUnserved) || errors.Is(err, holepunch.ErrSignalLost) {
		s.Reset()
		return
	}
	s.Close() // a reset might overtake the last message, which has the reason
}

func (t *Transport) serve(s network.Stream, p peer.ID) error {
	if !isRelayed(s.Conn()) {
		return fmt.Errorf("%w: the connection is direct already", errUnserved)
	}
	ctx, h, end, err := t.begin(context.Background())
	if err != nil {
		return fmt.Errorf("%w: %w", errUnserved, err)
	}
	defer end()
	if err := s.Scope().SetService(serviceName); err != nil {
		return fmt.Errorf("%w: %w", errUnserved, err)
	}
	if err := s.Scope().ReserveMemory(signalMemory, network.ReservationPriorityAlways); err != nil {
		return fmt.Errorf("%w: %w", errUnserved, err)
	}
	defer s.Scope().ReleaseMemory(signalMemory)
	// However often the peer tries again, it has the time of one dial.
	ctx, cancel := context.WithTimeout(ctx, t.cfg.timeout+responderGrace)
	defer cancel()
	return t.respond(ctx, h, s, p)
}

// respond makes an attempt as responder. What is refused before [holepunch.Options.Started] is no
// attempt, and has none of its events: a peer may ask as often as it likes.
func (t *Transport) respond(ctx context.Context, h host.Host, s network.Stream, p peer.ID) (err error) {
	a := t.newAttempt(ctx, h, p, network.DirInbound)
	defer a.release()
	o, err := a.options(s.Conn())
	if err != nil {
		return fmt.Errorf("%w: %w", errUnserved, err)
	}
	var l *listener
	var r *report
	endAnswer, unprotect := func() {}, func() {}
	o.Refuse = func() error {
		if !t.wants(p) {
			return ErrPeerFiltered
		}
		if l = t.currentListener(); l == nil {
			return fmt.Errorf("%w: not listening", holepunch.ErrNoAddress)
		}
		if err := t.peers.beginAnswer(h.ID(), p); err != nil {
			return err
		}
		endAnswer = func() { t.peers.endAnswer(p, err) }
		return nil
	}
	o.Started = func() {
		t.offered(p)
		r = t.started(p, network.DirInbound)
		unprotect = t.protect(h, p, false)
	}
	o.Trace = func(e holepunch.Event) { r.step(e) }
	c, err := t.agent.Accept(ctx, s, o)
	defer func() { endAnswer() }()
	defer func() { unprotect() }()
	if r == nil {
		t.metrics.refused(holepunch.ReasonOf(err))
		return err
	}
	took := r.took()
	var remote ma.Multiaddr
	if err == nil {
		remote, err = a.deliver(ctx, l, c)
	} else {
		err = t.explain(err)
	}
	if isElsewhere(err) && t.directConn(h, p) != nil {
		err = nil // from one side to a listener of the other's, for one
	}
	err = t.blame(h, err)
	if c == nil { // else the echo over it shows whether it is stuck
		t.peers.noteFailure(p, err)
	}
	r.finished(took, remote, err)
	return err
}

// deliver hands the connection to the listener, and waits for the initiator's choice. It returns
// the peer's end of the TCP connection that was chosen.
func (a *attempt) deliver(ctx context.Context, l *listener, c *holepunch.Conn) (ma.Multiaddr, error) {
	conn, err := a.assemble(ctx, c)
	if err != nil {
		return nil, err
	}
	if !l.deliver(ctx, conn) {
		return nil, fmt.Errorf("%w: nobody accepts the connection", holepunch.ErrNoConnection)
	}
	err = c.AwaitChoice(ctx)
	if a.t.gater != nil { // which the swarm asks once more
		select {
		case <-conn.decided.Done():
		case <-ctx.Done():
		}
	}
	switch {
	case conn.gated.Load():
		return nil, fmt.Errorf("%w: connection with the peer", ErrGated)
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	}
	conn.setOptions()
	return conn.RemoteMultiaddr(), nil
}
