package page

import (
	"fmt"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A network is a scenario in the table of figures.
type network struct {
	Scenario
	Simopen figure
	Others  []other
}

// A figure is how one implementation did.
type figure struct{ Median, Direct string }

// An other is another implementation beside simopen.
type other struct {
	Name string
	figure
	Ratio string // simopen's median over the other's; empty if there is none
	Words string
	Runs  string
}

// networks returns the scenarios in which simopen was compared, without the matrix.
func networks(p Page) (all []network) {
	for _, sc := range scenarios(p) {
		if sc.Name == result.Matrix {
			continue
		}
		n := network{Scenario: sc}
		for _, c := range result.CompareAll(p.Runs, []string{sc.Name}) {
			n.Simopen = figureOf(c.Simopen)
			n.Others = append(n.Others, beside(c))
		}
		if n.Others != nil {
			all = append(all, n)
		}
	}
	return all
}

func figureOf(f result.Figures) figure {
	return figure{secondsUnit(f.Median / 1000), fmt.Sprintf("%d of %d direct", f.OK, f.Runs)}
}

func beside(c result.Comparison) other {
	o := other{
		Name:   overName(c.Against),
		figure: figureOf(c.Other),
		Runs:   eachRuns(c.Runs()),
	}
	if r := c.MedianRatio(); r != nil {
		o.Ratio = fmt.Sprintf("%.2f", *r)
	}
	if r := c.P90Ratio(); r != nil {
		o.Runs += fmt.Sprintf("; of the 90th percentiles %.2f", *r)
	}
	switch c.Outcome() {
	case result.Faster:
		o.Words = result.FormatFactor(result.Factor(*c.MedianRatio())) + " times as fast"
	case result.Slower:
		o.Words = result.FormatFactor(result.Factor(*c.MedianRatio())) + " times as long"
	case result.Equal:
		o.Words = "as fast"
	case result.OnlySimopen:
		o.Words = "only simopen became direct"
	case result.OnlyOther:
		o.Words = "only " + name(c.Against) + " became direct"
	case result.Neither:
		o.Words = "neither became direct"
	case result.TooFew:
		o.Words = fmt.Sprintf("too few runs: a ratio takes %d of each", result.MedianRuns)
	}
	return o
}

// overName returns the name of an implementation with its transport.
func overName(impl result.Impl) string {
	if impl == result.DCUtR {
		return "DCUtR over TCP"
	}
	return name(impl)
}

func eachRuns(n int) string {
	if n == 1 {
		return "1 run each"
	}
	return fmt.Sprintf("%d runs each", n)
}

// success says in sentences how many of the pairs of NATs became direct.
func success(s result.Summary) (sentences []string) {
	n := s.Success
	if n.Punchable == 0 {
		return nil
	}
	percent := func(direct int) float64 { return 100 * float64(direct) / float64(n.Punchable) }
	sentences = append(sentences, fmt.Sprintf(
		"Of %d workable pairs of NATs, simopen made %d direct in every run (%.0f %%), and DCUtR over TCP %d (%.0f %%); %s.",
		n.Punchable, n.Simopen, percent(n.Simopen), n.DCUtR, percent(n.DCUtR), eachRuns(n.Runs)))
	if p := s.Population; p.Simopen != nil && p.DCUtR != nil {
		sentences = append(sentences, fmt.Sprintf(
			"Weighted by how often each NAT is met, that is %.1f %% of all pairs with simopen, and %.1f %% with DCUtR; those that cannot work are among all pairs.",
			100**p.Simopen, 100**p.DCUtR))
	}
	return sentences
}
