package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// printed returns what a person sees at the end.
func printed(t *testing.T, runs []result.Run) string {
	t.Helper()
	people, err := readPopulation()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := options{quick: true, seed: 7, args: []string{"-quick", "-html", "a page.html"}}
	v := newView(&out, io.Discard, len(runs), 0)
	v.end(runs, result.Summarise(runs, roughNames(), nats(people)), nats(people), o.about())
	return out.String()
}

// madeUp returns runs of each implementation in a scenario.
func madeUp(scenario, a, b string, simopen, dcutr float64, n int) (runs []result.Run) {
	for i := range n {
		for impl, ms := range map[result.Impl]float64{result.Simopen: simopen, result.DCUtR: dcutr} {
			runs = append(runs, result.Run{Scenario: scenario, A: a, B: b, Impl: impl, Run: i + 1, OK: ms > 0, Millis: max(ms, 16000)})
			if ms > 0 {
				runs[len(runs)-1].Millis = ms
			}
		}
	}
	return runs
}

func TestPrintedQuick(t *testing.T) {
	runs := madeUp("clean", "eim-apdf", "eim-apdf", 300, 600, 3)
	runs = append(runs, madeUp("loss5", "eim-apdf", "eim-apdf", 400, 1600, 5)...)
	runs = append(runs, madeUp("near", "eim-apdf", "eim-apdf", 400, 1600, 1)...)
	runs = append(runs, madeUp("rst-asym", "eim-apdf", "eim-apdf", 250, 0, 3)...)
	runs = append(runs, madeUp(result.Matrix, "eim-eif", "eim-apdf-rst", 290, 0, 1)...)
	runs = append(runs, madeUp(result.Matrix, "apdm-apdf-random", "apdm-apdf-random", 0, 0, 1)...)
	out := printed(t, runs)
	if !strings.HasPrefix(strings.TrimSpace(out), "verdict   Against DCUtR over TCP, simopen was faster in 2 of 3 networks") {
		t.Errorf("the verdict is not the first: %s", out)
	}
	for _, want := range []string{
		"0.50 (3)", "0.25, of p90 0.25 (5)", "too few runs (1)", "none (3)",
		"round trip 80 ms direct, 120 ms relayed\n",
		"eim-eif                 eim-apdf-rst                 290        -\n",
		"apdm-apdf-random        apdm-apdf-random               x        x\n",
		"of 1 pairs that can work", "1 run of each",
		"refuses other SYNs with a RST\n",
		"command   compare -quick -html 'a page.html'\nseed      7\ndelays ", "\nversions  simopen ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for l := range strings.Lines(out) {
		if utf8.RuneCountInString(l) > 101 {
			t.Errorf("a line of %d columns: %s", utf8.RuneCountInString(l), l)
		}
	}
	if strings.Contains(out, "weighted") {
		t.Error("two pairs are weighted as if they were all")
	}
}

func TestPrintedWhole(t *testing.T) {
	var runs []result.Run
	for _, p := range allPairs() {
		dcutr := 600.0
		if !punchable(p.A, p.B) || p.A == "apdm-apdf-sequential" {
			dcutr = 0
		}
		runs = append(runs, madeUp(result.Matrix, p.A, p.B, 300, dcutr, 1)...)
	}
	out := printed(t, runs)
	for _, want := range []string{
		"verdict   simopen made 86 of 86 workable pairs", " 1 public                 simopen     300", "\nweighted  by how often",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
