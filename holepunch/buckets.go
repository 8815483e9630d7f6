package holepunch

import (
	"sync"

	"golang.org/x/time/rate"
)

// A Rate is how often something may be done: Burst times at once, and PerSecond times a
// second after that, both more than 0.
type Rate struct {
	Burst     int
	PerSecond float64
}

func (r Rate) limiter() *rate.Limiter { return rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst) }

// isWhole reports whether a limiter is as good as a new one.
func isWhole(l *rate.Limiter) bool { return l.Tokens() >= float64(l.Burst()) }

// buckets has a limiter for each key, and forgets those that are whole again: strangers
// choose the keys. What it holds is bounded by what these may cost before.
type buckets[K comparable] struct {
	rate Rate

	mu    sync.Mutex
	of    map[K]*rate.Limiter
	sweep int // how many there are when it is worth looking for whole ones
}

// minSweep is how many limiters are kept without a look; each takes some 100 bytes.
const minSweep = 64

func newBuckets[K comparable](r Rate) *buckets[K] {
	return &buckets[K]{rate: r, of: make(map[K]*rate.Limiter), sweep: minSweep}
}

func (b *buckets[K]) get(key K) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.of[key]; l != nil {
		return l
	}
	if len(b.of) >= b.sweep {
		for k, l := range b.of {
			if isWhole(l) {
				delete(b.of, k)
			}
		}
		b.sweep = max(2*len(b.of), minSweep) // so that a new key costs little on average
	}
	l := b.rate.limiter()
	b.of[key] = l
	return l
}
