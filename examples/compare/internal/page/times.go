package page

import (
	"fmt"
	"math"
	"slices"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// times are those of runs, in s and ascending; one that did not become direct never ends.
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

// direct are the times that end.
func direct(ts []float64) []float64 {
	if i := slices.Index(ts, math.Inf(1)); i >= 0 {
		return ts[:i]
	}
	return ts
}

// seconds is a time in s with two digits that count, or that it never ends.
func seconds(s float64) string {
	switch {
	case math.IsInf(s, 1):
		return "never"
	case s < 10:
		return fmt.Sprintf("%.2f", s)
	}
	return fmt.Sprintf("%.1f", s)
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
