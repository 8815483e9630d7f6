package page

import (
	"slices"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A pairRow is a pair of NATs in the list of those that were run.
type pairRow struct {
	A, B  string
	Cells []cell // simopen's, and DCUtR's
}

// pairs returns the pairs of the matrix that were run, for a few would be lost in it.
func pairs(p Page, duels []duel) (rows []pairRow) {
	cells := cellsOf(p.Runs)
	links := pairLinks(duels)
	for _, a := range kindsOf(p) {
		for _, b := range kindsOf(p) {
			of := result.Pair{A: a, B: b}
			if len(cells[result.Simopen][of]) == 0 && len(cells[result.DCUtR][of]) == 0 {
				continue
			}
			row := pairRow{A: a, B: b}
			for _, impl := range []result.Impl{result.Simopen, result.DCUtR} {
				c := cellOf(cells[impl][of], p.punchable(of))
				c.Link = links[of]
				row.Cells = append(row.Cells, c)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// kindsOf returns the NATs of the matrix, and after them those that only runs name.
func kindsOf(p Page) []string {
	kinds := slices.Clone(p.NATs.Kinds)
	for _, r := range p.Runs {
		for _, k := range []string{r.A, r.B} {
			if r.Scenario == result.Matrix && !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}

// cellsOf returns the runs of the matrix by implementation and pair.
func cellsOf(runs []result.Run) map[result.Impl]map[result.Pair][]result.Run {
	return map[result.Impl]map[result.Pair][]result.Run{
		result.Simopen: result.Cells(runs, result.Simopen),
		result.DCUtR:   result.Cells(runs, result.DCUtR),
	}
}

// punchable reports whether a pair can work at all; all can if nothing is known.
func (p Page) punchable(of result.Pair) bool {
	return p.NATs.Punchable == nil || p.NATs.Punchable(of.A, of.B)
}

// pairLinks returns the IDs of the punches of pairs.
func pairLinks(duels []duel) map[result.Pair]string {
	links := make(map[result.Pair]string)
	for _, d := range duels {
		if d.InMatrix {
			links[result.Pair{A: d.A, B: d.B}] = d.ID
		}
	}
	return links
}
