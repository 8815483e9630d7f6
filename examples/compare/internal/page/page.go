// Package page writes what a comparison came to as one HTML page, which needs nothing else: no
// network, no font, and no script but for choosing a punch, which is by links without it. The
// verdict comes first, then the figures of each network and of the pairs of NATs, which are a table
// coloured as a heat map. The distributions are charts, and a punch is a ladder diagram drawn from
// what was seen at both NATs.
//
// The charts and colours are by gonum.org/v1/plot, which draws SVG: a page that can be printed, and
// follows the reader's colours. A library that draws in the browser would put a megabyte of script
// into every page.
package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/examples/internal/natwords"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A Page is what the page is about. Parts without data are left out.
type Page struct {
	Runs      []result.Run
	Summary   result.Summary
	NATs      result.NATs
	Scenarios []Scenario // in order; others come after those, without words
	Punches   []Punch
	About     result.About
}

// A Scenario says what the runs of that name were made in.
type Scenario struct {
	Name, Words string
	Path        string // round trips
	A, B        string // the dialler's NAT, and the listener's
}

//go:embed page.html punches.html ladder.html style.css choose.js
var files embed.FS

var page = template.Must(template.New("page.html").
	Funcs(template.FuncMap{"nat": explain}).
	ParseFS(files, "page.html", "punches.html", "ladder.html"))

// explain says in words what the name of a NAT means, or nothing if it is none.
func explain(name string) string {
	b, err := natlab.ParseBehaviour(name)
	if err != nil {
		return ""
	}
	return strings.Join(natwords.Describe(b), "; ")
}

// Write writes the page.
func Write(w io.Writer, p Page) error { return write(w, p, duels(p)) }

func write(w io.Writer, p Page, duels []duel) error {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	script, err := files.ReadFile("choose.js")
	if err != nil {
		return err
	}
	colours, err := heatStyle()
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	view := struct {
		Page
		Style    template.CSS
		Script   template.JS
		Networks []network
		Success  []string
		Legend   []sample
		Pairs    []pairRow
		Matrices []matrix
		Reasons  []reasons
		Impls    []series
		Charts   []chart
		Duels    []duel
	}{
		Page:     p,
		Style:    template.CSS(style) + colours,
		Script:   template.JS(script),
		Networks: networks(p),
		Success:  success(p.Summary),
		Legend:   legend(),
		Reasons:  allReasons(p),
		Duels:    duels,
	}
	if p.NATs.Whole(p.Runs) {
		view.Matrices = matrices(p, view.Duels)
	} else {
		view.Pairs = pairs(p, view.Duels)
	}
	if view.Charts, err = charts(p); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	for _, s := range allSeries {
		if len(runsOf(p.Runs, s.Impl)) > 0 {
			view.Impls = append(view.Impls, s)
		}
	}
	var out bytes.Buffer // so that no reader gets half a page
	if err := page.Execute(&out, view); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	_, err = w.Write(out.Bytes())
	return err
}
