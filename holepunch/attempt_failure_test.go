package holepunch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

// TestFailureReason: that connections came up here is a better reason than that the peer had none.
func TestFailureReason(t *testing.T) {
	t.Parallel()
	failed := &RemoteError{Status: StatusFailed}
	none, some := &punch.Result{Connects: 2}, &punch.Result{Connects: 2, Up: 1, Dropped: punch.ErrSilent}
	for name, tt := range map[string]struct {
		err    error
		result *punch.Result // of the last round; nil without
		doubt  error         // of this side's own address
		want   Reason
	}{
		"the peer had none, nor had this side":    {failed, none, nil, ErrNoConnection},
		"the peer had none, this side had some":   {failed, some, nil, ErrHandshake},
		"the peer had none before there were any": {failed, nil, nil, ErrNoConnection},
		"the peer is busy":                        {&RemoteError{Status: StatusBusy}, some, nil, ErrBusy},
		"the peer's caller gave up":               {&RemoteError{Status: StatusCancelled}, some, nil, ""},
		"one NAT without hairpinning":             {errors.Join(ErrNoHairpin, failed), some, nil, ErrNoHairpin},
		"this side had none":                      {ErrNoConnection, some, nil, ErrNoConnection},
		"this side's caller gave up":              {context.Canceled, some, nil, ""},
		"out of time without a connection":        {context.DeadlineExceeded, none, nil, ErrNoConnection},
		"out of time with a useless one":          {context.DeadlineExceeded, some, nil, ErrHandshake},
		"out of time before the connects":         {context.DeadlineExceeded, nil, nil, ""},
		"this side's address was a guess":         {ErrNoConnection, none, gather.ErrNoAddress, ErrNoAddress},
		"the peer had none, for a guess":          {failed, none, gather.ErrNoAddress, ErrNoAddress},
		"some came up in spite of a guess":        {failed, some, gather.ErrNoAddress, ErrHandshake},
	} {
		at := &attempt{doubt: tt.doubt, budget: &budget{}, err: &PunchError{Op: "open", Err: tt.err}}
		at.connects.Store(2)
		at.result.Store(tt.result)
		err := at.failure()
		if got := ReasonOf(err); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, which is %q; want %q", name, err, got, tt.want)
		}
		if got, want := errors.Is(err, punch.ErrSilent), tt.want == ErrHandshake; got != want {
			t.Errorf("%s: %v; says what became of the connections: %v, want %v", name, err, got, want)
		}
		if err.Connects != 2 {
			t.Errorf("%s: %d connects", name, err.Connects)
		}
	}
}

// TestHandshakeTakesTooLong: a connection came up, and is not what is missing. An initiator may
// have accepted it before it could begin a round.
func TestHandshakeTakesTooLong(t *testing.T) {
	t.Parallel()
	for _, r := range []*punch.Result{nil, {Connects: 1, Up: 1}} {
		at := &attempt{budget: &budget{}, doubt: gather.ErrNoAddress, err: &PunchError{Op: "handshake", Err: context.DeadlineExceeded}}
		at.session.usable = true
		at.result.Store(r)
		if err := at.failure(); ReasonOf(err) != ErrHandshake || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, which is %q; want %q", err, ReasonOf(err), ErrHandshake)
		}
	}
}

// TestHairpinUnknown: a round that is too short for a SYN to be repeated shows nothing of a NAT
// that two peers share.
func TestHairpinUnknown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		hairpin stun.Fact
		window  time.Duration
		want    Reason
	}{
		{stun.No, time.Second, ErrNoHairpin},
		{stun.Unknown, time.Second, ErrNoConnection},
		{stun.Unknown, hairpinWindow, ErrNoHairpin},
		{stun.Yes, maxWindow, ErrNoConnection},
	} {
		s := &session{window: tt.window}
		s.own.candidates, s.theirs.candidates = reflexive(addrs("46.0.1.1:40000")...), reflexive(addrs("46.0.1.1:50000")...)
		s.own.behaviour.Hairpin = tt.hairpin
		if got := ReasonOf(s.explain(ErrNoConnection)); got != tt.want {
			t.Errorf("hairpinning %v, %v: %q, want %q", tt.hairpin, tt.window, got, tt.want)
		}
	}
}

// TestLateReason: a NAT whose behaviour was found while the attempt was under way is the reason.
func TestLateReason(t *testing.T) {
	t.Parallel()
	late := &gather.Description{}
	for name, tt := range map[string]struct {
		described *gather.Description // nil: the attempt did not get that far
		theirs    stun.Behaviour
		err       error
		want      Reason
	}{
		"two that allow nothing":    {late, preserving, ErrNoConnection, ErrPortFiltered},
		"the peer had none, either": {late, preserving, &RemoteError{Status: StatusFailed}, ErrPortFiltered},
		"the peer's is unknown":     {late, stun.Behaviour{}, ErrNoConnection, ErrNoConnection},
		"another reason":            {late, preserving, ErrBusy, ErrBusy},
		"not described":             {nil, preserving, ErrNoConnection, ErrNoConnection},
	} {
		at := &attempt{
			agent:     &Agent{learnt: func(*gather.Description) stun.Behaviour { return random }},
			described: tt.described, budget: &budget{}, err: &PunchError{Op: "open", Err: tt.err},
		}
		at.session.theirs.behaviour = tt.theirs
		at.result.Store(new(punch.Result))
		if err := at.failure(); ReasonOf(err) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, which is %q; want %q", name, err, ReasonOf(err), tt.want)
		}
	}
}
