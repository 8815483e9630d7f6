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
	ID      string
	Impl    string
	Kinds   []string // columns
	Rows    []matrixRow
	Reasons []reason
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
	Link  string // to a ladder, or empty
}

// A reason why pairs did not become direct.
type reason struct {
	Text  string
	Pairs []string
}

// matrices returns the matrices of the implementations that have runs in the matrix.
func matrices(p Page, drawn []punch) []matrix {
	links := make(map[cellKey]string)
	for _, d := range drawn {
		of := cellKey{d.Run.Impl, d.Run.A, d.Run.B}
		if d.Run.Scenario == result.Matrix && links[of] == "" {
			links[of] = d.ID
		}
	}
	var ms []matrix
	for _, s := range allSeries {
		cells := make(map[[2]string][]result.Run)
		for _, r := range runsOf(p.Runs, s.Impl) {
			if r.Scenario == result.Matrix {
				cells[[2]string{r.A, r.B}] = append(cells[[2]string{r.A, r.B}], r)
			}
		}
		if len(cells) == 0 {
			continue
		}
		m := matrix{ID: "matrix-" + s.Class, Impl: s.Name, Kinds: p.Kinds}
		for _, a := range p.Kinds {
			row := matrixRow{Kind: a}
			for _, b := range p.Kinds {
				can := p.Punchable == nil || p.Punchable(a, b)
				c := cellOf(cells[[2]string{a, b}], can)
				c.Words = a + " to " + b + ": " + c.Words
				c.Link = links[cellKey{s.Impl, a, b}]
				row.Cells = append(row.Cells, c)
			}
			m.Rows = append(m.Rows, row)
		}
		m.Reasons = reasons(p.Kinds, cells)
		ms = append(ms, m)
	}
	return ms
}

// A cellKey names a cell of any matrix.
type cellKey struct {
	impl result.Impl
	a, b string
}

func cellOf(runs []result.Run, punchable bool) cell {
	if len(runs) == 0 {
		return cell{Class: "none", Text: "·", Words: notMeasured}
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
	if len(ok) < len(ts) {
		c.Class += " partly"
		c.Share = fmt.Sprintf("%d/%d", len(ok), len(ts))
	}
	return c
}

// whyNot lists the reasons of the runs that did not become direct, and when they were told.
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

// reasons returns the reasons of all pairs, in the matrix's order.
func reasons(kinds []string, cells map[[2]string][]result.Run) []reason {
	var rs []reason
	at := make(map[string]int)
	for _, a := range kinds {
		for _, b := range kinds {
			for _, r := range cells[[2]string{a, b}] {
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
