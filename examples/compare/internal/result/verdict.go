package result

import (
	"fmt"
	"math"
	"strings"
)

// alike is how far two medians may be from each other, as a factor, to count as equal: those of the
// same implementation in two runs of the comparison differ by up to some 10 %.
const alike = 1.1

// An Outcome is what a comparison says of simopen.
type Outcome int

const (
	Faster Outcome = iota
	Equal
	Slower
	OnlySimopen // became direct in more than half of its runs; the other did not
	OnlyOther
	Neither
	TooFew // runs
)

// Outcome returns what a comparison says of simopen.
func (c Comparison) Outcome() Outcome {
	never := func(f Figures) bool { return math.IsInf(f.Median, 1) }
	switch {
	case c.Runs() < MedianRuns:
		return TooFew
	case never(c.Simopen) && never(c.Other):
		return Neither
	case never(c.Simopen):
		return OnlyOther
	case never(c.Other):
		return OnlySimopen
	case c.Simopen.Median*alike < c.Other.Median:
		return Faster
	case c.Simopen.Median > c.Other.Median*alike:
		return Slower
	}
	return Equal
}

// Verdict returns what a comparison with DCUtR over TCP came to, in one sentence. It counts the
// scenarios by their outcome, and the pairs of the matrix.
func Verdict(comparisons []Comparison, pairs Success) string {
	times, success := timesClause(comparisons), pairsClause(pairs)
	switch {
	case times == "" && success == "":
		return "Nothing was compared with DCUtR over TCP."
	case times == "":
		return "simopen " + success + "."
	case success == "":
		return times + "."
	case strings.HasPrefix(times, tooFew):
		return times + ", but simopen " + success + "."
	}
	return times + ", and " + success + "."
}

const tooFew = "There are too few runs to compare times, which takes three of each"

// timesClause counts scenarios by their outcome.
func timesClause(comparisons []Comparison) string {
	var by [TooFew + 1][]Comparison
	compared, runs, relayed := 0, 0, 0
	for _, c := range comparisons {
		if c.Against != DCUtR {
			continue
		}
		o := c.Outcome()
		by[o] = append(by[o], c)
		if o != TooFew {
			compared++
		}
		if o <= OnlySimopen { // the others are described as staying relayed
			runs += c.Simopen.Runs
			relayed += c.Simopen.Runs - c.Simopen.OK
		}
	}
	switch {
	case compared == 0 && len(by[TooFew]) == 0:
		return ""
	case compared == 0:
		return tooFew
	}
	var parts []string
	for _, p := range []struct {
		outcome       Outcome
		words, factor string
	}{
		{Faster, "faster", "times as fast"},
		{Equal, "as fast", ""},
		{Slower, "slower", "times as long"},
		{OnlySimopen, "direct where DCUtR was not", ""},
		{OnlyOther, "relayed where DCUtR was direct", ""},
		{Neither, "relayed like DCUtR", ""},
	} {
		if n := len(by[p.outcome]); n > 0 {
			parts = append(parts, p.words+" in "+share(n, compared, len(parts) == 0)+factors(by[p.outcome], p.factor))
		}
	}
	text := "Against DCUtR over TCP, simopen was " + list(parts)
	if relayed > 0 {
		text += fmt.Sprintf(", with %d of its %d runs still relayed", relayed, runs)
	}
	return text
}

// share returns how many of all networks n are, in full if it is the first such number.
func share(n, all int, first bool) string {
	switch {
	case all == 1:
		return "the one network compared"
	case n == all && n == 2:
		return "both networks"
	case n == all:
		return fmt.Sprintf("all %d networks", all)
	case first:
		return fmt.Sprintf("%d of %d networks", n, all)
	}
	return fmt.Sprint(n)
}

// factors returns the range of the factors between the medians.
func factors(cs []Comparison, words string) string {
	if words == "" {
		return ""
	}
	least, most := math.Inf(1), 0.0
	for _, c := range cs {
		f := Factor(*c.MedianRatio())
		least, most = min(least, f), max(most, f)
	}
	if from, to := FormatFactor(least), FormatFactor(most); from != to {
		return fmt.Sprintf(" (%s to %s %s)", from, to, words)
	}
	return fmt.Sprintf(" (%s %s)", FormatFactor(least), words)
}

// Factor returns a ratio, or its inverse, whichever is above 1.
func Factor(ratio float64) float64 { return max(ratio, 1/ratio) }

// FormatFactor formats a factor with two digits.
func FormatFactor(f float64) string {
	if f < 9.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

func pairsClause(s Success) string {
	if s.Punchable == 0 {
		return ""
	}
	return fmt.Sprintf("made %d of %d workable pairs of NATs direct, where DCUtR made %d", s.Simopen, s.Punchable, s.DCUtR)
}

// list joins words with commas, and "and" before the last.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
