package holepunch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/gather"
	"github.com/simopen/go-libp2p-simopen/internal/punch"
	"github.com/simopen/go-libp2p-simopen/stun"
)

var errRefusedHere = errors.New("connection refused within 1ms, and it is 20ms away")

// TestEgress: when many connects have failed, or the time is over, the session finds out once
// whether connects get out. If they do not, and the NAT lets nobody in, there is no way; otherwise
// the peer has some time to connect.
func TestEgress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		own    stun.Behaviour
		timers int // of the round
		did    []string
	}{
		"lets anybody in":   {fullCone, 2, []string{"stop connects"}},
		"perhaps":           {stun.Behaviour{}, 2, []string{"stop connects"}},
		"lets nobody in":    {portFilter, 1, []string{"stop connects", "end round"}},
		"lets no SYN in":    {stun.Behaviour{BareSYN: stun.No}, 1, []string{"stop connects", "end round"}},
		"lets addresses in": {restricted, 1, []string{"stop connects", "end round"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := punchingSession(t, true, description{candidates: ours.candidates, behaviour: tc.own})
			s.onTimer(egressTimer)
			s.suspectEgress()
			r.want(t, fmt.Sprint("find egress ", addrsOf(s.remote)))
			s.onEgress(stun.No, errRefusedHere)
			if r.want(t, tc.did...); r.timers[roundTimer] != tc.timers {
				t.Errorf("the round's timer was set %d times, want %d", r.timers[roundTimer], tc.timers)
			}
			s.onRoundEnded(0, punch.Result{Connects: 12, Err: errRefusedHere})
			r.want(t, "DONE IMPOSSIBLE", "fail")
			if r.err.Reason() != ErrEgressFiltered || !errors.Is(r.err, errRefusedHere) {
				t.Errorf("got %v", r.err)
			}

			// The peer has the reason from the behaviour.
			done := r.sent[len(r.sent)-1]
			s, r = punchingSession(t, false, theirs)
			s.onMessage(done)
			if r.err.Reason() != ErrEgressFiltered || !strings.Contains(r.err.Error(), "the other: "+done.behaviour.String()) {
				t.Errorf("the peer has %v", r.err)
			}
		})
	}
}

// TestEgressBetweenRounds: what is found out is not lost where one round is over and the next has
// not begun.
func TestEgressBetweenRounds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fact stun.Fact
		did  []string
	}{
		"out":     {stun.Yes, nil},
		"refused": {stun.No, []string{"DONE IMPOSSIBLE", "fail"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r := punchingSession(t, true, description{candidates: ours.candidates, behaviour: portFilter, preserved: true})
			s.suspectEgress()
			s.onSpoiled()
			s.onRoundEnded(0, punch.Result{Err: errRefusedHere})
			r.did = nil
			s.onEgress(tc.fact, errRefusedHere)
			r.want(t, tc.did...)
			if tc.fact == stun.No && (r.err.Reason() != ErrEgressFiltered || !errors.Is(r.err, errRefusedHere)) {
				t.Errorf("got %v", r.err)
			}
		})
	}
}

// TestEgressIsNotToBlame: connects get out, or nothing is known, or there is another way.
func TestEgressIsNotToBlame(t *testing.T) {
	t.Parallel()
	ipv6 := candidates(punch.Reflexive, "46.0.1.1:40000", "[2a00::1]:40000")
	for name, tc := range map[string]struct {
		own  description
		fact stun.Fact
		why  error
		says string
	}{
		"out":         {ours, stun.Yes, nil, "no answer to our SYNs"},
		"not known":   {ours, stun.Unknown, errRefusedHere, "no answer to our SYNs"},
		"silence":     {ours, stun.Unknown, fmt.Errorf("no answer: %w", os.ErrDeadlineExceeded), "this host's network may let out some ports only: no answer"},
		"one says so": {ours, stun.Unknown, fmt.Errorf("%w: %w", gather.ErrUnconfirmed, errRefusedHere), "this host's network may let out some ports only: one observer alone shows it: connection refused"},
		"other ways":  {description{candidates: ipv6}, stun.No, errRefusedHere, "no answer to our SYNs; this host's network may let out some ports only: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := punchingSession(t, true, tc.own, of(candidates(punch.Reflexive, "46.0.2.1:50000", "[2a00::2]:50000")...))
			s.onTimer(egressTimer)
			r.did = nil
			s.onEgress(tc.fact, tc.why)
			r.want(t)
			s.onRoundEnded(0, punch.Result{Connects: 4})
			r.want(t, "DONE FAILED", "fail")
			if r.err.Reason() != ErrNoConnection || !strings.Contains(r.err.Error(), tc.says) {
				t.Errorf("got %v, want %q", r.err, tc.says)
			}
		})
	}
}

// TestNoRoute: there is no way to a peer to which the host has no route, and the peer does not
// learn why.
func TestNoRoute(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, true, ours)
	s.suspectEgress()
	r.did = nil
	s.onEgress(stun.Unknown, gather.ErrNoRoute)
	r.want(t, "DONE FAILED", "fail")
	if r.err.Reason() != ErrEgressFiltered || !errors.Is(r.err, gather.ErrNoRoute) {
		t.Errorf("got %v", r.err)
	}
}

// TestEgressIsKnown: a side whose SYNs do not get out sends none, and neither side takes long.
func TestEgressIsKnown(t *testing.T) {
	t.Parallel()
	filtered := stun.Behaviour{Egress: stun.No}
	_, r := punchingSession(t, true, description{candidates: ours.candidates, behaviour: filtered})
	if spec := r.rounds[0]; !spec.passive || spec.window != predictedWindow {
		t.Errorf("the filtered side: %+v", spec)
	}
	s, r := punchingSession(t, false, theirs, behind(filtered))
	if spec := r.rounds[0]; spec.passive || spec.window != predictedWindow {
		t.Errorf("the other side: %+v", spec)
	}
	s.onRoundEnded(0, punch.Result{Connects: 4})
	if r.err.Reason() != ErrEgressFiltered {
		t.Errorf("the other side has %v", r.err)
	}
}

// TestEgressIsLate: what is found out is of no use to an attempt that is over, or has a connection.
func TestEgressIsLate(t *testing.T) {
	t.Parallel()
	s, r := punchingSession(t, true, ours)
	s.suspectEgress()
	r.did = nil
	s.onChosen()
	r.did = nil
	s.onEgress(stun.No, errRefusedHere)
	s.onEgress(stun.Unknown, gather.ErrNoRoute)
	r.want(t)
}
