package result

import (
	"math"
	"slices"
)

// Figures sum up the runs of one implementation in one scenario.
type Figures struct {
	Runs, OK int
	// Median, P90 and Longest are the milliseconds within which half, nine in ten, and all runs
	// became direct: +Inf if so many never did, and NaN without a run.
	Median, P90, Longest float64
}

// FiguresOf sums up runs.
func FiguresOf(runs []Run) Figures {
	f := Figures{Runs: len(runs)}
	times := make([]float64, len(runs))
	for i, r := range runs {
		times[i] = math.Inf(1)
		if r.OK {
			f.OK++
			times[i] = r.Millis
		}
	}
	slices.Sort(times)
	f.Median, f.P90, f.Longest = Quantile(times, 0.5), Quantile(times, 0.9), Quantile(times, 1)
	return f
}

// AtListener returns the runs with the listener's time in place of the dialler's. Those without one
// are left out.
func AtListener(runs []Run) []Run {
	var some []Run
	for _, r := range runs {
		if r.ListenerMillis > 0 {
			r.Millis = r.ListenerMillis
			some = append(some, r)
		}
	}
	return some
}

// Quantile interpolates between the values next to it, which are sorted: NaN if there are none.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	rest := at - float64(i)
	if rest == 0 || math.IsInf(sorted[i], 1) {
		return sorted[i] // and no infinity times nothing, or less infinity
	}
	return sorted[i] + rest*(sorted[i+1]-sorted[i])
}
