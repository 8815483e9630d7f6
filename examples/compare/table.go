package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// networkTable returns what each scenario but the matrix is, and below it a line for each
// implementation.
func networkTable(runs []result.Run) (lines []string) {
	for _, s := range rough {
		simopen := result.Select(runs, s.name, result.Simopen)
		if len(simopen) == 0 {
			continue
		}
		if lines == nil {
			lines = append(lines, "ms until direct     direct   median      p90  longest  listener   ratio of medians (runs of each)")
		}
		lines = append(lines,
			s.name+": "+s.what,
			"  "+s.path(),
			strings.TrimRight(figures("simopen", simopen), " "))
		for _, c := range result.CompareAll(runs, []string{s.name}) {
			name := "DCUtR over TCP"
			if c.Against == result.DCUtRQUIC {
				name = "DCUtR over QUIC"
			}
			lines = append(lines, figures(name, result.Select(runs, s.name, c.Against))+"   "+ratios(c))
		}
	}
	return lines
}

// figures returns a line of a table. The listener's is its median.
func figures(name string, runs []result.Run) string {
	f := result.FiguresOf(runs)
	p90 := math.NaN()
	if f.Runs >= result.P90Runs {
		p90 = f.P90
	}
	listener := result.FiguresOf(result.AtListener(runs)).Median
	return fmt.Sprintf("  %-16s%8s %8s %8s %8s  %8s", name,
		fmt.Sprintf("%d/%d", f.OK, f.Runs), millis(f.Median), millis(p90), millis(f.Longest), millis(listener))
}

// ratios formats what two implementations' times have to each other, and of how many runs.
func ratios(c result.Comparison) string {
	switch c.Outcome() {
	case result.TooFew:
		return fmt.Sprintf("too few runs (%d)", c.Runs())
	case result.OnlySimopen, result.OnlyOther, result.Neither:
		return fmt.Sprintf("none (%d)", c.Runs())
	}
	text := fmt.Sprintf("%.2f", *c.MedianRatio())
	if r := c.P90Ratio(); r != nil {
		text += fmt.Sprintf(", of p90 %.2f", *r)
	}
	return fmt.Sprintf("%s (%d)", text, c.Runs())
}

// millis formats a number of milliseconds in six characters.
func millis(ms float64) string {
	switch {
	case math.IsNaN(ms):
		return ""
	case math.IsInf(ms, 0):
		return "never"
	case ms >= 10_000:
		return fmt.Sprintf("%.1fs", ms/1000)
	}
	return fmt.Sprintf("%.0f", ms)
}

// pairList returns a line for each pair of the matrix that was run.
func pairList(runs []result.Run) []string {
	simopen, dcutr := result.Cells(runs, result.Simopen), result.Cells(runs, result.DCUtR)
	const format = "%-23s %-23s %8s %8s"
	var lines []string
	for _, p := range allPairs() {
		if len(simopen[p]) > 0 || len(dcutr[p]) > 0 {
			lines = append(lines, fmt.Sprintf(format, p.A, p.B, cellText(p, simopen[p]), cellText(p, dcutr[p])))
		}
	}
	if lines == nil {
		return nil
	}
	return append(append([]string{fmt.Sprintf(format, "ms until direct, dialler", "listener", "simopen", "DCUtR")}, lines...), cellLegend)
}

// matrixTable returns two lines for each dialler's NAT, and a column for each listener's.
func matrixTable(runs []result.Run) []string {
	simopen, dcutr := result.Cells(runs, result.Simopen), result.Cells(runs, result.DCUtR)
	head := fmt.Sprintf("%-34s", "ms until direct, dialler, listener")
	for i := range kinds {
		head += fmt.Sprintf("%7d", i+1)
	}
	lines := []string{head}
	for i, a := range kinds {
		above := fmt.Sprintf("%2d %-22s simopen ", i+1, a)
		below := fmt.Sprintf("%2s %-22s DCUtR   ", "", "")
		for _, b := range kinds {
			p := result.Pair{A: a, B: b}
			above += fmt.Sprintf("%7s", cellText(p, simopen[p]))
			below += fmt.Sprintf("%7s", cellText(p, dcutr[p]))
		}
		lines = append(lines, strings.TrimRight(above, " "), strings.TrimRight(below, " "))
	}
	return append(lines, cellLegend)
}

const cellLegend = "-: not direct; x: nothing can make it so; 1/3: not in every run"

func cellText(p result.Pair, runs []result.Run) string {
	f := result.FiguresOf(runs)
	switch {
	case f.Runs == 0:
		return ""
	case f.OK == 0 && !punchable(p.A, p.B):
		return "x"
	case f.OK == 0:
		return "-"
	case f.OK < f.Runs:
		return fmt.Sprintf("%d/%d", f.OK, f.Runs)
	}
	return millis(f.Median)
}
