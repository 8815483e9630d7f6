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
		log.Debug("attempt failed", "peer", p, "err", &Error{Op: "respond", Peer: p, Err: err})
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
	budget, err := t.limiter.Begin(string(p))
	if err != nil {
		offer.Refuse(pb.Status_BUSY, words(err))
		return err
	}
	defer budget.End()
	if offer.Request {
		if s.Conn().Stat().Direction != network.DirOutbound {
			err = errors.New("requested by the peer that dialled the relayed connection")
		} else {
			_, err = t.connect(ctx, h, p)
		}
		offer.Done(err, words(err))
		return nil // the attempt has told its own story
	}
	return t.punchAsResponder(ctx, h, p, offer, budget)
}

// punchAsResponder answers an OFFER and punches. A refusal is told to the peer,
// so that the initiator's user learns the reason at once.
func (t *Transport) punchAsResponder(ctx context.Context, h host.Host, p peer.ID, offer *holepunch.Received, budget *holepunch.Budget) error {
	if !t.mayAnswer(h.ID(), p) {
		offer.Refuse(pb.Status_GLARE, "")
		return ErrGlare
	}
	defer t.answered(p)
	l := t.listenerFor(offer.Target)
	if l == nil {
		offer.Refuse(pb.Status_NO_ADDRESS, "not listening")
		return errors.New("no listener")
	}
	// However often the peer tries again, it has the time of one dial.
	ctx, cancel := context.WithTimeout(ctx, directTimeout+securedSoon)
	defer cancel()
	own, err := t.takeStance(ctx, h, l.port)
	if err != nil {
		offer.Refuse(pb.Status_NO_ADDRESS, words(err))
		return err
	}
	a := &attempt{t: t, h: h, peer: p, dir: network.DirInbound, budget: budget, signal: offer.Signal, own: own}
	defer a.release()
	if err := a.accept(ctx, offer.Terms); err != nil {
		return a.finish(err)
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
