package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// signalMemory is what the resource manager is asked for: a message in and one
// out, in bytes.
const signalMemory = 8 << 10

// handle serves a signalling stream that a peer opened.
func (t *Transport) handle(s network.Stream) {
	p := s.Conn().RemotePeer()
	err := t.respond(s, p)
	if err != nil {
		t.log.Debug("attempt failed", "peer", p, "err", &Error{Op: "respond", Peer: p, Err: err})
	}
	if errors.Is(err, errUnserved) || errors.Is(err, holepunch.ErrSignalLost) {
		s.Reset()
		return
	}
	s.Close() // a reset might overtake the last message, which has the reason
}

// errUnserved is a stream whose first message was not read.
var errUnserved = errors.New("signalling not served")

func (t *Transport) respond(s network.Stream, p peer.ID) error {
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

	offer, err := holepunch.Receive(ctx, s)
	if err != nil {
		return err
	}
	budget, err := t.admit(p, offer)
	if err != nil {
		return err
	}
	defer budget.End()
	if offer.Request {
		return t.serveRequest(ctx, h, s.Conn(), offer)
	}
	a := &attempt{report: t.started(p, network.DirInbound), h: h, budget: budget, signal: offer.Signal}
	err = t.blame(h, t.punchAsResponder(ctx, a, offer))
	a.finished(a.remoteAddr, err)
	return err
}

// serveRequest has this side initiate, as the peer asks for.
func (t *Transport) serveRequest(ctx context.Context, h host.Host, relayed network.Conn, offer *holepunch.Received) error {
	var err error
	if relayed.Stat().Direction != network.DirOutbound {
		err = errors.New("requested by the peer that dialled the relayed connection")
	} else {
		_, err = t.connect(ctx, h, relayed.RemotePeer())
	}
	tell(offer.Signal, err)
	return nil // the attempt has told its own story
}

// admit finds room for the peer, if it is wanted at all. It has refused it otherwise; then there has
// been no attempt, and so none of its events, for a peer may ask as often as it likes.
func (t *Transport) admit(p peer.ID, offer *holepunch.Received) (*holepunch.Budget, error) {
	refuse := func(status pb.Status, err error) (*holepunch.Budget, error) {
		t.metrics.refused(err)
		offer.Refuse(status, words(err))
		return nil, err
	}
	if err := t.limiter.Offered(string(p)); err != nil {
		return refuse(pb.Status_BUSY, err) // before the user's filter is bothered
	}
	budget, err := t.limiter.Begin(string(p))
	if err != nil {
		return refuse(pb.Status_BUSY, err)
	}
	if !t.wants(p) {
		budget.End()
		return refuse(pb.Status_DECLINED, ErrPeerFiltered)
	}
	return budget, nil
}

// punchAsResponder answers an OFFER and punches. A refusal is told to the peer,
// so that the initiator's user learns the reason at once.
func (t *Transport) punchAsResponder(ctx context.Context, a *attempt, offer *holepunch.Received) error {
	defer t.kept.protect(a.h, a.peer, false)()
	if !t.mayAnswer(a.h.ID(), a.peer) {
		offer.Refuse(pb.Status_GLARE, "")
		return ErrGlare
	}
	defer t.answered(a.peer)
	l := t.listenerFor(offer.Target)
	if l == nil {
		offer.Refuse(pb.Status_NO_ADDRESS, "not listening")
		return errors.New("no listener")
	}
	// However often the peer tries again, it has the time of one dial.
	ctx, cancel := context.WithTimeout(ctx, t.cfg.timeout+securedSoon)
	defer cancel()
	a.port = l.port
	var err error
	if a.own, err = t.takeStance(ctx, a.h, a.peer, a.port); err != nil {
		offer.Refuse(noPart(err), words(err))
		return err
	}
	defer a.release()
	if err := a.accept(ctx, offer.Terms); err != nil {
		return err
	}
	defer a.hear(ctx)()
	return a.serveRounds(ctx, l)
}

// listenerFor returns the listener that was dialled, or the first, or nil.
func (t *Transport) listenerFor(target netip.AddrPort) *listener {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.listeners) == 0 {
		return nil
	}
	for _, l := range t.listeners {
		if target.IsValid() && l.port.has(target) {
			return l
		}
	}
	return t.listeners[0]
}
