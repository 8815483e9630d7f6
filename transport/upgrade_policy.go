package transport

import (
	"math/rand/v2"
	"time"

	"github.com/simopen/go-libp2p-simopen/holepunch"
)

const (
	// When a direct connection has died and the relayed one lives, another attempt follows after
	// redialWait: the other side needs a moment to notice, too.
	redialWait = time.Second

	// After an attempt that failed another one follows while the relayed connection lasts, if that
	// may help: after retryWait, doubling up to maxWait. A punch that fails sends SYNs for 10 s, so
	// that this is a quarter of the time at first, and a thirtieth in the end.
	retryWait = 30 * time.Second
	maxWait   = 5 * time.Minute

	// A direct connection that lived for stableTime resets the doubling: longer than NATs are known
	// to forget a connection in.
	stableTime = 5 * time.Minute

	// stuckMemory is for how long a peer without relayed connections is remembered for its direct
	// ones that got stuck.
	stuckMemory = 10 * time.Minute

	// defaultGrace is how long a relayed connection stays beside a direct one. DCUtR's
	// specification asks for a grace period and names none. A stream takes seconds to open, and
	// go-libp2p's relays end a limited connection after 2 min by themselves.
	defaultGrace = time.Minute

	// idleCheck is the least time until a relayed connection that had open streams is checked
	// again.
	idleCheck = time.Second
)

// An upgradeEvent is something that happened to a peer.
type upgradeEvent struct {
	kind     upgradeEventKind
	outbound bool  // of relayedUp: this host dialled the connection
	err      error // of attemptEnded
}

type upgradeEventKind uint8

const (
	relayedUp upgradeEventKind = 1 + iota
	relayedDown
	directUp
	directDown
	attemptEnded
	timerFired
	streamsOpen  // a relayed connection was not retired, since there are streams on it
	offerCame    // the peer has offered
	checked      // a direct connection has passed a check
	directSilent // nothing came on a direct connection for too long
	directStuck  // a direct connection has ended, and has carried no full-size segments until then
	addrGone     // the host has lost the address that a direct connection is bound to
)

// A peerView describes a peer's connections when an event is handled. It may be ahead of the
// events.
type peerView struct {
	relayed  bool // one relayed connection at least
	outbound bool // one of them was dialled by this host
	direct   bool
	suspect  bool // a direct connection that was there before the peer came back through the relay
	unproven bool // a direct connection that has not carried full-size segments yet
}

// An upgradeAction is something to do.
type upgradeAction struct {
	kind   upgradeActionKind
	after  time.Duration // of setTimer
	jitter bool          // of setTimer: lengthen it at random
}

type upgradeActionKind uint8

const (
	startAttempt upgradeActionKind = 1 + iota
	retireRelayed
	checkDirect  // whether suspect connections answer, and others carry full-size segments
	giveUpDirect // that of the event
	setTimer     // in place of any other one
	stopTimer
)

// wait returns after, lengthened by up to a quarter if that is wanted, so that peers which lost
// each other at the same time, as when a NAT restarts, do not come back at the same time.
func (a upgradeAction) wait() time.Duration {
	if a.jitter {
		return a.after + rand.N(a.after/4)
	}
	return a.after
}

// An upgradePolicy is what the host's user wishes.
type upgradePolicy struct {
	grace     time.Duration // until a relayed connection is retired; negative: it is not
	onRequest bool          // relayed connections are not upgraded
	reset     bool          // streams on a relayed connection do not keep it
}

// An upgrade is the state machine that decides when the relayed connections to a peer are upgraded,
// and when they are retired. The zero upgrade is that of a peer without relayed connections.
//
// There is one thing to wait for at a time: with a direct connection, that the relayed ones may be
// retired; without, that another attempt may be made. Hence one timer.
type upgrade struct {
	attempting  bool
	again       bool          // there was reason for another attempt while one was under way
	returned    bool          // the peer has come back beside a direct connection, which has not answered since
	due         bool          // to retire the relayed connections, as soon as the direct one has proved itself
	stuck       int           // direct connections that got stuck, or were useless
	directSince time.Time     // zero without a direct connection
	backoff     time.Duration // before the last repetition
}

// step returns what to do about an event.
func (u *upgrade) step(p *upgradePolicy, now time.Time, e upgradeEvent, v peerView) []upgradeAction {
	switch e.kind {
	case relayedUp:
		if v.direct {
			return u.haveDirect(p, now, v)
		}
		if e.outbound {
			return u.attempt(p, v)
		}
	case offerCame:
		return u.check(v)
	case checked:
		u.returned = u.returned && (v.suspect || !v.direct) // without a direct connection, directDown is still to come
		if u.due {
			return u.retire(v)
		}
		return u.check(v)
	case relayedDown:
		return u.forget(v)
	case directUp:
		if v.relayed {
			return u.haveDirect(p, now, v)
		}
	case directDown:
		// After the end of the last direct connection has been dealt with, returned says nothing.
		u.returned = u.returned && (v.direct || !u.directSince.IsZero())
		if u.directSince.IsZero() {
			return nil
		}
		if v.direct {
			return u.check(v)
		}
		if now.Sub(u.directSince) > stableTime {
			u.backoff = 0
		}
		u.directSince, u.due = time.Time{}, false
		if u.returned { // the peer noticed the end first, and has come back
			u.returned = false
			return u.attempt(p, v)
		}
		return u.repeat(u.redial())
	case attemptEnded:
		return u.ended(p, e.err, v)
	case timerFired:
		switch {
		case !v.relayed: // what was remembered is out of date
			*u = upgrade{}
		case !u.directSince.IsZero():
			return u.retire(v)
		default:
			return u.attempt(p, v)
		}
	case streamsOpen:
		if u.directSince.IsZero() || !v.relayed {
			return nil // another timer may be running
		}
		return []upgradeAction{{kind: setTimer, after: max(p.grace, idleCheck)}}
	case directSilent, addrGone:
		return []upgradeAction{{kind: giveUpDirect}}
	case directStuck:
		u.stuck++
		actions := []upgradeAction{{kind: giveUpDirect}}
		switch {
		case !v.relayed:
			return append(actions, u.forget(v)...)
		case u.stuck > len(maxSegments) && u.directSince.IsZero(): // directDown, which came first, has set the timer too early
			return append(actions, u.repeat(u.redial())...)
		}
		return actions
	}
	return nil
}

// haveDirect records that there is a direct connection beside a relayed one, of which either is
// new. The relayed one has the whole grace period.
func (u *upgrade) haveDirect(p *upgradePolicy, now time.Time, v peerView) []upgradeAction {
	if u.directSince.IsZero() {
		u.directSince = now
	}
	u.due = false
	timer := upgradeAction{kind: setTimer, after: p.grace}
	if p.grace < 0 {
		timer = upgradeAction{kind: stopTimer}
	}
	return append([]upgradeAction{timer}, u.check(v)...)
}

// check has direct connections checked if they are suspect, or there are relayed ones that they
// could take the place of.
func (u *upgrade) check(v peerView) []upgradeAction {
	u.returned = u.returned || v.suspect
	if !v.suspect && !(v.unproven && v.relayed) {
		return nil
	}
	return []upgradeAction{{kind: checkDirect}}
}

// retire retires the relayed connections, or notes that it is due when the direct one has proved
// itself.
func (u *upgrade) retire(v peerView) []upgradeAction {
	if u.due = !v.direct || v.suspect || v.unproven; u.due {
		return u.check(v)
	}
	return []upgradeAction{{kind: retireRelayed}}
}

// attempt starts an attempt if this host dialled a relayed connection. While one is under way it
// notes that another one is to follow.
func (u *upgrade) attempt(p *upgradePolicy, v peerView) []upgradeAction {
	switch {
	case !v.outbound || v.direct || p.onRequest:
		return nil
	case u.attempting:
		u.again = true
		return nil
	}
	u.attempting, u.again = true, false
	return []upgradeAction{{kind: stopTimer}, {kind: startAttempt}}
}

// ended records how an attempt ended.
func (u *upgrade) ended(p *upgradePolicy, err error, v peerView) []upgradeAction {
	u.attempting = false
	switch {
	case !v.relayed:
		return u.forget(v)
	case !u.directSince.IsZero(): // it is there, or its end is still to come
		return nil
	case u.again: // also where a connection was made: it may have died since
		return u.attempt(p, v)
	case err != nil && !holepunch.ReasonOf(err).Final():
		return u.repeat(retryWait)
	}
	return nil
}

// forget ends the upgrade when there is no relayed connection left. While an attempt is under way,
// that waits until it has ended: another relayed connection, which takes the place of one that
// broke, would join the attempt that breaks with it.
func (u *upgrade) forget(v peerView) []upgradeAction {
	if v.relayed {
		return nil
	}
	if !u.attempting {
		*u = upgrade{stuck: u.stuck}
	}
	if u.stuck > 0 {
		return []upgradeAction{{kind: setTimer, after: stuckMemory}}
	}
	return []upgradeAction{{kind: stopTimer}}
}

// redial returns how long to wait at least after a direct connection has ended.
func (u *upgrade) redial() time.Duration {
	if u.stuck > len(maxSegments) { // smaller segments were of no use
		return retryWait
	}
	return redialWait
}

// repeat schedules an attempt after twice the last wait, or least.
func (u *upgrade) repeat(least time.Duration) []upgradeAction {
	u.backoff = min(max(2*u.backoff, least), maxWait)
	return []upgradeAction{{kind: setTimer, after: u.backoff, jitter: true}}
}
