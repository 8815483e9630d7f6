package result

import "math"

const (
	// MedianRuns is how many runs of each a ratio of medians needs. The median of two runs is their
	// mean, and one slow run moves it by half its delay.
	MedianRuns = 3

	// P90Runs is the same for 90th percentiles: with fewer runs they are nearly the longest run.
	P90Runs = 5
)

// A Comparison is simopen beside another implementation in one scenario.
type Comparison struct {
	Scenario       string
	Against        Impl
	Simopen, Other Figures
}

// Compare returns the comparison in one scenario. Without a run of the other implementation there
// is none.
func Compare(runs []Run, scenario string, against Impl) (c Comparison, ok bool) {
	c = Comparison{
		Scenario: scenario,
		Against:  against,
		Simopen:  FiguresOf(Select(runs, scenario, Simopen)),
		Other:    FiguresOf(Select(runs, scenario, against)),
	}
	return c, c.Runs() > 0
}

// CompareAll returns the comparisons of scenarios, in their order, with all other implementations.
func CompareAll(runs []Run, scenarios []string) (all []Comparison) {
	for _, s := range scenarios {
		for _, against := range []Impl{DCUtR, DCUtRQUIC} {
			if c, ok := Compare(runs, s, against); ok {
				all = append(all, c)
			}
		}
	}
	return all
}

// Runs returns how many runs of each there are, or of the one that has fewer.
func (c Comparison) Runs() int { return min(c.Simopen.Runs, c.Other.Runs) }

// MedianRatio returns simopen's median over the other's. It is nil if there are too few runs, or if
// half of either's runs never became direct.
func (c Comparison) MedianRatio() *float64 {
	if c.Runs() < MedianRuns {
		return nil
	}
	return ratio(c.Simopen.Median, c.Other.Median)
}

// P90Ratio returns the same of the 90th percentiles.
func (c Comparison) P90Ratio() *float64 {
	if c.Runs() < P90Runs {
		return nil
	}
	return ratio(c.Simopen.P90, c.Other.P90)
}

// ratio returns a over b, or nil if there is none.
func ratio(a, b float64) *float64 {
	r := a / b
	if math.IsNaN(r) || math.IsInf(a, 0) || math.IsInf(b, 0) {
		return nil
	}
	return &r
}
