package transport

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

// An upgradeStep is an event, what there is of connections when it is looked at, and the actions
// that are wanted.
type upgradeStep struct {
	event upgradeEvent
	view  peerView
	want  string
	later time.Duration // after the step before
}

var (
	noConn     = peerView{}
	relayedOut = peerView{relayed: true, outbound: true}
	relayedIn  = peerView{relayed: true}
	both       = peerView{relayed: true, outbound: true, direct: true}
	directOnly = peerView{direct: true}

	// With a direct connection from before the relayed one.
	suspectOut = peerView{relayed: true, outbound: true, direct: true, suspect: true}
	suspectIn  = peerView{relayed: true, direct: true, suspect: true}

	unprovenOut = peerView{relayed: true, outbound: true, direct: true, unproven: true}

	outUp = upgradeEvent{kind: relayedUp, outbound: true}
	inUp  = upgradeEvent{kind: relayedUp}
)

func just(kind upgradeEventKind) upgradeEvent { return upgradeEvent{kind: kind} }

func ended(err error) upgradeEvent { return upgradeEvent{kind: attemptEnded, err: err} }

// actionNames returns actions in words.
func actionNames(actions []upgradeAction) string {
	var words []string
	for _, a := range actions {
		switch a.kind {
		case startAttempt:
			words = append(words, "attempt")
		case retireRelayed:
			words = append(words, "retire")
		case checkDirect:
			words = append(words, "check")
		case giveUpDirect:
			words = append(words, "give up")
		case setTimer:
			words = append(words, "timer "+a.after.String())
		case stopTimer:
			words = append(words, "stop")
		}
	}
	return strings.Join(words, ", ")
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	const grace = time.Minute
	for name, tc := range map[string]struct {
		policy upgradePolicy
		steps  []upgradeStep
		idle   bool // nothing is to be remembered in the end
	}{
		"relayed connection becomes direct": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: both, want: "timer 1m0s"},
			{event: ended(nil), view: both},
			{event: just(timerFired), view: both, want: "retire"},
			{event: just(relayedDown), view: directOnly, want: "stop"},
		}, idle: true},
		"relayed connection of the peer": {steps: []upgradeStep{
			{event: inUp, view: relayedIn},
			{event: just(directUp), view: peerView{relayed: true, direct: true}, want: "timer 1m0s"},
			{event: just(directDown), view: relayedIn, want: "timer 1s"},
			{event: just(timerFired), view: relayedIn},
		}},
		"the peer's beside one of this host": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: ended(ErrPeerUnsupported), view: relayedOut},
			{event: inUp, view: relayedOut},
		}, idle: true},
		"on request only": {policy: upgradePolicy{grace: grace, onRequest: true}, steps: []upgradeStep{
			{event: outUp, view: relayedOut},
			{event: just(directUp), view: both, want: "timer 1m0s"},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
			{event: just(timerFired), view: relayedOut},
		}},
		"relayed connection is to stay": {policy: upgradePolicy{grace: -1}, steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: both, want: "stop"},
			{event: ended(holepunch.ErrNoConnection), view: both}, // it came up by other means
		}},
		"direct connection dies while there are streams": {steps: []upgradeStep{
			{event: outUp, view: both, want: "timer 1m0s"},
			{event: just(timerFired), view: both, want: "retire"},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
			{event: just(streamsOpen), view: relayedOut},
		}},
		"no grace": {steps: []upgradeStep{
			{event: inUp, view: peerView{relayed: true, direct: true}, want: "timer 0s"},
			{event: just(streamsOpen), view: peerView{relayed: true, direct: true}, want: "timer 1s"},
		}},
		"streams are not cut": {steps: []upgradeStep{
			{event: inUp, view: peerView{relayed: true, direct: true}, want: "timer 1m0s"},
			{event: just(timerFired), view: peerView{relayed: true, direct: true}, want: "retire"},
			{event: just(streamsOpen), view: peerView{relayed: true, direct: true}, want: "timer 1m0s"},
		}},
		"another relayed connection has the whole grace period": {steps: []upgradeStep{
			{event: outUp, view: both, want: "timer 1m0s"},
			{event: outUp, view: both, want: "timer 1m0s"},
		}},
		"attempts fail": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: ended(holepunch.ErrNoConnection), view: relayedOut, want: "timer 30s"},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: ended(holepunch.ErrBusy), view: relayedOut, want: "timer 1m0s"},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: ended(holepunch.ErrNoAnswer), view: relayedOut, want: "timer 2m0s"},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: ended(context.DeadlineExceeded), view: relayedOut, want: "timer 4m0s"},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: ended(ErrGlare), view: relayedOut, want: "timer 5m0s"},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: ended(holepunch.ErrSignalLost), view: relayedOut, want: "timer 5m0s"},
		}},
		"an attempt fails for good": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: ended(fmt.Errorf("dial: %w", holepunch.ErrPortFiltered)), view: relayedOut},
		}, idle: true},
		"direct connection dies soon": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: both, want: "timer 1m0s"},
			{event: ended(nil), view: both},
			{event: just(directDown), view: relayedOut, want: "timer 1s", later: stableTime},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: both, want: "timer 1m0s"},
			{event: ended(nil), view: both},
			{event: just(directDown), view: relayedOut, want: "timer 2s", later: stableTime},
		}},
		"direct connection dies late": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: ended(holepunch.ErrNoConnection), view: relayedOut, want: "timer 30s"},
			{event: just(directUp), view: both, want: "timer 1m0s"},
			{event: just(directDown), view: relayedOut, want: "timer 1s", later: stableTime + 1},
		}},
		"one of two direct connections dies": {steps: []upgradeStep{
			{event: outUp, view: both, want: "timer 1m0s"},
			{event: just(directDown), view: both},
		}},
		"the timer is ahead of the news that the direct connection died": {steps: []upgradeStep{
			{event: outUp, view: both, want: "timer 1m0s"},
			{event: just(timerFired), view: relayedOut},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
		}},
		"the timer is ahead of the news that there is a direct connection": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: ended(holepunch.ErrNoConnection), view: relayedOut, want: "timer 30s"},
			{event: just(timerFired), view: both},
			{event: just(directUp), view: both, want: "timer 1m0s"},
		}},
		"direct connection has died before the news that it was there": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: relayedOut, want: "timer 1m0s"},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
			{event: ended(nil), view: relayedOut},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
		}},
		"direct connection has died before the news that the attempt has ended": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: both, want: "timer 1m0s"},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
			{event: just(timerFired), view: relayedOut},
			{event: ended(nil), view: relayedOut, want: "stop, attempt"},
		}},
		"relayed connection is replaced in an attempt": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: just(relayedDown), view: noConn, want: "stop"},
			{event: outUp, view: relayedOut},
			{event: ended(holepunch.ErrSignalLost), view: relayedOut, want: "stop, attempt"},
			{event: just(relayedDown), view: noConn, want: "stop"},
			{event: ended(holepunch.ErrSignalLost), view: noConn, want: "stop"},
		}, idle: true},
		"one of two relayed connections ends": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: outUp, view: relayedOut},
			{event: just(relayedDown), view: relayedOut},
		}},
		"a peer that was away returns, and its old connection is silent": {steps: []upgradeStep{
			{event: inUp, view: suspectIn, want: "timer 1m0s, check"},
			{event: just(offerCame), view: suspectIn, want: "check"},
			{event: just(directSilent), view: suspectIn, want: "give up"},
			{event: just(directUp), view: suspectIn, want: "timer 1m0s, check"},
			{event: just(directDown), view: peerView{relayed: true, direct: true}},
		}},
		"a peer that this host dials again has lost its connection": {steps: []upgradeStep{
			{event: outUp, view: suspectOut, want: "timer 1m0s, check"},
			{event: just(directSilent), view: suspectOut, want: "give up"},
			{event: just(directDown), view: relayedOut, want: "stop, attempt"},
		}},
		"an old connection answers, and dies later": {steps: []upgradeStep{
			{event: outUp, view: suspectOut, want: "timer 1m0s, check"},
			{event: just(checked), view: both},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
		}},
		"further evidence comes while an old connection answers": {steps: []upgradeStep{
			{event: outUp, view: suspectOut, want: "timer 1m0s, check"},
			{event: just(checked), view: suspectOut, want: "check"},
		}},
		"an OFFER finds an old connection": {steps: []upgradeStep{
			{event: just(offerCame), view: suspectOut, want: "check"},
			{event: just(checked), view: both},
		}, idle: true},
		"an OFFER finds an old connection, after the relayed one has ended": {steps: []upgradeStep{
			{event: just(offerCame), view: peerView{direct: true, suspect: true}, want: "check"},
			{event: just(directDown), view: noConn},
		}, idle: true},
		"an OFFER finds none": {steps: []upgradeStep{
			{event: just(offerCame), view: relayedIn},
		}, idle: true},
		"a direct connection is silent by itself": {steps: []upgradeStep{
			{event: outUp, view: both, want: "timer 1m0s"},
			{event: just(directSilent), view: both, want: "give up"},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
		}},
		"the address of a direct connection has gone": {steps: []upgradeStep{
			{event: just(addrGone), view: directOnly, want: "give up"},
			{event: just(directDown), view: noConn},
		}, idle: true},
		"a direct connection is proved before the relayed one is retired": {steps: []upgradeStep{
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: just(checked), view: both},
			{event: just(timerFired), view: both, want: "retire"},
		}},
		"the grace period is over before a direct connection is proved": {steps: []upgradeStep{
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: just(timerFired), view: unprovenOut, want: "check"},
			{event: just(checked), view: both, want: "retire"},
		}},
		"a second direct connection is to be proved as well": {steps: []upgradeStep{
			{event: just(directUp), view: both, want: "timer 1m0s"},
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: just(timerFired), view: unprovenOut, want: "check"},
			{event: just(directStuck), view: unprovenOut, want: "give up"},
			{event: just(directDown), view: both},
		}},
		"direct connections get stuck": {steps: []upgradeStep{
			{event: outUp, view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: ended(nil), view: unprovenOut},
			{event: just(directStuck), view: unprovenOut, want: "give up"},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: ended(nil), view: unprovenOut},
			{event: just(directStuck), view: unprovenOut, want: "give up"},
			{event: just(directDown), view: relayedOut, want: "timer 2s"},
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: ended(nil), view: unprovenOut},
			{event: just(directDown), view: relayedOut, want: "timer 4s"},
			{event: just(directStuck), view: relayedOut, want: "give up, timer 30s"}, // late
			{event: just(timerFired), view: relayedOut, want: "stop, attempt"},
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: ended(nil), view: unprovenOut},
			{event: just(directStuck), view: unprovenOut, want: "give up"},
			{event: just(directDown), view: relayedOut, want: "timer 1m0s"},
		}},
		"connections that got stuck are remembered for a while": {steps: []upgradeStep{
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: just(directStuck), view: unprovenOut, want: "give up"},
			{event: just(directDown), view: relayedOut, want: "timer 1s"},
			{event: just(relayedDown), view: noConn, want: "timer 10m0s"},
			{event: just(timerFired), view: noConn},
		}, idle: true},
		"the relayed connection ends before a direct one does that is stuck": {steps: []upgradeStep{
			{event: just(directUp), view: unprovenOut, want: "timer 1m0s, check"},
			{event: just(relayedDown), view: directOnly, want: "stop"},
			{event: just(directStuck), view: noConn, want: "give up, timer 10m0s"},
			{event: just(directDown), view: noConn},
			{event: just(timerFired), view: noConn},
		}, idle: true},
		"direct connections are none of its business": {steps: []upgradeStep{
			{event: just(directUp), view: directOnly},
			{event: just(directDown), view: noConn},
		}, idle: true},
	} {
		t.Run(name, func(t *testing.T) {
			policy := tc.policy
			if policy == (upgradePolicy{}) && name != "no grace" {
				policy.grace = grace
			}
			u, now := upgrade{}, time.Unix(1, 0)
			for i, s := range tc.steps {
				now = now.Add(s.later)
				if got := actionNames(u.step(&policy, now, s.event, s.view)); got != s.want {
					t.Errorf("step %d, %+v: got %q, want %q", i, s, got, s.want)
				}
			}
			if idle := u == (upgrade{}); idle != tc.idle {
				t.Errorf("in the end %+v; want nothing left: %t", u, tc.idle)
			}
		})
	}
}

// Only waits before another attempt are lengthened at random, by a quarter at most.
func TestUpgradeJitter(t *testing.T) {
	t.Parallel()
	var u upgrade
	again := u.repeat(redialWait)[0]
	grace := u.haveDirect(&upgradePolicy{grace: time.Minute}, time.Unix(1, 0), both)[0]
	for range 100 {
		if d := again.wait(); d < redialWait || d >= redialWait*5/4 {
			t.Errorf("%v became %v", redialWait, d)
		}
		if d := grace.wait(); d != time.Minute {
			t.Errorf("the grace period of %v became %v", time.Minute, d)
		}
	}
}
