package main

import (
	"math"
	"slices"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// allMeasurements returns all measurements of a plan.
func allMeasurements(steps []step) (all []*measurement) {
	for _, s := range steps {
		all = append(all, s.measurements...)
	}
	return all
}

func TestFullPlan(t *testing.T) {
	var o options
	all := allMeasurements(o.plan())
	count := func(scenario string, impl result.Impl) (n int) {
		for _, m := range all {
			if m.scenario.name == scenario && m.impl == impl {
				n++
			}
		}
		return n
	}
	for _, impl := range overTCP {
		if n := count(result.Matrix, impl); n != 100*matrixRuns {
			t.Errorf("%d measurements of %s in the matrix, want %d", n, impl, 100*matrixRuns)
		}
		for _, s := range rough {
			if n := count(s.name, impl); n != s.runs || n == 0 {
				t.Errorf("%d measurements of %s in %s, want %d", n, impl, s.name, s.runs)
			}
		}
	}
	if count(result.Clean, result.DCUtRQUIC) == 0 {
		t.Error("clean without QUIC")
	}
	var order []result.Impl
	for _, m := range all[:6] {
		order = append(order, m.impl)
	}
	if want := append(slices.Clone(andQUIC), andQUIC...); !slices.Equal(order, want) {
		t.Errorf("begins with %s, want %s", order, want)
	}
}

// TestQuickPlan: each kind once on each side, and enough runs of both for the summary's ratios.
func TestQuickPlan(t *testing.T) {
	o := options{quick: true}
	seen := make(map[[2]string]int)
	for _, m := range allMeasurements(o.plan()) {
		seen[[2]string{m.scenario.name, string(m.impl)}]++
		if m.scenario.name == result.Matrix && m.impl == result.Simopen {
			seen[[2]string{"dialler", m.scenario.a.String()}]++
			seen[[2]string{"listener", m.scenario.b.String()}]++
		}
	}
	for _, side := range []string{"dialler", "listener"} {
		for _, k := range kinds {
			if n := seen[[2]string{side, k}]; n != 1 {
				t.Errorf("%d times %s as %s, want 1", n, k, side)
			}
		}
	}
	for scenario, want := range map[string]int{
		result.Clean: result.MedianRuns, result.RSTAsym: result.MedianRuns, result.Loss5: result.P90Runs, result.Matrix: len(kinds),
	} {
		for _, impl := range overTCP {
			if n := seen[[2]string{scenario, string(impl)}]; n != want {
				t.Errorf("%d measurements of %s in %s, want %d", n, impl, scenario, want)
			}
		}
	}
	if n := seen[[2]string{result.Clean, string(result.DCUtRQUIC)}]; n != result.MedianRuns {
		t.Errorf("%d measurements of QUIC in clean, want %d", n, result.MedianRuns)
	}
}

func TestOnly(t *testing.T) {
	only, err := splitOnly("clean, loss5")
	if err != nil {
		t.Fatal(err)
	}
	o := options{only: only, runs: 2}
	for _, m := range allMeasurements(o.plan()) {
		if n := m.scenario.name; n != result.Clean && n != result.Loss5 {
			t.Errorf("%s was not asked for", n)
		}
	}
	if n := len(allMeasurements(o.plan())); n != 2*2*3 {
		t.Errorf("%d measurements, want 2 of each of 3 implementations in 2 scenarios", n)
	}
	if _, err := splitOnly("clean,dirty"); err == nil {
		t.Error("there is no scenario dirty")
	}
}

// TestPunchable: of the 100 pairs those cannot work in which both sides let no bare SYN in, or in
// which one side has random ports and no filter lets in any address or any port.
func TestPunchable(t *testing.T) {
	n := 0
	for _, p := range allPairs() {
		if punchable(p.A, p.B) != punchable(p.B, p.A) {
			t.Errorf("%s and %s: the order matters", p.A, p.B)
		}
		if punchable(p.A, p.B) {
			n++
		}
	}
	if n != 86 {
		t.Errorf("%d pairs can work, want 86", n)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"eim-apdf-rst", "apdm-apdf-sequential", true},
		{"public", "apdm-apdf-random", true},
		{"eim-adf", "apdm-apdf-random", true},
		{"eim-apdf", "apdm-apdf-random", false},
		{"apdm-apdf-overload", "apdm-apdf-random", false},
		{"apdm-apdf-random", "apdm-apdf-random", false},
		{"eim-apdf-nosyn", "eim-eif", true},
		{"eim-apdf-nosyn", "eim-apdf-nosyn", false},
		{"eim-eif-nosyn", "apdm-apdf-random", false},
	} {
		if got := punchable(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

// TestPopulation: each kind has a share and says how that is known, and all is one.
func TestPopulation(t *testing.T) {
	p, err := readPopulation()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, k := range p.Kinds {
		sum += k.Share
		if k.Source == "" || k.Basis == "" || !slices.Contains(kinds, k.NAT) {
			t.Errorf("%+v is none of the matrix's kinds, or says not how it is known", k)
		}
	}
	if len(p.Kinds) != len(kinds) || math.Abs(sum-1) > 1e-9 {
		t.Errorf("%d kinds of %d, in sum %v", len(p.Kinds), len(kinds), sum)
	}
	if len(p.shares()) != len(kinds) {
		t.Error("a kind is there twice")
	}
}
