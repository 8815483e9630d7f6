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

// NATs are those of the matrix, and what is known of them besides the runs.
type NATs struct {
	Kinds     []string               // on either side
	Punchable func(a, b string) bool // whether a punch can pass a pair at all
	Shares    map[string]float64     // how often each NAT is met
}

// Whole reports whether every kind was run with every other, by simopen and DCUtR.
func (nats NATs) Whole(runs []Run) bool {
	all := len(nats.Kinds) * len(nats.Kinds)
	return all > 0 && len(Cells(runs, Simopen)) == all && len(Cells(runs, DCUtR)) == all
}

// Summarise draws the figures from runs of scenarios, and of the matrix.
func Summarise(runs []Run, scenarios []string, nats NATs) Summary {
	compare := func(scenario string, against Impl) Comparison {
		c, _ := Compare(runs, scenario, against)
		return c
	}
	clean, quic := compare(Clean, DCUtR), compare(Clean, DCUtRQUIC)
	asym, loss := compare(RSTAsym, DCUtR), compare(Loss5, DCUtR)
	s := Summary{
		CleanRatio:     clean.MedianRatio(),
		QUICCleanRatio: quic.MedianRatio(),
		RSTAsymRatio:   asym.MedianRatio(),
		Loss5P50Ratio:  loss.MedianRatio(),
		Loss5P90Ratio:  loss.P90Ratio(),
		Runs:           Runs{Clean: clean.Runs(), QUICClean: quic.Runs(), RSTAsym: asym.Runs(), Loss5: loss.Runs()},
	}
	simopen, dcutr := Cells(runs, Simopen), Cells(runs, DCUtR)
	s.Success = nats.success(simopen, dcutr)
	if nats.Whole(runs) {
		s.Population = Population{Simopen: nats.weighted(simopen), DCUtR: nats.weighted(dcutr)}
	}
	s.Verdict = Verdict(CompareAll(runs, scenarios), s.Success)
	return s
}

// success counts the pairs that can work, and of those the ones that did in every run.
func (nats NATs) success(simopen, dcutr map[Pair][]Run) (s Success) {
	for p, runs := range simopen {
		others := dcutr[p]
		if len(others) == 0 || !nats.Punchable(p.A, p.B) {
			continue
		}
		n := min(len(runs), len(others))
		if s.Punchable == 0 || n < s.Runs {
			s.Runs = n
		}
		s.Punchable++
		if allDirect(runs) {
			s.Simopen++
		}
		if allDirect(others) {
			s.DCUtR++
		}
	}
	return s
}

func allDirect(runs []Run) bool {
	return !slices.ContainsFunc(runs, func(r Run) bool { return !r.OK })
}

// weighted returns the share of pairs that become direct where each side's NAT is met as often as
// the shares say, and independently of the other's; nil if none is met.
func (nats NATs) weighted(cells map[Pair][]Run) *float64 {
	var sum, of float64
	for p, runs := range cells {
		weight := nats.Shares[p.A] * nats.Shares[p.B]
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
