package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A matrix is a heat map of one implementation.
type matrix struct {
	ID    string
	Impl  string
	Kinds []string // columns
	Rows  []matrixRow
}

type matrixRow struct {
	Kind  string
	Cells []cell
}

// A cell is a pair of NATs.
type cell struct {
	Class string
	Text  string
	Share string // direct runs of all, where only some were
	Words string // all about it
	Link  string // to its punches, or empty
}

// matrices returns the matrices of simopen and DCUtR.
func matrices(p Page, duels []duel) []matrix {
	links := pairLinks(duels)
	var ms []matrix
	for _, s := range allSeries {
		cells := result.Cells(p.Runs, s.Impl)
		if len(cells) == 0 {
			continue
		}
		m := matrix{ID: "matrix-" + s.Class, Impl: s.Name, Kinds: p.NATs.Kinds}
		for _, a := range p.NATs.Kinds {
			row := matrixRow{Kind: a}
			for _, b := range p.NATs.Kinds {
				of := result.Pair{A: a, B: b}
				c := cellOf(cells[of], p.punchable(of))
				c.Words = a + " to " + b + ": " + c.Words
				c.Link = links[of]
				row.Cells = append(row.Cells, c)
			}
			m.Rows = append(m.Rows, row)
		}
		ms = append(ms, m)
	}
	return ms
}

func cellOf(runs []result.Run, punchable bool) cell {
	if len(runs) == 0 {
		return cell{Class: "cannot"}
	}
	ts := times(runs)
	ok := direct(ts)
	why := whyNot(runs)
	switch {
	case len(ok) == 0 && !punchable:
		return cell{Class: "cannot", Text: "–", Words: "cannot work, and did not" + why}
	case len(ok) == 0:
		return cell{Class: "fails", Text: "✕", Words: "never direct" + why}
	}
	median := result.Quantile(ok, 0.5)
	c := cell{
		Class: shade(median),
		Text:  seconds(median),
		Words: fmt.Sprintf("direct in %d of %d runs, median %s s%s", len(ok), len(ts), seconds(median), why),
	}
	if len(ts) == 1 {
		c.Words = fmt.Sprintf("direct in the one run, after %s s", seconds(median))
	}
	if len(ok) < len(ts) {
		c.Class += " partly"
		c.Share = fmt.Sprintf("%d/%d", len(ok), len(ts))
	}
	return c
}

// whyNot lists the reasons of the runs that did not become direct, and when they were reported.
func whyNot(runs []result.Run) string {
	var whys []string
	for _, r := range runs {
		if r.OK {
			continue
		}
		why := fmt.Sprintf("%s (after %s s)", cmp.Or(r.Reason, "no reason given"), seconds(r.Millis/1000))
		if !slices.Contains(whys, why) {
			whys = append(whys, why)
		}
	}
	if len(whys) == 0 {
		return ""
	}
	return ": " + strings.Join(whys, "; ")
}
