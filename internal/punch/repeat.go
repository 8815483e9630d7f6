package punch

import (
	"math/rand/v2"
	"time"
)

// Two peers behind NATs that answer an unsolicited SYN with RST refuse each other until both have a
// SYN on the way at once. Where a RST also ends the mapping, as in Linux, the window for that is one
// round trip: 100 ms, or a few microseconds between two routers on one bridge. A refusal takes one
// round trip as well, so a side that repeats at once nearly always has a SYN on the way, whatever
// the round trip is: two sides meet at the first or second try. The pauses are a small share of the
// time that has passed, for two sides that repeat in the same rhythm can miss each other for long.

const (
	// quickRepeats is how many repeats of a pair are quick. They go on for some 100 round trips,
	// which covers the time by which one peer starts later, and are half of [holepunch.Limits]'
	// PeerSYNs for two pairs. Where a refusal takes 30 µs, and a window is 6, a simulation had all of
	// 1,500 punches meet within them on two idle cores, and of those with 40 repeats 99 %.
	quickRepeats = 60

	// quickShare is the share of the time that has passed which a quick pause takes at most, and
	// quickPause bounds it: the shorter the pauses, the less often both SYNs miss each other.
	quickShare = 32
	quickPause = 5 * time.Millisecond

	// burst is how many repeats of a pair follow one another as quickly after that, once in each
	// burstPause. Both sides' bursts begin together, by the moment that CROSS has set, so that two
	// hosts on one bridge meet that had no processor at the same time before. Beside two busy
	// processes on two cores, single repeats at random had 30 punches of 40 direct, bursts 39. The
	// bursts of two pairs are what [holepunch.Limits]' PeerSYNs allow.
	burst = 16

	// timerGrain is how exact timers are: those of Go take one millisecond on Linux, at least.
	timerGrain = time.Millisecond
)

// pause waits after a connect that failed, until it is to be repeated.
func (o *Opening) pause(p *pair) {
	o.mu.Lock()
	if o.restarted.After(p.begin) {
		p.begin, p.failed = o.restarted, 0
	}
	again := o.again
	o.mu.Unlock()
	p.failed++
	sleepUnless(o.ctx, again, o.times.pause(p.to, p.failed, time.Since(p.begin)))
}

// beginOf returns when a pair's connects begin: of a crossed pair, the moment that both sides have
// agreed on, although a port may begin earlier or later than that.
func (o *Opening) beginOf(p *pair) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.crossed && !o.crossedAt.IsZero() {
		return o.crossedAt
	}
	return time.Now()
}

// restart has the repeats of all pairs be quick again, after a while. o.mu is held.
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

// pause returns how long to wait after the n-th connect to a candidate that failed, by the time that
// has passed since the first one began. There is no use in quick repeats where SYNs need not cross.
// Where they have not met for long, one side is late, or the path is lossy.
func (t *timings) pause(to Candidate, n int, passed time.Duration) time.Duration {
	switch {
	case !throughNAT(to):
		return rand.N(t.slowPause)
	case n == 1:
		return 0 // there is no rhythm to break yet
	case n <= quickRepeats || (n-quickRepeats)%burst != 1:
		return coarse(rand.N(min(max(passed, 0)/quickShare, quickPause) + 1))
	default:
		return t.burstPause - passed%t.burstPause
	}
}

// coarse rounds a pause to what timers can keep, up or down at random, so that it is as long on
// average.
func coarse(d time.Duration) time.Duration { return (d + rand.N(timerGrain)).Truncate(timerGrain) }
