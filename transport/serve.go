package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	tpt "github.com/libp2p/go-libp2p/core/transport"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// A retried round ends by the initiator's RETRY.
type retried struct{ news holepunch.News }

func (r *retried) Error() string { return "the peer tries again" }

// accept answers the initiator's terms, or refuses them with the reason.
func (a *attempt) accept(ctx context.Context, theirs holepunch.Terms) error {
	if holepunch.SameSite(a.own.terms.Candidates, theirs.Candidates) {
		a.own.name(lanCandidates(a.own.port.Number())...)
	}
	// This expects the initiator before the ANSWER leaves: its SYN may be
	// quicker than our return from sending it.
	err := a.admit(theirs)
	if errors.Is(err, errClaimed) {
		if err = a.stepAside(ctx); err == nil {
			err = a.renew(ctx)
		}
		if err != nil {
			a.signal.Refuse(noPart(err), words(err))
			return err
		}
		return a.accept(ctx, theirs)
	}
	if err != nil {
		switch {
		case isImpossible(err):
			a.signal.RefuseImpossible(a.own.terms.Behaviour)
		case errors.Is(err, holepunch.ErrBusy):
			a.signal.Refuse(pb.Status_BUSY, words(err))
		default:
			a.signal.Refuse(pb.Status_NO_CANDIDATE, words(err))
		}
		return err
	}
	// After that, for what cannot work is refused without delay.
	if err := a.t.foretell(ctx, a.own, a.budget)(); err != nil {
		a.signal.Refuse(noPart(err), words(err))
		return err
	}
	answer := a.own.terms
	answer.Security = a.t.security()
	return a.signal.Answer(a.round, answer)
}

// serveRounds is the responder's part from its ANSWER on. A failure is told to the
// peer, so that its user learns the reason at once.
func (a *attempt) serveRounds(ctx context.Context, l *listener) error {
	for {
		err := a.serve(ctx, l)
		var again *retried
		if errors.As(err, &again) {
			a.roundFailed(err)
			if err = a.restart(ctx, again.news); err == nil {
				continue
			}
			return err
		}
		if err != nil {
			tell(a.signal, err)
		}
		return err
	}
}

// restart takes a fresh stance for the round that the initiator asks for.
func (a *attempt) restart(ctx context.Context, n holepunch.News) error {
	a.round = n.Round
	if err := a.renew(ctx); err != nil {
		a.signal.Refuse(noPart(err), words(err))
		return err
	}
	return a.accept(ctx, n.Terms)
}

// serve is the punch of one round.
func (a *attempt) serve(ctx context.Context, l *listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	a.offered()
	p := a.punch()
	more := make(chan []holepunch.Candidate)
	p.More = more
	cross := make(chan struct{})
	p.Cross = cross
	defer a.dialBack(ctx, stop)()
	end := a.obey(ctx, stop, more, cross)
	defer end()
	err := holepunch.Serve(ctx, p, a.t.shake(a.peer, a.dir, nil, stop), func(c tpt.CapableConn) {
		a.remoteAddr = c.RemoteMultiaddr()
		l.deliver(ctx, c)
	})
	if errors.Is(err, errConnectedThere) && directConn(a.h, a.peer) != nil {
		err = nil
	}
	end()
	return a.explain(err) // after obey, which may add to what is known
}

// securedSoon is how long a responder that was told of success goes on until it
// has the connection, too: the last flight of the handshake may be lost twice.
const securedSoon = 3 * time.Second

// obey does what the initiator says during a round. It ends the punch through stop:
// at once if the initiator gave up or tries again, and if it has its connection,
// when we have it as well. Silence is no reason to stop: with the relayed connection
// gone, the punch is all that is left.
func (a *attempt) obey(ctx context.Context, stop context.CancelCauseFunc, more chan<- []holepunch.Candidate, cross chan<- struct{}) (end func()) {
	return aside(stop, func() {
		for {
			var n holepunch.News
			var ok bool
			select {
			case n, ok = <-a.news:
			case <-ctx.Done():
			}
			if !ok {
				return
			}
			switch {
			case n.Type == pb.Message_RETRY && n.Round > a.round:
				stop(&retried{n})
				return // what follows is of the next round
			case n.Type == pb.Message_CROSS && cross != nil:
				close(cross)
				cross = nil
			case n.Type == pb.Message_CANDIDATES:
				if cs := a.add(n.Terms.Candidates); len(cs) > 0 {
					select {
					case more <- cs:
					case <-ctx.Done():
					}
				}
			case n.Type == pb.Message_DONE && n.Err != nil:
				stop(n.Err)
			case n.Type == pb.Message_DONE:
				// Where the relayed path is the shorter one, we may not have
				// the connection yet. The punch ends by itself when it has: of several that
				// come up, the first that is secured here need not be the initiator's choice.
				select {
				case <-ctx.Done():
				case <-time.After(securedSoon):
				}
				stop(errConnectedThere)
			}
		}
	})
}

// errConnectedThere ends the punch of a responder, since the initiator has a direct
// connection: one to the host's own listener, or one that did not come up here.
var errConnectedThere = fmt.Errorf("%w here, and the initiator has one", holepunch.ErrNoConnection)

// add admits candidates that come late, which are those of the initiator's own site and those which were to
// follow, and returns the new ones.
func (a *attempt) add(cs []holepunch.Candidate) []holepunch.Candidate {
	late := slices.DeleteFunc(slices.Clone(cs), func(c holepunch.Candidate) bool {
		return c.Kind != pb.Candidate_LAN && !(a.theirs.Following && isPredicted(c))
	})
	if slices.ContainsFunc(late, isPredicted) {
		a.theirs.Candidates = slices.DeleteFunc(slices.Clone(a.theirs.Candidates), informs)
		a.theirs.Following = false
	}
	room := holepunch.MaxCandidates - len(a.theirs.Candidates)
	late = late[:min(max(room, 0), len(late))]
	if len(late) == 0 {
		return nil
	}
	had := a.remote
	a.theirs.Candidates = append(a.theirs.Candidates, late...)
	if err := a.admit(a.theirs); err != nil && !errors.Is(err, errClaimed) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(a.remote), func(c holepunch.Candidate) bool { return slices.Contains(had, c) })
}

// dialBackDelay is the head start of the punch, unless the NATs are known to allow
// none: it is through by then, or has lost a SYN. Both would make two connections.
const dialBackDelay = time.Second

// dialBack has the swarm connect to the initiator's listeners, and to nothing else. That
// gives a connection of the host's like any other, which makes us its client and
// outbound; the initiator notices that it is there. It is done once in an attempt, in the
// first round that is long enough.
func (a *attempt) dialBack(ctx context.Context, stop context.CancelCauseFunc) (end func()) {
	var listeners []netip.AddrPort
	for _, c := range a.remote {
		if isListener(c) && len(listeners) < maxListeners {
			listeners = append(listeners, c.Addr)
		}
	}
	if len(listeners) == 0 || a.dialledBack {
		return func() {}
	}
	delay := dialBackDelay
	if !a.outcome().Possible() {
		delay = 0
	}
	return aside(stop, func() {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
		for _, l := range listeners {
			if a.budget.Spend(ctx, l.Addr()) != nil {
				return
			}
		}
		begin := time.Now()
		err := a.t.dialOnly(ctx, a.h, a.peer, listeners)
		for _, l := range listeners {
			a.budget.Pended(l.Addr(), time.Since(begin))
		}
		a.dialledBack = ctx.Err() == nil // or else the round was over before
		if err == nil {
			stop(errConnectedThere)
		}
	})
}

// aside runs f in a goroutine. The function returned ends the context that f heeds,
// and waits for f.
func aside(stop context.CancelCauseFunc, f func()) (end func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		f()
	}()
	return func() {
		stop(nil)
		<-over
	}
}
