package page

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

var kinds = []string{
	"public", "eim-eif", "eim-adf", "eim-apdf", "eim-apdf-rst", "eim-apdf-rst-rstkills",
	"apdm-apdf-overload", "apdm-apdf-sequential", "apdm-apdf-random", "eim-apdf-nosyn",
}

// madeUp returns a page with invented runs.
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
				add(result.Matrix, a, b, result.Simopen, 3, 0, 0, 1, "the peer's NAT takes a port that nobody can predict")
				add(result.Matrix, a, b, result.DCUtR, 3, 0, 0, 1, "all 3 attempts failed: context deadline exceeded")
			case hard(a) || hard(b) || a == "eim-apdf-rst-rstkills":
				add(result.Matrix, a, b, result.Simopen, 3, 270, 20, 0.1, "the peer did not answer")
				add(result.Matrix, a, b, result.DCUtR, 3, 20900, 100, 0.4, "all 3 attempts failed: context deadline exceeded")
			default:
				add(result.Matrix, a, b, result.Simopen, 3, 265, 20, 0, "")
				add(result.Matrix, a, b, result.DCUtR, 3, 495, 20, 0, "")
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
		About: result.About{Command: "compare -quick", Seed: 7, Versions: "go-libp2p v0.51.0", Machine: "2 cores, Linux 6.18"},
		Runs:  runs,
		NATs:  result.NATs{Kinds: kinds, Punchable: punchable},
		Scenarios: []Scenario{
			{"clean", "usual NATs, nothing is lost or late", "round trip 80ms direct, 120ms relayed", "eim-apdf", "eim-apdf"},
			{"rst-asym", "the relay is 60 ms slower to the listener", "round trip 8ms direct, 188ms relayed", "eim-apdf-rst", "eim-apdf-rst"},
			{"rstkills-asym", "a RST kills the mapping", "round trip 8ms direct, 188ms relayed", "eim-apdf-rst-rstkills", "eim-apdf-rst-rstkills"},
			{"loss5", "5 % loss at each site", "round trip 80ms direct, 120ms relayed", "eim-apdf", "eim-apdf"},
		},
		Summary: result.Summary{
			Verdict:    "simopen was faster.",
			Success:    result.Success{Punchable: 75, Simopen: 75, DCUtR: 60, Runs: 3},
			Population: result.Population{Simopen: f(0.931), DCUtR: f(0.812)},
		},
	}
}

func TestWrite(t *testing.T) {
	p := madeUp()
	doc := written(t, p, nil)
	for _, id := range []string{"matrix-simopen", "matrix-dcutr"} {
		cells := all(byID(t, doc, id), "td", "title", "")
		if len(cells) != len(kinds)*len(kinds) {
			t.Fatalf("%s: %d cells", id, len(cells))
		}
		for i, c := range cells {
			pair := kinds[i/len(kinds)] + " to " + kinds[i%len(kinds)] + ": "
			if !strings.HasPrefix(attr(c, "title"), pair) || text(c) == "" {
				t.Errorf("%s: cell %q %q, want %q", id, attr(c, "title"), text(c), pair)
			}
		}
	}
	if got := len(all(doc, "svg", "class", "chart")); got != len(p.Scenarios)+1 {
		t.Errorf("%d charts, want %d, and the matrix's", got, len(p.Scenarios))
	}
	for _, want := range []string{
		"10 runs each", "times as fast", "only simopen became direct", "75 direct in every run (100 %)", "60 (80 %)", "3 runs each", "93.1 %",
		"compare -quick", "seed 7", "go-libp2p v0.51.0", "2 cores", "round trip 8ms direct",
		"eim-apdf-rst (one outer port for all destinations; ",
	} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("no %q", want)
		}
	}
	if all(doc, "script", "", "") != nil {
		t.Error("a script without punches to choose from")
	}
}

// What a page begins with: its language, its title, and the verdict.
func TestWriteHead(t *testing.T) {
	doc := written(t, madeUp(), nil)
	if all(doc, "html", "lang", "en") == nil || text(all(doc, "title", "", "")[0]) == "" {
		t.Error("no language, or no title")
	}
	if first := all(doc, "p", "", "")[0]; text(first) != "simopen was faster." {
		t.Errorf("the first paragraph is %q", text(first))
	}
}

// A few pairs are a list, each with the words of its NATs.
func TestWriteFewPairs(t *testing.T) {
	p := madeUp()
	p.Runs = slices.DeleteFunc(p.Runs, func(r result.Run) bool {
		return r.Scenario != result.Matrix || r.A != "eim-eif" && r.A != "apdm-apdf-random" || r.B != "eim-apdf-rst" || r.Run > 1
	})
	p.Summary = result.Summarise(p.Runs, nil, p.NATs)
	duels := []duel{{ID: "punch-1", A: "eim-eif", B: "eim-apdf-rst", InMatrix: true}}
	doc := written(t, p, duels)
	if all(doc, "table", "class", "matrix") != nil {
		t.Error("a matrix of two pairs")
	}
	rows := all(byID(t, doc, "pair-list"), "tr", "", "")[1:]
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2", len(rows))
	}
	for _, r := range rows {
		cells := all(r, "td", "", "")
		if len(cells) != 2 || text(cells[0]) == "" || text(cells[1]) == "" {
			t.Errorf("%q has %d cells", text(r), len(cells))
		}
		if !strings.Contains(text(r), "refuses other SYNs with a RST") {
			t.Errorf("%q does not say what the NAT does", text(r))
		}
	}
	if n := len(all(rows[0], "a", "href", "#punch-1")); n != 2 {
		t.Errorf("%d links to the pair's packets, want 2", n)
	}
	if text := text(doc); !strings.Contains(text, "Of 1 workable pairs") || !strings.Contains(text, "1 run each") {
		t.Errorf("no success over workable pairs in %q", text)
	}
	if all(doc, "table", "class", "figures") != nil {
		t.Error("figures of no network")
	}
}

// A reason comes from a peer, and a name may come from a command line.
func TestWriteEscapes(t *testing.T) {
	const evil = `"'><script>alert(1)</script><img src=x onerror=alert(1)></title></style>{{.}}`
	doc := written(t, Page{
		About: result.About{Command: evil},
		NATs:  result.NATs{Kinds: []string{evil}},
		Runs: []result.Run{
			{Scenario: result.Matrix, A: evil, B: evil, Impl: result.Simopen, Reason: evil},
			{Scenario: evil, A: evil, B: evil, Impl: result.Simopen, Reason: evil},
			{Scenario: evil, A: evil, B: evil, Impl: result.DCUtR, Reason: evil},
		},
		Scenarios: []Scenario{{evil, evil, evil, evil, evil}},
	}, nil)
	for _, tag := range []string{"script", "img"} {
		if all(doc, tag, "", "") != nil {
			t.Errorf("%s has come through", tag)
		}
	}
	if n := strings.Count(text(doc), evil); n < 8 {
		t.Errorf("the words are there %d times", n)
	}
}

func TestWriteNothing(t *testing.T) {
	doc := written(t, Page{}, nil)
	if n := len(all(doc, "section", "", "")); n != 0 {
		t.Errorf("%d sections about nothing", n)
	}
}

// Beside each ratio is how many runs it is drawn from, and fewer than three have none.
func TestFigures(t *testing.T) {
	var runs []result.Run
	add := func(scenario string, impl result.Impl, ok bool, ms ...float64) {
		for _, m := range ms {
			runs = append(runs, result.Run{Scenario: scenario, Impl: impl, OK: ok, Millis: m})
		}
	}
	add("clean", result.Simopen, true, 290, 300, 310)
	add("clean", result.DCUtR, true, 600, 600, 600)
	add("clean", result.DCUtRQUIC, true, 305, 305, 305)
	add("few", result.Simopen, true, 300)
	add("few", result.DCUtR, true, 600, 600, 600)
	add("slow", result.Simopen, true, 600, 600, 600)
	add("slow", result.DCUtR, true, 300, 300, 300)
	add("failed", result.Simopen, false, 1, 1, 1)
	add("failed", result.DCUtR, true, 300, 300, 300)
	add("alone", result.Simopen, true, 300, 300, 300)
	got := networks(Page{Runs: runs})
	want := [][]other{
		{
			{"DCUtR over TCP", figure{"0.60 s", "3 of 3 direct"}, "0.50", "2.0 times as fast", "3 runs each"},
			{"DCUtR over QUIC", figure{"0.30 s", "3 of 3 direct"}, "0.98", "as fast", "3 runs each"},
		},
		{{"DCUtR over TCP", figure{"0.60 s", "3 of 3 direct"}, "", "too few runs: a ratio takes 3 of each", "1 run each"}},
		{{"DCUtR over TCP", figure{"0.30 s", "3 of 3 direct"}, "2.00", "2.0 times as long", "3 runs each"}},
		{{"DCUtR over TCP", figure{"0.30 s", "3 of 3 direct"}, "", "only DCUtR became direct", "3 runs each"}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d networks, want %d", len(got), len(want))
	}
	for i, n := range got {
		if !slices.Equal(n.Others, want[i]) {
			t.Errorf("%s: got %+v, want %+v", n.Name, n.Others, want[i])
		}
	}
	if f := got[3].Simopen; f.Median != "never" || f.Direct != "0 of 3 direct" {
		t.Errorf("simopen failed: got %+v", f)
	}
}

func TestCellOf(t *testing.T) {
	run := func(ok bool, ms float64, reason string) result.Run {
		return result.Run{OK: ok, Millis: ms, Reason: reason}
	}
	for _, tc := range []struct {
		runs      []result.Run
		punchable bool
		want      cell
	}{
		{nil, true, cell{Class: "cannot"}},
		{[]result.Run{run(true, 250, "")}, true, cell{Class: shade(0.25), Text: "0.25", Words: "direct in the one run, after 0.25 s"}},
		{[]result.Run{run(true, 250, ""), run(true, 350, "")}, true,
			cell{Class: shade(0.3), Text: "0.30", Words: "direct in 2 of 2 runs, median 0.30 s"}},
		{[]result.Run{run(false, 30000, "no"), run(true, 350, "")}, true,
			cell{Class: shade(0.35) + " partly", Text: "0.35", Share: "1/2",
				Words: "direct in 1 of 2 runs, median 0.35 s: no (after 30.0 s)"}},
		{[]result.Run{run(false, 30000, "")}, true,
			cell{Class: "fails", Text: "✕", Words: "never direct: no reason given (after 30.0 s)"}},
		{[]result.Run{run(false, 150, "no"), run(false, 150, "no")}, false,
			cell{Class: "cannot", Text: "–", Words: "cannot work, and did not: no (after 0.15 s)"}},
	} {
		if got := cellOf(tc.runs, tc.punchable); got != tc.want {
			t.Errorf("got %+v, want %+v", got, tc.want)
		}
	}
}
