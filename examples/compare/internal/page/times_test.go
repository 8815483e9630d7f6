package page

import (
	"math"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

func TestTimes(t *testing.T) {
	ts := times([]result.Run{{Millis: 700}, {OK: true, Millis: 500}, {OK: true, Millis: 300}})
	if want := []float64{0.3, 0.5, math.Inf(1)}; !slices.Equal(ts, want) {
		t.Errorf("got %v, want %v", ts, want)
	}
	if got := direct(ts); !slices.Equal(got, []float64{0.3, 0.5}) {
		t.Errorf("direct: %v", got)
	}
}

func TestQuantile(t *testing.T) {
	never := math.Inf(1)
	for _, tc := range []struct {
		ts    []float64
		share float64
		want  float64
	}{
		{[]float64{1}, 0.9, 1},
		{[]float64{1, 2}, 0.5, 1.5},
		{[]float64{1, 2, 4}, 0.5, 2},
		{[]float64{1, 2, 4}, 1, 4},
		{[]float64{1, 2, never}, 0.5, 2},
		{[]float64{1, 2, never}, 0.9, never},
		{[]float64{never, never}, 0.5, never},
	} {
		if got := result.Quantile(tc.ts, tc.share); got != tc.want {
			t.Errorf("%v of %v: got %v, want %v", tc.share, tc.ts, got, tc.want)
		}
	}
}
