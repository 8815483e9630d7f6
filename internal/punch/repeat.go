package punch

import (
	"math/rand/v2"
	"time"
)

// Two peers behind NATs that answer an unsolicited SYN with RST refuse each other until both have a
// SYN on the way at once. Where a RST also ends the mapping, as in Linux, the window for that is
// one round trip: 100 ms, or a few microseconds between two routers on one bridge. A refusal takes
// one round trip as well, so a side that repeats at once nearly always has a SYN on the way,
// whatever the round trip is: two sides meet at the first or second try. The pauses are a small
// share of the time that has passed, for two sides that repeat in the same rhythm can miss each
// other for long.

const (
	// quickRepeats is how many repeats of a pair are quick. They go on for some 100 round trips,
	// which covers a peer that starts later. For two pairs they are half of [holepunch.Limits]'
	// PeerSYNs. In a simulation with refusals after 30 µs and windows of 6 µs, all of 1,500 punches
	// met within 60 repeats on two idle cores, and 99 % within 40.
	quickRepeats = 60

	// quickShare is the share of the time that has passed which a quick pause takes at most, and
	// quickPause bounds it: the shorter the pauses, the less often both SYNs miss each other.
	quickShare = 32
	quickPause = 5 * time.Millisecond

	// burst is how many quick repeats a pair has in each burstPause after that. Both sides' bursts
	// begin together, at the moment that CROSS has set. So two hosts on one bridge meet even if
	// they had the processor at different times before. Beside two busy processes on two cores,
	// bursts made 39 punches of 40 direct, and single repeats at random 30. [holepunch.Limits]'
	// PeerSYNs allow the bursts of two pairs.
	burst = 16

	// timerGrain is how exact timers are: those of Go take one millisecond on Linux, at least.
	timerGrain = time.Millisecond
)

// pause waits after a connect that brought no connection, or one of no use, until the next is due.
//
// Before the moment of CROSS it repeats at once, a burst at most, in case the moment is estimated
// too late. Then it waits for the moment: where the peer is much nearer than the relay, no quick
// repeats would be left by then. The last fraction of a millisecond is too short to wait.
func (o *Opening) pause(p *pair) {
	o.mu.Lock()
	if o.restarted.After(p.begin) {
		p.begin, p.repeats = o.restarted, 0
	}
	again := o.again
	o.mu.Unlock()
	passed := time.Since(p.begin)
	if passed < 0 {
		if p.early++; p.early > burst {
			sleep(o.ctx, (-passed).Truncate(timerGrain))
		}
		return
	}
	p.repeats++
	sleepUnless(o.ctx, again, o.times.pause(p.to, p.repeats, passed))
}

// beginOf returns when a pair's connects begin. For a crossed pair that is the moment that both
// sides have agreed on, although a port may begin earlier or later.
func (o *Opening) beginOf(p *pair) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.crossed && !o.crossedAt.IsZero() {
		return o.crossedAt
	}
	return time.Now()
}

// restart makes the repeats of all pairs quick again, after the given time. o.mu is held.
func (o *Opening) restart(later time.Duration) {
	o.workers.Go(func() {
		if !sleep(o.ctx, later.Truncate(timerGrain)) {
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.restarted = time.Now()
		close(o.again)
		o.again = make(chan struct{})
	})
}

// pause returns how long to wait before the n-th repeat of a connect to a candidate, by the time
// that has passed since the pair began. Quick repeats are of no use where SYNs need not cross.
// After quickRepeats, when one side is late or the path is lossy, they come in bursts.
func (t *timings) pause(to Candidate, n int, passed time.Duration) time.Duration {
	switch {
	case !throughNAT(to):
		return rand.N(t.slowPause)
	case n == 1:
		return 0 // there is no rhythm to break yet
	case n <= quickRepeats || (n-quickRepeats)%burst != 1:
		return coarse(rand.N(min(passed/quickShare, quickPause) + 1))
	default:
		return t.burstPause - passed%t.burstPause
	}
}

// coarse rounds a pause to what timers can keep, up or down at random, so that it is as long on
// average.
func coarse(d time.Duration) time.Duration { return (d + rand.N(timerGrain)).Truncate(timerGrain) }
