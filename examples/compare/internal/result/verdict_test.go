package result

import (
	"math"
	"slices"
	"testing"
)

func TestVerdict(t *testing.T) {
	never := math.Inf(1)
	same := func(ms float64, n int) []float64 { return slices.Repeat([]float64{ms}, n) }
	network := func(scenario string, simopen, dcutr float64) []Run {
		return append(in(scenario, Simopen, same(simopen, 3)...), in(scenario, DCUtR, same(dcutr, 3)...)...)
	}
	few := append(in("near", Simopen, 100), in("near", DCUtR, same(200, 3)...)...)
	for name, c := range map[string]struct {
		runs  []Run
		pairs Success
		want  string
	}{
		"nothing": {nil, Success{}, "Nothing was compared with DCUtR over TCP."},
		"faster": {network("clean", 290, 616), Success{},
			"Against DCUtR over TCP, simopen was faster in the one network compared (2.1 times as fast)."},
		"equal": {network("clean", 290, 300), Success{},
			"Against DCUtR over TCP, simopen was as fast in the one network compared."},
		"slower": {network("clean", 600, 300), Success{},
			"Against DCUtR over TCP, simopen was slower in the one network compared (2.0 times as long)."},
		"failed": {network("clean", never, 300), Success{},
			"Against DCUtR over TCP, simopen was relayed where DCUtR was direct in the one network compared."},
		"only simopen": {network("clean", 300, never), Success{},
			"Against DCUtR over TCP, simopen was direct where DCUtR was not in the one network compared."},
		"neither": {network("clean", never, never), Success{},
			"Against DCUtR over TCP, simopen was relayed like DCUtR in the one network compared."},
		"too few runs": {few, Success{}, "There are too few runs to compare times, which takes three of each."},
		"too few runs, and pairs": {few, Success{Punchable: 9, Simopen: 9, DCUtR: 7, Runs: 1},
			"There are too few runs to compare times, which takes three of each, but simopen made 9 of 9 workable pairs of NATs direct, where DCUtR made 7."},
		"pairs alone": {nil, Success{Punchable: 86, Simopen: 85, DCUtR: 75, Runs: 3},
			"simopen made 85 of 86 workable pairs of NATs direct, where DCUtR made 75."},
		"all faster, and pairs": {slices.Concat(network("clean", 290, 616), network("loss5", 100, 2000)), Success{Punchable: 9, Simopen: 9, DCUtR: 7, Runs: 1},
			"Against DCUtR over TCP, simopen was faster in both networks (2.1 to 20 times as fast), and made 9 of 9 workable pairs of NATs direct, where DCUtR made 7."},
		"too few runs in one": {append(network("clean", 290, 616), few...), Success{},
			"Against DCUtR over TCP, simopen was faster in the one network compared (2.1 times as fast)."},
		"a run of five failed": {append(in("clean", Simopen, 1, 1, 1, 1, never), in("clean", DCUtR, same(2, 5)...)...), Success{},
			"Against DCUtR over TCP, simopen was faster in the one network compared (2.0 times as fast), with 1 of its 5 runs still relayed."},
		"QUIC alone": {append(in("clean", Simopen, same(290, 3)...), in("clean", DCUtRQUIC, same(400, 3)...)...), Success{},
			"Nothing was compared with DCUtR over TCP."},
		"some of each": {slices.Concat(network("clean", 290, 616), network("near", 100, 105), network("loss5", 300, 200), network("jitter", 100, never)), Success{},
			"Against DCUtR over TCP, simopen was faster in 1 of 4 networks (2.1 times as fast), as fast in 1, slower in 1 (1.5 times as long) and direct where DCUtR was not in 1."},
	} {
		if got := Verdict(CompareAll(c.runs, []string{"clean", "near", "loss5", "jitter"}), c.pairs); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}
