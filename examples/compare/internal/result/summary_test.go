package result

import (
	"encoding/json"
	"testing"
)

func TestSummarise(t *testing.T) {
	var runs []Run
	add := func(scenario, a, b string, impl Impl, ok bool, ms ...float64) {
		for i, m := range ms {
			runs = append(runs, Run{Scenario: scenario, A: a, B: b, Impl: impl, Run: i + 1, OK: ok, Millis: m})
		}
	}
	add(Clean, "x", "x", Simopen, true, 300, 280, 290)
	add(Clean, "x", "x", DCUtR, true, 580, 600, 560)
	add(Clean, "x", "x", DCUtRQUIC, true, 400)
	add(RSTAsym, "x", "x", Simopen, true, 240)
	add(RSTAsym, "x", "x", DCUtR, false, 30000) // has no ratio
	add(Loss5, "x", "x", Simopen, true, 200, 400)
	add(Loss5, "x", "x", DCUtR, true, 1000, 2000)
	add(Matrix, "x", "x", Simopen, true, 300, 300)
	add(Matrix, "x", "x", DCUtR, true, 500, 500)
	add(Matrix, "x", "y", Simopen, true, 300, 300)
	add(Matrix, "x", "y", DCUtR, true, 500)
	add(Matrix, "x", "y", DCUtR, false, 20000)
	add(Matrix, "y", "y", Simopen, false, 100)
	add(Matrix, "y", "y", DCUtR, false, 30000)

	s := Summarise(runs, func(a, b string) bool { return a != "y" }, map[string]float64{"x": 0.75, "y": 0.25})
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	// x to x weighs 9, x to y 3, y to y 1.
	const want = `{"clean_ratio":0.5,"quic_clean_ratio":0.725,"rst_asym_ratio":null,` +
		`"loss5_p50_ratio":0.2,"loss5_p90_ratio":0.2,` +
		`"success":{"punchable":2,"simopen":2,"dcutr":1},` +
		`"population":{"simopen":0.9230769230769231,"dcutr":0.8076923076923077}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSummariseNothing(t *testing.T) {
	got, err := json.Marshal(Summarise(nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"clean_ratio":null,"quic_clean_ratio":null,"rst_asym_ratio":null,` +
		`"loss5_p50_ratio":null,"loss5_p90_ratio":null,` +
		`"success":{"punchable":0,"simopen":0,"dcutr":0},"population":{"simopen":null,"dcutr":null}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
