package holepunch

import (
	"context"
	"errors"
	"fmt"
)

// failure returns the error with the outcome of the connects.
func (at *attempt) failure() *PunchError {
	e := *at.err
	e.Connects = int(at.connects.Load())
	if at.session.usable && ReasonOf(e.Err) == "" && errors.Is(e.Err, context.DeadlineExceeded) {
		e.Err = fmt.Errorf("%w: %w", ErrHandshake, e.Err)
	}
	r := at.result.Load()
	if r == nil {
		return &e
	}
	var remote *RemoteError
	switch {
	case ReasonOf(e.Err) != "":
	case errors.Is(e.Err, context.Canceled):
		e.Err = fmt.Errorf("%w (until then: %v)", e.Err, roundError(*r))
	case errors.Is(e.Err, context.DeadlineExceeded): // nobody gave up, so there is a reason
		e.Err = fmt.Errorf("%w (until then: %w)", e.Err, roundError(*r))
	}
	switch {
	case r.Up > 0 && errors.As(e.Err, &remote) && ReasonOf(e.Err) == ErrNoConnection:
		// The peer's window is over first, and no connection came up there. Those that came up here
		// were with somebody else, such as a transparent proxy.
		if r.Dropped == nil || errors.Is(r.Dropped, at.err) { // by the end of the attempt
			e.Err = fmt.Errorf("%w: %w", ErrHandshake, e.Err)
		} else {
			e.Err = fmt.Errorf("%w (%w)", uselessError(r.Dropped), e.Err)
		}
	case at.doubt != nil && ReasonOf(e.Err) == ErrNoConnection:
		e.Err = fmt.Errorf("%w (and %w)", gatherReason(at.doubt), e.Err) // the address sent was a guess
	}
	if ReasonOf(e.Err) == ErrNoConnection {
		e.Err = at.budget.blame(at.explainLate(e.Err))
	}
	return &e
}

// explainLate returns the reason of a failure that this host's NAT gives, if its behaviour was
// found only while the attempt was under way, or else err. A host that has just started makes its
// first attempt without waiting for that.
func (at *attempt) explainLate(err error) error {
	if at.described == nil {
		return err
	}
	own := at.session.own
	own.behaviour = at.agent.learnt(at.described)
	if reason := impossible(own, at.session.theirs); reason != nil {
		return fmt.Errorf("%w, which was found during the attempt: %w", reason, err)
	}
	return err
}
