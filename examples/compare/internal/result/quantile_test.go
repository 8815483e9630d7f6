package result

import (
	"math"
	"testing"
)

func times(ms ...float64) (runs []Run) {
	for _, t := range ms {
		runs = append(runs, Run{OK: !math.IsInf(t, 1), Millis: t})
	}
	return runs
}

func TestFiguresOf(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		runs        []Run
		ok          int
		median, p90 float64
	}{
		{times(30), 1, 30, 30},
		{times(30, 10), 2, 20, 28},
		{times(30, 10, 20), 3, 20, 28},
		{times(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 11, 5, 9},
		{times(10, inf, 20), 2, 20, inf},
		{times(10, inf), 1, inf, inf},
		{times(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, inf), 10, 5, 9},
	} {
		f := FiguresOf(c.runs)
		if f.Runs != len(c.runs) || f.OK != c.ok || math.Abs(f.Median-c.median) > 1e-9 || f.P90 != c.p90 && math.Abs(f.P90-c.p90) > 1e-9 {
			t.Errorf("%v: got %+v, want %d direct, median %v, p90 %v", c.runs, f, c.ok, c.median, c.p90)
		}
	}
	if f := FiguresOf(nil); f.Runs != 0 || !math.IsNaN(f.Median) || !math.IsNaN(f.P90) {
		t.Errorf("of nothing: %+v", f)
	}
}
