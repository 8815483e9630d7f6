package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	tpt "github.com/libp2p/go-libp2p/core/transport"

	"github.com/simopen/go-libp2p-simopen/holepunch"
	"github.com/simopen/go-libp2p-simopen/holepunch/pb"
)

// initiate is the initiator's part, from the peer's ANSWER on. What the OFFER left to follow is told
// by then, or soon.
func (a *attempt) initiate(ctx context.Context, theirs holepunch.Terms, told func() error) (tpt.CapableConn, error) {
	begin := time.Now()
	for {
		err := a.admit(theirs)
		claimed := errors.Is(err, errClaimed)
		if claimed && a.round < holepunch.MaxRounds {
			a.roundFailed(err)
			if err = a.stepAside(ctx); err == nil {
				theirs, err = a.retry(ctx)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err != nil && !claimed {
			return nil, err
		}
		if a.sameSite() {
			// The peer has told us its addresses within the site.
			a.signal.More(a.own.allowed(lanCandidates(a.own.port.Number())))
		}
		if a.own.terms.Following {
			if err := told(); err != nil {
				return nil, err
			}
			a.signal.More(predicted(a.own.terms.Candidates))
		}
		conn, err := a.open(ctx)
		if err == nil || !a.again(ctx, begin, err) {
			return conn, err
		}
		a.roundFailed(err)
		var failed error
		if theirs, failed = a.retry(ctx); failed != nil {
			return nil, fmt.Errorf("%w (and %w)", err, failed)
		}
	}
}

// again tells whether another round may help: where a port has to be foretold, and
// the peer has not given up.
func (a *attempt) again(ctx context.Context, begin time.Time, err error) bool {
	var remote *holepunch.RemoteError
	failed := errors.Is(err, holepunch.ErrNoConnection) || errors.Is(err, holepunch.ErrHandshake)
	return failed && !errors.As(err, &remote) && ctx.Err() == nil && a.foretold() &&
		a.round < holepunch.MaxRounds && time.Since(begin) < holepunch.Window
}

// open is the punch of one round.
func (a *attempt) open(ctx context.Context) (tpt.CapableConn, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer a.minding(ctx, stop)()
	defer a.noticing(ctx, stop)()
	a.t.at(a.peer, fmt.Sprintf("punching from port %d to %v", a.own.port.Number(), toMultiaddrs(a.remote)))
	a.offered()
	p := a.punch()
	cross := make(chan struct{})
	p.Cross = cross
	defer a.crossing(ctx, stop, cross)()
	if a.foretold() {
		p.Window = foretoldWindow
	}
	conn, err := holepunch.Open(ctx, p, a.t.shake(a.peer, a.dir, a.t.agreed(a.theirs.Security), stop))
	return conn, a.explain(err)
}

// crossing has both sides begin with the crossed pairs when it is time.
func (a *attempt) crossing(ctx context.Context, stop context.CancelCauseFunc, cross chan<- struct{}) (end func()) {
	return aside(stop, func() {
		select {
		case <-time.After(holepunch.CrossWait(a.relayedRTT)):
			a.signal.Cross()
			close(cross)
		case <-ctx.Done():
		}
	})
}

// minding ends the punch through stop when the peer says that it gave up. The
// peer has no success to tell of: that is ours to decide.
func (a *attempt) minding(ctx context.Context, stop context.CancelCauseFunc) (end func()) {
	return aside(stop, func() {
		for {
			select {
			case n, ok := <-a.news:
				if !ok {
					return
				}
				if n.Err != nil {
					stop(n.Err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
}

// noticing ends the punch through stop when there is a direct connection to the
// peer by other means: it may connect to our listener, see dialBack. The swarm
// looks for such a connection when a dial fails.
func (a *attempt) noticing(ctx context.Context, stop context.CancelCauseFunc) (end func()) {
	if !slices.ContainsFunc(a.own.terms.Candidates, isListener) {
		return func() {}
	}
	return aside(stop, func() {
		if _, err := awaitDirect(ctx, a.h, a.peer); err == nil {
			stop(errConnectedOtherwise)
		}
	})
}

var errConnectedOtherwise = errors.New("the peer has connected to this host's listener")

// retry begins the next round, with fresh candidates, and returns the peer's.
func (a *attempt) retry(ctx context.Context) (holepunch.Terms, error) {
	a.round++
	if err := a.renew(ctx); err != nil {
		return holepunch.Terms{}, err
	}
	if err := a.t.foretell(ctx, a.own, a.budget)(); err != nil {
		return holepunch.Terms{}, err
	}
	if err := a.signal.Retry(a.round, a.own.terms); err != nil {
		return holepunch.Terms{}, err
	}
	theirs, err := a.answer(ctx)
	if err != nil {
		err = &holepunch.PunchError{Op: "retry", Err: err}
	}
	return theirs, err
}

// answer waits for the ANSWER of the round.
func (a *attempt) answer(ctx context.Context) (holepunch.Terms, error) {
	silence := time.NewTimer(holepunch.AnswerTimeout)
	defer silence.Stop()
	for {
		select {
		case n, ok := <-a.news:
			switch {
			case !ok:
				return holepunch.Terms{}, holepunch.ErrSignalLost
			case n.Err != nil:
				return holepunch.Terms{}, n.Err
			case n.Type == pb.Message_ANSWER && n.Round == a.round:
				return n.Terms, nil
			}
		case <-silence.C:
			return holepunch.Terms{}, holepunch.ErrNoAnswer
		case <-ctx.Done():
			return holepunch.Terms{}, context.Cause(ctx)
		}
	}
}
