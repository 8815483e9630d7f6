package result

import "slices"

// The scenarios that a Summary draws on.
const (
	Matrix  = "matrix"
	Clean   = "clean"
	RSTAsym = "rst-asym"
	Loss5   = "loss5"
)

// A Pair is a cell of the matrix: the dialler's NAT and the listener's.
type Pair struct{ A, B string }

// Select returns the runs of one implementation in one scenario.
func Select(runs []Run, scenario string, impl Impl) []Run {
	var some []Run
	for _, r := range runs {
		if r.Scenario == scenario && r.Impl == impl {
			some = append(some, r)
		}
	}
	return some
}

// Cells returns the runs of the matrix by their pair.
func Cells(runs []Run, impl Impl) map[Pair][]Run {
	cells := make(map[Pair][]Run)
	for _, r := range Select(runs, Matrix, impl) {
		p := Pair{r.A, r.B}
		cells[p] = append(cells[p], r)
	}
	return cells
}

// Summarise draws the figures from runs. The pairs that are punchable can work at all; shares are
// how often each NAT is met.
func Summarise(runs []Run, punchable func(a, b string) bool, shares map[string]float64) Summary {
	figures := func(scenario string, impl Impl) Figures { return FiguresOf(Select(runs, scenario, impl)) }
	clean, asym, loss := figures(Clean, Simopen), figures(RSTAsym, Simopen), figures(Loss5, Simopen)
	lossDCUtR := figures(Loss5, DCUtR)
	simopen, dcutr := Cells(runs, Simopen), Cells(runs, DCUtR)
	s := Summary{
		CleanRatio:     Ratio(clean.Median, figures(Clean, DCUtR).Median),
		QUICCleanRatio: Ratio(clean.Median, figures(Clean, DCUtRQUIC).Median),
		RSTAsymRatio:   Ratio(asym.Median, figures(RSTAsym, DCUtR).Median),
		Loss5P50Ratio:  Ratio(loss.Median, lossDCUtR.Median),
		Loss5P90Ratio:  Ratio(loss.P90, lossDCUtR.P90),
		Success:        Success{Simopen: direct(simopen), DCUtR: direct(dcutr)},
		Population:     Population{Simopen: weighted(simopen, shares), DCUtR: weighted(dcutr, shares)},
	}
	pairs := make(map[Pair]bool)
	for _, cells := range []map[Pair][]Run{simopen, dcutr} {
		for p := range cells {
			pairs[p] = punchable(p.A, p.B)
		}
	}
	for _, possible := range pairs {
		if possible {
			s.Success.Punchable++
		}
	}
	return s
}

// direct counts the cells of which every run became direct.
func direct(cells map[Pair][]Run) (n int) {
	for _, runs := range cells {
		if !slices.ContainsFunc(runs, func(r Run) bool { return !r.OK }) {
			n++
		}
	}
	return n
}

// weighted returns the share of pairs that become direct where each side's NAT is met as often as
// shares say, and independently of the other's. It goes by the pairs that were run; nil if none of
// those is met.
func weighted(cells map[Pair][]Run, shares map[string]float64) *float64 {
	var sum, of float64
	for p, runs := range cells {
		weight := shares[p.A] * shares[p.B]
		f := FiguresOf(runs)
		sum += weight * float64(f.OK) / float64(f.Runs)
		of += weight
	}
	if of == 0 {
		return nil
	}
	sum /= of
	return &sum
}
