package main

import (
	"context"
	"time"
)

const (
	// spinning is how long before a slot the waiting turns from a timer into
	// a loop. Timers are late by some 0.1 ms on an idle Linux, by 1 ms on
	// Windows or on a busy machine.
	spinning = 2 * time.Millisecond

	// nap is the most that is slept at once: a clock that somebody sets
	// meanwhile is noticed, and a person sees that the program lives.
	nap = time.Second
)

// A clock is the machine's, and what is added to it.
type clock struct{ offset time.Duration }

// now has no monotonic reading: the peers have only the time of day in common.
func (c clock) now() time.Time { return time.Now().Round(0).Add(c.offset) }

// next returns the first slot after t: a multiple of every since the Unix epoch,
// so that a minute's are the full minutes.
func next(t time.Time, every time.Duration) time.Time {
	passed := t.UnixNano() % int64(every)
	return t.Add(every - time.Duration(passed))
}

// wait waits until it is t by the clock, and calls tick from time to time with
// what is left.
func (c clock) wait(ctx context.Context, t time.Time, tick func(left time.Duration)) error {
	for {
		left := t.Sub(c.now())
		if left <= spinning {
			break
		}
		tick(left)
		// A nap ends when a whole second is left, for the countdown's sake.
		pause := left % nap
		if pause == 0 {
			pause = nap
		}
		timer := time.NewTimer(min(pause, left-spinning))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
	for c.now().Before(t) {
	}
	return nil
}
