package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
)

// A view prints a comparison.
type view struct {
	out, progress *console.Console
	left          time.Duration // at the beginning, as estimated
	total, done   int
	begun         time.Time
}

// newView returns a view that prints to out, and its progress to progress.
func newView(out, progress io.Writer, runs int, estimate time.Duration) *view {
	return &view{out: console.New(out), progress: console.New(progress), total: runs, left: estimate, begun: time.Now()}
}

// begin prints what will be run.
func (v *view) begin() {
	v.out.Line("runs", "%d, for about %s", v.total, roughly(v.left))
	v.out.Paragraph(" ", "Each in a lab of its own, with new processes. Before the clock starts both implementations know all that "+
		"they can without the peer: DCUtR its addresses, simopen its address and how its NAT behaves. "+
		"The clock runs from the dialler's relayed connection to its direct one, or until it is given up; "+
		"the listener's direct connection is timed from the same moment.")
}

// ran records a run.
func (v *view) ran(r result.Run) {
	v.done++
	left := max(v.left-time.Since(v.begun), time.Second)
	v.progress.Passing("progress", "%d of %d, about %s left: %s, %s to %s, %s", v.done, v.total, roughly(left), r.Scenario, r.A, r.B, r.Impl)
}

// end prints the results.
func (v *view) end(runs []result.Run, s result.Summary, leftOut int) {
	v.progress.Clear()
	if t := scenarioTable(runs); t != nil {
		v.out.Print("")
		v.out.Print(t...)
	}
	if t := matrixTable(runs); t != nil {
		v.out.Print("")
		v.out.Print(t...)
	}
	if s.Success.Punchable > 0 {
		v.out.Print("")
		v.out.Line("success", "of %d pairs that can work without guessing ports simopen made %d direct, in every run, and DCUtR %d",
			s.Success.Punchable, s.Success.Simopen, s.Success.DCUtR)
	}
	if p := s.Population; whole(runs) && p.Simopen != nil && p.DCUtR != nil {
		v.out.Line("weighted", "by how often each NAT is met, %.0f %% of all pairs with simopen, and %.0f %% with DCUtR",
			100**p.Simopen, 100**p.DCUtR)
	}
	took := roughly(time.Since(v.begun))
	if leftOut > 0 {
		took += fmt.Sprintf("; %d runs were left out for want of time", leftOut)
	}
	v.out.Line("took", "%s", took)
}

// scenarioTable returns a line for each scenario but the matrix.
func scenarioTable(runs []result.Run) (lines []string) {
	for _, s := range rough {
		if len(result.Select(runs, s.name, result.Simopen)) == 0 {
			continue
		}
		if lines == nil {
			lines = append(lines,
				"ms until direct      simopen               DCUtR over TCP                     DCUtR over QUIC",
				"                     direct   p50    p90   direct   p50    p90  ratio p50, p90  direct   p50    p90  ratio p50, p90")
		}
		simopen := result.FiguresOf(result.Select(runs, s.name, result.Simopen))
		line := fmt.Sprintf("%-20s %s", s.name, figures(simopen))
		for _, impl := range []result.Impl{result.DCUtR, result.DCUtRQUIC} {
			if other := result.FiguresOf(result.Select(runs, s.name, impl)); other.Runs > 0 {
				line += fmt.Sprintf(" %s  %-14s", figures(other),
					ratio(simopen.Median, other.Median)+" "+ratio(simopen.P90, other.P90))
			}
		}
		lines = append(lines, strings.TrimRight(line, " "), "  "+s.what, "  "+atListener(runs, s.name))
	}
	return lines
}

// atListener returns the listener's medians, in the same order.
func atListener(runs []result.Run, scenario string) string {
	var medians []string
	for _, impl := range []result.Impl{result.Simopen, result.DCUtR, result.DCUtRQUIC} {
		if f := result.FiguresOf(result.AtListener(result.Select(runs, scenario, impl))); f.Runs > 0 {
			medians = append(medians, millis(f.Median))
		}
	}
	return "p50 at the listener: " + strings.Join(medians, ", ")
}

func figures(f result.Figures) string {
	return fmt.Sprintf("%6s %6s %6s", fmt.Sprintf("%d/%d", f.OK, f.Runs), millis(f.Median), millis(f.P90))
}

// millis formats a number of milliseconds in six characters.
func millis(ms float64) string {
	switch {
	case math.IsInf(ms, 0) || math.IsNaN(ms):
		return "-"
	case ms >= 10_000:
		return fmt.Sprintf("%.1fs", ms/1000)
	}
	return fmt.Sprintf("%.0f", ms)
}

func ratio(a, b float64) string {
	if r := result.Ratio(a, b); r != nil {
		return fmt.Sprintf("%4.2f", *r)
	}
	return fmt.Sprintf("%4s", "-")
}

// matrixTable returns two lines for each dialler's NAT, and a column for each listener's.
func matrixTable(runs []result.Run) []string {
	simopen, dcutr := result.Cells(runs, result.Simopen), result.Cells(runs, result.DCUtR)
	if len(simopen) == 0 {
		return nil
	}
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
	return append(lines, "-: not direct; x: nothing can make it so; 1/3: not in every run")
}

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

// roughly formats a duration with the precision that a person needs.
func roughly(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f minutes", d.Minutes())
}
