package page

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

var pageFile = flag.String("page", "", "write a page of made-up runs and real punches to this `file`, to look at in a browser")

// Ladders of real punches, of which each has something that others have not.
func TestWritePunches(t *testing.T) {
	t.Parallel()
	p := madeUp()
	configs := []punchConfig{
		{a: "eim-apdf", b: "eim-apdf", scenario: result.Matrix, impl: result.Simopen},
		{a: "eim-apdf", b: "eim-apdf-rst", scenario: result.Matrix, impl: result.Simopen, refusals: 1},
		{a: "public", b: "eim-apdf-random", scenario: "ports", impl: result.DCUtR, refusals: 1},
		{a: "eim-apdf-rst", b: "eim-apdf-rst", scenario: "slow-start", impl: result.Simopen, refusals: 12},
		{a: "eim-apdf-icmp", b: "eim-apdf-icmp", scenario: "icmp", impl: result.DCUtR, refusals: 2},
		{a: "eim-apdf", b: "eim-apdf", scenario: "loss", impl: result.Simopen, losses: 2},
		{a: "eim-apdf-nosyn", b: "eim-apdf-rst-nosyn", scenario: "hopeless", impl: result.Simopen, window: time.Second},
	}
	p.Punches = make([]Punch, len(configs))
	t.Run("capture", func(t *testing.T) {
		for i, cfg := range configs {
			t.Run(cfg.a+" and "+cfg.b, func(t *testing.T) {
				t.Parallel()
				p.Punches[i] = capture(t, cfg)
			})
		}
	})
	if t.Failed() {
		return
	}
	var out bytes.Buffer
	if err := Write(&out, p); err != nil {
		t.Fatal(err)
	}
	if *pageFile != "" {
		if err := os.WriteFile(*pageFile, out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	doc := parse(t, out.String())
	checkSelfContained(t, doc)
	ladders := all(doc, "svg", "class", "ladder")
	if len(ladders) != len(p.Punches) {
		t.Fatalf("%d ladders of %d punches", len(ladders), len(p.Punches))
	}
	for duel, want := range map[string]string{
		"eim-apdf to eim-apdf":     "SYN+ACK 4001→4001",
		"eim-apdf to eim-apdf-rst": "refused",
		"ports":                    ":4001",
		"slow-start":               "more: ",
		"icmp":                     "ICMP 4001→4001",
		"loss":                     "lost",
		"hopeless":                 "No connection came of it.",
	} {
		found := false
		for _, d := range all(doc, "article", "", "") {
			if text(all(d, "h3", "", "")[0]) == duel {
				found = true
				if got := text(d); !strings.Contains(got, want) {
					t.Errorf("%s: no %q in %q", duel, want, got)
				}
			}
		}
		if !found {
			t.Errorf("no punches of %s", duel)
		}
	}
	links := 0
	for _, a := range all(doc, "a", "", "") {
		if id, ok := strings.CutPrefix(attr(a, "href"), "#"); ok && a.Parent.Data == "td" {
			byID(t, doc, id)
			links++
		}
	}
	if links != 4 {
		t.Errorf("%d cells lead to two ladders, want 2 of each implementation", links)
	}
}

// What a ladder says of time is so: further down is later, and labels keep apart.
func TestLadderOfCapture(t *testing.T) {
	t.Parallel()
	p := capture(t, punchConfig{a: "eim-apdf-rst", b: "eim-apdf-rst", refusals: 12})
	s := tell(pair(p.A, p.B, p.Events))
	if len(s.hidden) == 0 {
		t.Error("a dozen refused SYNs are shown in full")
	}
	checkLadder(t, s, p)
}

func checkLadder(t *testing.T, s story, p Punch) {
	t.Helper()
	var l ladder
	y, bottom := l.clock(s)
	last := [2]map[float64]bool{{}, {}}
	for _, j := range s.shown {
		if y.departure(j) < headHeight || j.crossed() && (y.arrival(j) <= y.departure(j) || y.arrival(j) > bottom) {
			t.Errorf("from %v to %v of %v: %s", y.departure(j), y.arrival(j), bottom, describe(j, j.left))
		}
		last[j.sender()][y.departure(j)] = true
		if j.crossed() {
			last[1-j.sender()][y.arrival(j)] = true
		}
	}
	for side, ys := range last {
		for y1 := range ys {
			for y2 := range ys {
				if d := y2 - y1; d > 0 && d < lineHeight-0.01 {
					t.Errorf("side %d: %v and %v are too close", side, y1, y2)
				}
			}
		}
	}
	drawn := drawLadder(s, addresses(p.A, p.B))
	if len(drawn.Arrows) != len(s.shown) || len(drawn.Lifelines) != 4 {
		t.Errorf("%d arrows of %d packets, %d lifelines", len(drawn.Arrows), len(s.shown), len(drawn.Lifelines))
	}
	for i, a := range drawn.Arrows {
		if (a.Head != "") != s.shown[i].came() || (a.Head == "") == (a.Cross == "" && !s.shown[i].flying) {
			t.Errorf("head %q, cross %q: %s", a.Head, a.Cross, a.Title)
		}
	}
	checkLabels(t, drawn)
}
