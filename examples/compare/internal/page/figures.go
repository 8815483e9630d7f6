package page

import (
	"fmt"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A figure is a row of the summary.
type figure struct{ What, Value, Words string }

const notMeasured = "not measured"

func figures(s result.Summary) []figure {
	return []figure{
		ratio("Clean network, against DCUtR over TCP, median", s.CleanRatio),
		ratio("Clean network, against DCUtR over QUIC, median", s.QUICCleanRatio),
		ratio("NATs that answer with a RST, a relay path slower one way, median", s.RSTAsymRatio),
		ratio("5 % loss at each site, median", s.Loss5P50Ratio),
		ratio("5 % loss at each site, 90th percentile", s.Loss5P90Ratio),
		success("Pairs of NATs direct in every run, simopen", s.Success.Simopen, s.Success.Punchable),
		success("Pairs of NATs direct in every run, DCUtR", s.Success.DCUtR, s.Success.Punchable),
		share("The same, NATs weighted by how often they are met, simopen", s.Population.Simopen),
		share("The same, NATs weighted by how often they are met, DCUtR", s.Population.DCUtR),
	}
}

// ratio returns the figure of a ratio of times, simopen's over the other's.
func ratio(what string, r *float64) figure {
	if r == nil {
		return figure{what, "–", notMeasured}
	}
	f := figure{What: what, Value: fmt.Sprintf("%.2f", *r)}
	switch {
	case *r <= 0:
	case *r < 1:
		f.Words = "simopen is " + short(1 / *r) + " times as fast"
	default:
		f.Words = "simopen takes " + short(*r) + " times as long"
	}
	return f
}

func success(what string, direct, punchable int) figure {
	if punchable == 0 {
		return figure{what, "–", notMeasured}
	}
	return figure{what, fmt.Sprintf("%d of %d", direct, punchable),
		fmt.Sprintf("%.3g %% of the pairs that can work at all", 100*float64(direct)/float64(punchable))}
}

func share(what string, of *float64) figure {
	if of == nil {
		return figure{what, "–", notMeasured}
	}
	return figure{what, fmt.Sprintf("%.1f %%", 100**of), "of all pairs that meet, also those that cannot work"}
}

// short formats a number with two or three digits.
func short(f float64) string {
	if f < 10 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}
