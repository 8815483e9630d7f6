package punch

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestPause: quick repeats take a small share of the time that has passed, whatever a round trip
// takes, and are bounded in number.
func TestPause(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind         Kind
		n            int
		passed, most time.Duration
	}{
		"first":                  {Reflexive, 1, 320 * time.Millisecond, 0},
		"second":                 {Reflexive, 2, 128 * time.Millisecond, 4 * time.Millisecond},
		"second, predicted":      {Predicted, 2, 128 * time.Millisecond, 4 * time.Millisecond},
		"last quick one":         {Reflexive, quickRepeats, time.Second, quickPause},
		"before the burst":       {Reflexive, quickRepeats + 1, 400 * time.Millisecond, 1600 * time.Millisecond},
		"in the burst":           {Reflexive, quickRepeats + 2, 3200 * time.Millisecond, quickPause},
		"last of the burst":      {Reflexive, quickRepeats + burst, time.Minute, quickPause},
		"before the next one":    {Reflexive, quickRepeats + burst + 1, time.Minute + time.Second, time.Second},
		"first, within the site": {LAN, 1, time.Millisecond, defaultTimings.slowPause},
		"second, on a bridge":    {Reflexive, 2, 32 * time.Microsecond, timerGrain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var longest, sum time.Duration
			const draws = 100000
			for range draws {
				d := defaultTimings.pause(Candidate{Kind: tc.kind}, tc.n, tc.passed)
				longest, sum = max(longest, d), sum+d
			}
			if longest > tc.most || longest < tc.most*9/10 {
				t.Errorf("up to %v, want up to %v", longest, tc.most)
			}
			// Timers have no shorter pause than a millisecond, so it is rare.
			if mean := sum / draws; tc.most == timerGrain && mean > time.Microsecond {
				t.Errorf("%v on average, want half a microsecond", mean)
			}
		})
	}
}

// TestRepeatsMeet: two sides whose NATs refuse SYNs that do not cross meet while repeats are quick,
// whatever the round trip, and however much later one of them begins. At the shortest round trip
// about one attempt in 100,000 needs the bursts that follow.
func TestRepeatsMeet(t *testing.T) {
	t.Parallel()
	const attempts = 500
	for rtt := 100 * time.Microsecond; rtt < 400*time.Millisecond; rtt *= 5 {
		for _, skew := range []float64{0, 0.5, 1, 7, 40} { // round trips
			t.Run(fmt.Sprint(rtt, "/", skew), func(t *testing.T) {
				t.Parallel()
				most, missed := 0, 0
				for range attempts {
					late := time.Duration(skew * (0.5 + rand.Float64()) * float64(rtt))
					syns := simulateRepeats(rtt, late)
					if most = max(most, syns); syns > quickRepeats {
						missed++
					}
				}
				if t.Log(most); missed > 1 {
					t.Errorf("in %d attempts the later one has sent more than %d SYNs, up to %d", missed, quickRepeats, most)
				}
			})
		}
	}
}

// simulateRepeats has two sides repeat, and returns how many SYNs the one that is later has sent
// when two have crossed between the NATs. The kernel takes some time besides.
func simulateRepeats(rtt, late time.Duration) (syns int) {
	var begin, syn [2]time.Duration
	var failed [2]int
	begin[1], syn[1] = late, late
	for syns = 1; (syn[0] - syn[1]).Abs() >= rtt/2; {
		i := 0
		if syn[1] < syn[0] {
			i = 1
			syns++
		}
		failed[i]++
		refused := syn[i] + rtt + 20*time.Microsecond + time.Duration(rand.ExpFloat64()*float64(20*time.Microsecond))
		syn[i] = refused + defaultTimings.pause(Candidate{Kind: Reflexive}, failed[i], refused-begin[i])
	}
	return syns
}

// TestRestart: a pair that is slow is quick again, at the moment that both sides have agreed on.
func TestRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const later = 50 * time.Millisecond
		o := &Opening{ctx: t.Context(), times: defaultTimings, again: make(chan struct{})}
		o.times.burstPause = time.Hour
		p := &pair{to: Candidate{Kind: Reflexive}, begin: time.Now(), repeats: quickRepeats}
		time.Sleep(24 * time.Hour)
		begin := time.Now()
		o.mu.Lock()
		o.restart(later)
		o.mu.Unlock()
		o.pause(p)
		if got := time.Since(begin); got > later {
			t.Errorf("paused for %v, want %v at most", got, later)
		}
		o.workers.Wait()
		o.pause(p)
		if p.repeats != 1 || !p.begin.Equal(begin.Add(later)) || time.Since(begin) > later {
			t.Errorf("%d repeats since %v, want one since %v", p.repeats, p.begin.Sub(begin), later)
		}
	})
}
