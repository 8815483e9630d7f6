package page

import (
	"math/rand/v2"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

var kinds = []string{
	"public", "eim-eif", "eim-adf", "eim-apdf", "eim-apdf-rst", "eim-apdf-rst-rstkills",
	"apdm-apdf-overload", "apdm-apdf-sequential", "apdm-apdf-random", "eim-apdf-nosyn",
}

// madeUp is a page with runs that were never made.
func madeUp() Page {
	rng := rand.New(rand.NewPCG(1, 2))
	var runs []result.Run
	add := func(scenario, a, b string, impl result.Impl, n int, base, spread, fails float64, reason string) {
		for i := range n {
			r := result.Run{Scenario: scenario, A: a, B: b, Impl: impl, Run: i + 1}
			if r.OK = rng.Float64() >= fails; r.OK {
				r.Millis = base + spread*rng.ExpFloat64()
			} else {
				r.Reason, r.Millis = reason, 150
			}
			runs = append(runs, r)
		}
	}
	hard := func(kind string) bool { return kind == "apdm-apdf-random" || kind == "eim-apdf-nosyn" }
	punchable := func(a, b string) bool {
		closed := func(k string) bool { return k != "public" && k != "eim-eif" && k != "eim-adf" }
		return !(hard(a) && closed(b) || hard(b) && closed(a))
	}
	for _, a := range kinds {
		for _, b := range kinds {
			can := punchable(a, b)
			switch {
			case !can:
				add(Matrix, a, b, result.Simopen, 3, 0, 0, 1, "the peer's NAT takes a port that nobody can predict")
				add(Matrix, a, b, result.DCUtR, 3, 0, 0, 1, "all 3 attempts failed: context deadline exceeded")
			case hard(a) || hard(b) || a == "eim-apdf-rst-rstkills":
				add(Matrix, a, b, result.Simopen, 3, 270, 20, 0.1, "the peer did not answer")
				add(Matrix, a, b, result.DCUtR, 3, 20900, 100, 0.4, "all 3 attempts failed: context deadline exceeded")
			default:
				add(Matrix, a, b, result.Simopen, 3, 265, 20, 0, "")
				add(Matrix, a, b, result.DCUtR, 3, 495, 20, 0, "")
			}
		}
	}
	add("clean", "eim-apdf", "eim-apdf", result.Simopen, 10, 262, 8, 0, "")
	add("clean", "eim-apdf", "eim-apdf", result.DCUtR, 10, 494, 8, 0, "")
	add("clean", "eim-apdf", "eim-apdf", result.DCUtRQUIC, 10, 336, 8, 0, "")
	add("rst-asym", "eim-apdf-rst", "eim-apdf-rst", result.Simopen, 10, 224, 40, 0, "")
	add("rst-asym", "eim-apdf-rst", "eim-apdf-rst", result.DCUtR, 10, 10600, 300, 0.2, "no")
	add("loss5", "eim-apdf", "eim-apdf", result.Simopen, 20, 270, 300, 0, "")
	add("loss5", "eim-apdf", "eim-apdf", result.DCUtR, 20, 500, 1400, 0.05, "no")
	add("rstkills-asym", "eim-apdf-rst-rstkills", "eim-apdf-rst-rstkills", result.Simopen, 6, 230, 200, 0, "")
	add("rstkills-asym", "eim-apdf-rst-rstkills", "eim-apdf-rst-rstkills", result.DCUtR, 6, 0, 0, 1, "no")
	f := func(v float64) *float64 { return &v }
	return Page{
		About:     "go-libp2p v0.51.0, Linux 6.18, 2 cores.",
		Runs:      runs,
		Kinds:     kinds,
		Punchable: punchable,
		Scenarios: []Scenario{
			{"clean", "EIM/APDF, 120 ms relayed and 80 ms direct round trip."},
			{"rst-asym", "NATs that answer with a RST, near peers, the relay 60 ms slower towards the listener."},
			{"rstkills-asym", "A RST kills the mapping; the relay 60 ms slower towards the dialler."},
			{"loss5", "5 % loss at each site."},
			{Matrix, "All pairs of the matrix."},
		},
		Summary: result.Summary{
			CleanRatio: f(0.53), QUICCleanRatio: f(0.78), RSTAsymRatio: f(0.021), Loss5P50Ratio: f(0.31),
			Success:    result.Success{Punchable: 75, Simopen: 75, DCUtR: 60},
			Population: result.Population{Simopen: f(0.931), DCUtR: f(0.812)},
		},
	}
}

var _ = natlab.SYN
