package page

import (
	"cmp"
	"slices"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// Reasons are why an implementation did not make pairs direct.
type reasons struct {
	Impl    string
	Reasons []reason
}

type reason struct {
	Text  string
	Pairs []string
}

// allReasons returns the reasons of each implementation that has any.
func allReasons(p Page) (all []reasons) {
	for _, s := range allSeries {
		if rs := reasonsOf(kindsOf(p), result.Cells(p.Runs, s.Impl)); rs != nil {
			all = append(all, reasons{s.Name, rs})
		}
	}
	return all
}

// reasonsOf returns the reasons of all pairs, in the matrix's order.
func reasonsOf(kinds []string, cells map[result.Pair][]result.Run) []reason {
	var rs []reason
	at := make(map[string]int)
	for _, a := range kinds {
		for _, b := range kinds {
			for _, r := range cells[result.Pair{A: a, B: b}] {
				if r.OK {
					continue
				}
				text := cmp.Or(r.Reason, "no reason given")
				i, known := at[text]
				if !known {
					i = len(rs)
					at[text] = i
					rs = append(rs, reason{Text: text})
				}
				if pair := a + " to " + b; !slices.Contains(rs[i].Pairs, pair) {
					rs[i].Pairs = append(rs[i].Pairs, pair)
				}
			}
		}
	}
	return rs
}
