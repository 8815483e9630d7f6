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
	add(Clean, "x", "x", DCUtRQUIC, true, 400, 410) // too few
	add(RSTAsym, "x", "x", Simopen, true, 240, 240, 240)
	add(RSTAsym, "x", "x", DCUtR, false, 30000, 30000, 30000) // has no ratio
	add(Loss5, "x", "x", Simopen, true, 200, 400, 600, 200, 400)
	add(Loss5, "x", "x", DCUtR, true, 1000, 2000, 3000, 1000, 2000, 3000)
	add(Matrix, "x", "x", Simopen, true, 300, 300)
	add(Matrix, "x", "x", DCUtR, true, 500, 500)
	add(Matrix, "x", "y", Simopen, true, 300, 300)
	add(Matrix, "x", "y", DCUtR, true, 500)
	add(Matrix, "x", "y", DCUtR, false, 20000)
	add(Matrix, "y", "x", Simopen, false, 100, 100)
	add(Matrix, "y", "x", DCUtR, true, 30000, 30000) // beyond the rule, and not counted
	add(Matrix, "y", "y", Simopen, false, 100, 100)
	nats := NATs{
		Kinds:     []string{"x", "y"},
		Punchable: func(a, b string) bool { return a != "y" },
		Shares:    map[string]float64{"x": 0.75, "y": 0.25},
	}
	check := func(want string) {
		t.Helper()
		got, err := json.Marshal(Summarise(runs, []string{Clean, RSTAsym, Loss5}, nats))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	const figures = `{"verdict":"Against DCUtR over TCP, simopen was faster in 2 of 3 networks (2.0 to 5.0 times as fast) ` +
		`and direct where DCUtR was not in 1, and made 2 of 2 workable pairs of NATs direct, where DCUtR made 1.",` +
		`"clean_ratio":0.5,"quic_clean_ratio":null,"rst_asym_ratio":null,"loss5_p50_ratio":0.2,"loss5_p90_ratio":0.17333333333333334,` +
		`"runs":{"clean":3,"quic_clean":2,"rst_asym":3,"loss5":5},"success":{"punchable":2,"simopen":2,"dcutr":1,`
	check(figures + `"runs":2},"population":{"simopen":null,"dcutr":null}}`)

	add(Matrix, "y", "y", DCUtR, false, 30000, 30000)
	// x to x weighs 9, x to y 3, y to x 3, y to y 1.
	check(figures + `"runs":2},"population":{"simopen":0.75,"dcutr":0.84375}}`)
}

func TestSummariseNothing(t *testing.T) {
	got, err := json.Marshal(Summarise(nil, nil, NATs{}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"verdict":"Nothing was compared with DCUtR over TCP.",` +
		`"clean_ratio":null,"quic_clean_ratio":null,"rst_asym_ratio":null,"loss5_p50_ratio":null,"loss5_p90_ratio":null,` +
		`"runs":{"clean":0,"quic_clean":0,"rst_asym":0,"loss5":0},` +
		`"success":{"punchable":0,"simopen":0,"dcutr":0,"runs":0},"population":{"simopen":null,"dcutr":null}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
