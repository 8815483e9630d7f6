package result

import (
	"math"
	"testing"
)

// in returns runs of a scenario.
func in(scenario string, impl Impl, ms ...float64) []Run {
	runs := times(ms...)
	for i := range runs {
		runs[i].Scenario, runs[i].Impl = scenario, impl
	}
	return runs
}

func TestRatios(t *testing.T) {
	inf := math.Inf(1)
	const none = -1
	for name, c := range map[string]struct {
		simopen, dcutr []float64
		median, p90    float64
	}{
		"three each":          {[]float64{100, 100, 100}, []float64{200, 200, 200}, 0.5, none},
		"five each":           {[]float64{1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2}, 0.5, 0.5},
		"one each":            {[]float64{100}, []float64{200}, none, none},
		"one against three":   {[]float64{100}, []float64{200, 200, 200}, none, none},
		"three against two":   {[]float64{100, 100, 100}, []float64{200, 200}, none, none},
		"one never":           {[]float64{100, 100, inf}, []float64{200, 200, 200}, 0.5, none},
		"one of five never":   {[]float64{1, 1, 1, 1, inf}, []float64{2, 2, 2, 2, 2}, 0.5, none},
		"simopen never":       {[]float64{inf, inf, inf}, []float64{200, 200, 200}, none, none},
		"DCUtR never":         {[]float64{100, 100, 100}, []float64{inf, inf, inf}, none, none},
		"nothing against any": {nil, []float64{200, 200, 200}, none, none},
	} {
		cmp, _ := Compare(append(in(Clean, Simopen, c.simopen...), in(Clean, DCUtR, c.dcutr...)...), Clean, DCUtR)
		for what, r := range map[string]struct {
			got  *float64
			want float64
		}{"median": {cmp.MedianRatio(), c.median}, "p90": {cmp.P90Ratio(), c.p90}} {
			if (r.got == nil) != (r.want == none) || r.got != nil && *r.got != r.want {
				t.Errorf("%s, %s: got %v, want %v", name, what, r.got, r.want)
			}
		}
	}
}
