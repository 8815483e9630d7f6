package page

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/html"

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
		About:     "go-libp2p v0.51.0, Linux 6.18, 2 cores.",
		Runs:      runs,
		Kinds:     kinds,
		Punchable: punchable,
		Scenarios: []Scenario{
			{"clean", "EIM/APDF, 120 ms relayed and 80 ms direct round trip."},
			{"rst-asym", "NATs that answer with a RST, near peers, the relay 60 ms slower towards the listener."},
			{"rstkills-asym", "A RST kills the mapping; the relay 60 ms slower towards the dialler."},
			{"loss5", "5 % loss at each site."},
			{result.Matrix, "All pairs of the matrix."},
		},
		Summary: result.Summary{
			CleanRatio: f(0.53), QUICCleanRatio: f(0.78), RSTAsymRatio: f(0.021), Loss5P50Ratio: f(0.31),
			Success:    result.Success{Punchable: 75, Simopen: 75, DCUtR: 60},
			Population: result.Population{Simopen: f(0.931), DCUtR: f(0.812)},
		},
	}
}

func TestWrite(t *testing.T) {
	p := madeUp()
	var out bytes.Buffer
	if err := Write(&out, p); err != nil {
		t.Fatal(err)
	}
	doc := parse(t, out.String())
	checkSelfContained(t, doc)
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
	if got := len(all(doc, "svg", "class", "chart")); got != len(p.Scenarios) {
		t.Errorf("%d charts, want %d", got, len(p.Scenarios))
	}
	for _, want := range []string{"0.53", "1.9 times as fast", "75 of 75", "80 % of the pairs", "93.1 %", "not measured"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("no %q", want)
		}
	}
	if all(doc, "script", "", "") != nil {
		t.Error("a script without punches to choose from")
	}
}

// A reason comes from a peer, and a name may come from a command line.
func TestWriteEscapes(t *testing.T) {
	const evil = `"'><script>alert(1)</script><img src=x onerror=alert(1)></title></style>{{.}}`
	p := Page{
		About: evil,
		Kinds: []string{evil},
		Runs: []result.Run{
			{Scenario: result.Matrix, A: evil, B: evil, Impl: result.Simopen, Reason: evil},
			{Scenario: evil, A: evil, B: evil, Impl: result.DCUtR, Reason: evil},
		},
		Scenarios: []Scenario{{evil, evil}},
	}
	var out bytes.Buffer
	if err := Write(&out, p); err != nil {
		t.Fatal(err)
	}
	doc := parse(t, out.String())
	checkSelfContained(t, doc)
	for _, tag := range []string{"script", "img"} {
		if all(doc, tag, "", "") != nil {
			t.Errorf("%s has come through", tag)
		}
	}
	if n := strings.Count(text(doc), evil); n < 5 {
		t.Errorf("the words are there %d times", n)
	}
}

func TestWriteNothing(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, Page{}); err != nil {
		t.Fatal(err)
	}
	if got := text(parse(t, out.String())); strings.Count(got, notMeasured) != len(figures(result.Summary{})) {
		t.Errorf("got %q", got)
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
		{nil, true, cell{Class: "none", Text: "·", Words: notMeasured}},
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

// parse reads a page, and checks what goes for all of them.
func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for n := range doc.Descendants() {
		if id := attr(n, "id"); ids[id] && id != "" {
			t.Errorf("id %q twice", id)
		}
		ids[attr(n, "id")] = true
	}
	for _, svg := range all(doc, "svg", "role", "img") {
		for _, id := range strings.Fields(attr(svg, "aria-labelledby")) {
			if text(byID(t, doc, id)) == "" {
				t.Errorf("%s is empty", id)
			}
		}
	}
	return doc
}

// checkSelfContained checks that nothing would be fetched from elsewhere.
func checkSelfContained(t *testing.T, doc *html.Node) {
	t.Helper()
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			switch a.Key {
			case "src", "srcset", "data", "action":
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			case "style":
				if strings.Contains(a.Val, "url(") {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
			case "href":
				if !strings.HasPrefix(a.Val, "#") {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
			}
		}
		if n.Type == html.ElementNode && (n.Data == "link" || n.Data == "iframe" || n.Data == "image") {
			t.Errorf("<%s>", n.Data)
		}
		if n.Type == html.ElementNode && n.Data == "style" &&
			(strings.Contains(text(n), "url(") || strings.Contains(text(n), "@import")) {
			t.Error("the style sheet asks for others")
		}
	}
}

// all returns the elements of a name, with an attribute unless key is empty, of that value unless
// that is empty.
func all(doc *html.Node, name, key, value string) (some []*html.Node) {
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == name &&
			(key == "" || attr(n, key) != "" && (value == "" || attr(n, key) == value)) {
			some = append(some, n)
		}
	}
	return some
}

func byID(t *testing.T, doc *html.Node, id string) *html.Node {
	t.Helper()
	for n := range doc.Descendants() {
		if attr(n, "id") == id {
			return n
		}
	}
	t.Fatalf("nothing has the id %q", id)
	return nil
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
