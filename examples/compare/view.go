package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/console"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natwords"
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

// end prints the results, the verdict first.
func (v *view) end(runs []result.Run, s result.Summary, nats result.NATs, about result.About) {
	v.progress.Clear()
	v.out.Print("")
	v.out.Paragraph("verdict", s.Verdict)
	if t := networkTable(runs); t != nil {
		v.out.Print("")
		v.out.Print(t...)
	}
	v.pairs(runs, s, nats)
	v.out.Print("")
	for _, f := range about.Facts() {
		v.out.Paragraph(f.Name, f.Text)
	}
	v.out.Line("took", "%s", roughly(time.Since(v.begun)))
}

// pairs prints what became of the matrix's pairs, if any was run.
func (v *view) pairs(runs []result.Run, s result.Summary, nats result.NATs) {
	table := pairList
	if nats.Whole(runs) {
		table = matrixTable
	}
	t := table(runs)
	if t == nil {
		return
	}
	v.out.Print("")
	v.out.Print(t...)
	if n := s.Success; n.Punchable > 0 {
		v.out.Print("")
		v.out.Paragraph("success", fmt.Sprintf("of %d pairs that can work without guessing ports simopen made %d direct in every run, and DCUtR %d; %s of each",
			n.Punchable, n.Simopen, n.DCUtR, count(n.Runs, "run")))
	}
	if p := s.Population; p.Simopen != nil && p.DCUtR != nil {
		v.out.Line("weighted", "by how often each NAT is met, %.0f %% of all pairs with simopen, and %.0f %% with DCUtR",
			100**p.Simopen, 100**p.DCUtR)
	}
	label := "NATs"
	for _, k := range nats.Kinds {
		v.out.Paragraph(label, k+": "+strings.Join(natwords.Describe(mustParse(k)), "; "))
		label = " "
	}
}

// roughly formats a duration with the precision that a person needs.
func roughly(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f minutes", d.Minutes())
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
