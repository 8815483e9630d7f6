package page

import (
	"fmt"
	"math"
	"slices"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// times returns the times of runs, in s and ascending. The time of a run that did not become direct
// is infinite.
func times(runs []result.Run) []float64 {
	ts := make([]float64, len(runs))
	for i, r := range runs {
		ts[i] = math.Inf(1)
		if r.OK {
			ts[i] = r.Millis / 1000
		}
	}
	slices.Sort(ts)
	return ts
}

// direct returns the finite times.
func direct(ts []float64) []float64 {
	if i := slices.Index(ts, math.Inf(1)); i >= 0 {
		return ts[:i]
	}
	return ts
}

// seconds formats a time in s with two or three significant digits. An infinite time is "never".
func seconds(s float64) string {
	switch {
	case math.IsInf(s, 1):
		return "never"
	case s < 10:
		return fmt.Sprintf("%.2f", s)
	}
	return fmt.Sprintf("%.1f", s)
}

// secondsUnit formats a time with its unit, unless it is "never".
func secondsUnit(s float64) string {
	if math.IsInf(s, 1) {
		return seconds(s)
	}
	return seconds(s) + " s"
}

func runsOf(runs []result.Run, impl result.Impl) []result.Run {
	var of []result.Run
	for _, r := range runs {
		if r.Impl == impl {
			of = append(of, r)
		}
	}
	return of
}
