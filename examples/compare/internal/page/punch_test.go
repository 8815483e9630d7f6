package page

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// The scenarios come in their order and then the pairs in theirs, whenever they were run, and each
// with simopen first.
func TestArrange(t *testing.T) {
	p := Page{Scenarios: []Scenario{{Name: "clean"}, {Name: "near"}}, NATs: result.NATs{Kinds: kinds}}
	for _, r := range []struct {
		impl           result.Impl
		scenario, a, b string
	}{
		{result.DCUtR, result.Matrix, "eim-eif", "public"},
		{result.Simopen, "unknown", "x", "x"},
		{result.Simopen, result.Matrix, "public", "eim-apdf"},
		{result.DCUtR, "near", "eim-apdf-rst", "eim-apdf-rst"},
		{result.DCUtRQUIC, "clean", "eim-apdf", "eim-apdf"},
		{result.Simopen, result.Matrix, "eim-eif", "public"},
		{result.DCUtR, "clean", "eim-apdf", "eim-apdf"},
		{result.Simopen, "clean", "eim-apdf", "eim-apdf"},
		{result.Simopen, "near", "eim-apdf-rst", "eim-apdf-rst"},
		{result.DCUtR, result.Matrix, "public", "eim-apdf"},
	} {
		p.Punches = append(p.Punches, Punch{Run: result.Run{Impl: r.impl, Scenario: r.scenario, A: r.a, B: r.b}})
	}
	var got []string
	for _, together := range p.arrange() {
		r := together[0].Run
		line := r.Scenario
		if line == result.Matrix {
			line = r.A + " to " + r.B
		}
		for _, x := range together {
			line += " " + string(x.Run.Impl)
		}
		got = append(got, line)
	}
	want := []string{
		"clean simopen dcutr dcutr-quic",
		"near simopen dcutr",
		"unknown simopen",
		"public to eim-apdf simopen dcutr",
		"eim-eif to public simopen dcutr",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// All punches can be reached by the selector, by its buttons, and by links without a script.
func TestChoose(t *testing.T) {
	duels := []duel{
		{ID: "punch-1", Name: "clean", Words: "nothing is lost", Punches: []punch{{ID: "punch-1-1", Name: "simopen"}, {ID: "punch-1-2", Name: "DCUtR"}}},
		{ID: "punch-2", Name: "public to eim-eif", InMatrix: true, A: "public", B: "eim-eif", Punches: []punch{{ID: "punch-2-1", Name: "simopen"}}},
	}
	doc := written(t, Page{}, duels)
	var options []string
	for _, o := range all(doc, "option", "", "") {
		options = append(options, attr(o, "value"))
	}
	if want := []string{"punch-1", "punch-2"}; !slices.Equal(options, want) {
		t.Errorf("options %q, want %q", options, want)
	}
	nav := all(doc, "nav", "", "")[0]
	if n := len(all(nav, "button", "type", "button")); n != 2 {
		t.Errorf("%d buttons, want 2", n)
	}
	if labels := all(nav, "label", "", ""); len(labels) != 1 || all(labels[0], "select", "", "") == nil {
		t.Error("the list has no label")
	}
	if noscript := all(doc, "noscript", "", ""); len(noscript) != 1 || strings.Count(inner(noscript[0]), "#punch-") != 2 {
		t.Error("no links for browsers without scripts")
	}
	if n := len(all(byID(t, doc, "punch-1"), "section", "class", "punch")); n != 2 {
		t.Errorf("%d punches side by side, want 2", n)
	}
}

// inner returns the text of an element, which for noscript is markup.
func inner(n *html.Node) string {
	var b strings.Builder
	for c := range n.ChildNodes() {
		_ = html.Render(&b, c) // a strings.Builder takes everything
	}
	return b.String()
}
