// Package page writes what a comparison came to as one HTML page, which needs nothing else: no
// network, no font, and no script but for the list of punches to choose from, which is of links
// without it. The time that each pair of NATs took is a table coloured as a heat map, the
// distributions are charts, and a punch is a ladder diagram drawn from what was seen at both NATs.
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
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A Page is what the page is about. Parts without data are left out.
type Page struct {
	About     string // when, where, and which versions: one line
	Runs      []result.Run
	Summary   result.Summary
	Kinds     []string               // the matrix's NATs, in the order of rows and columns
	Punchable func(a, b string) bool // whether a pair of NATs can work at all; nil if all can
	Scenarios []Scenario             // in order; others come after those, without Words
	Punches   []Punch
}

// A Scenario says in a sentence what the runs of that name were made in.
type Scenario struct{ Name, Words string }

// A Punch is a run with its capture.
type Punch struct {
	Run    result.Run
	A, B   *natlab.Host   // the dialler and the listener
	Events []natlab.Event // of the taps of both sites; others' packets may be among them
}

//go:embed page.html ladder.html style.css
var files embed.FS

var page = template.Must(template.New("page.html").ParseFS(files, "page.html", "ladder.html"))

// Write writes the page.
func Write(w io.Writer, p Page) error {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	colours, err := heatStyle()
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	view := struct {
		Style    template.CSS
		About    string
		Figures  []figure
		Impls    []series
		Legend   []sample
		Matrices []matrix
		Charts   []chart
		Groups   []group
		Punches  []punch
	}{
		Style:   template.CSS(style) + colours,
		About:   p.About,
		Figures: figures(p.Summary),
		Legend:  legend(),
		Punches: punches(p.Punches),
	}
	view.Groups = groups(view.Punches)
	view.Matrices = matrices(p, view.Punches)
	if view.Charts, err = charts(p); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	for _, s := range allSeries {
		if len(runsOf(p.Runs, s.Impl)) > 0 {
			view.Impls = append(view.Impls, s)
		}
	}
	var out bytes.Buffer // so that nobody gets half a page
	if err := page.Execute(&out, view); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// punch is one for the template.
type punch struct {
	ID      string
	Run     result.Run
	Title   string
	Outcome string
	Opening string
	Ladder  ladder
	Rows    []row
}

// row is a packet in the table beside a ladder. Times are in ms since the first packet.
type row struct {
	Left, Arrived string
	What          string
	From, To      string // stations
	Src, Dst      string
	Fate          string
	Hidden        string // instead of all that: what is left out
}

type group struct {
	Name    string
	Punches []punch
}

// punches draws them all.
func punches(all []Punch) []punch {
	var drawn []punch
	for i, p := range all {
		s := tell(pair(p.A, p.B, p.Events))
		if len(s.shown) == 0 {
			continue
		}
		drawn = append(drawn, punch{
			ID:      punchID(i),
			Run:     p.Run,
			Title:   fmt.Sprintf("%s: %s to %s, run %d", name(p.Run.Impl), p.Run.A, p.Run.B, p.Run.Run),
			Outcome: outcome(p.Run),
			Opening: opening(s),
			Ladder:  drawLadder(s, p.A, p.B),
			Rows:    rows(s),
		})
	}
	return drawn
}

func punchID(i int) string { return fmt.Sprintf("punch-%d", i+1) }

func outcome(r result.Run) string {
	took := seconds(r.Millis/1000) + " s"
	switch {
	case r.OK:
		return "direct after " + took
	case r.Reason != "":
		return "not direct after " + took + ": " + r.Reason
	}
	return "not direct after " + took
}

func opening(s story) string {
	switch {
	case s.simultaneous:
		return "A simultaneous open: the SYNs crossed, and both ends answered with SYN+ACK."
	case s.open:
		return fmt.Sprintf("A one-sided open: %s’s packets were let in, and answered.", s.opener.peer())
	}
	return "No connection came of it."
}

func rows(s story) []row {
	var all []row
	begin := s.shown[0].left
	at := func(t time.Time) string { return fmt.Sprintf("%.1f", millis(t.Sub(begin))) }
	for i, j := range s.shown {
		if h := s.hidden[i]; len(h) > 0 {
			all = append(all, row{Hidden: tally(h)})
		}
		r := row{
			Left: at(j.left), What: j.String(),
			From: j.from.String(), To: j.to.String(),
			Src: j.src.String(), Dst: j.dst.String(),
			Fate: fateWord(j),
		}
		if !j.flying {
			r.Arrived = at(j.arrived)
		}
		if j.reason != "" && j.reason != r.Fate {
			r.Fate += " (" + j.reason + ")"
		}
		all = append(all, r)
	}
	if s.after > 0 {
		all = append(all, row{Hidden: fmt.Sprintf("%d more packets of open connections", s.after)})
	}
	return all
}

// groups puts the punches of a scenario together, for choosing one.
func groups(all []punch) []group {
	var gs []group
	at := make(map[string]int)
	for _, p := range all {
		i, ok := at[p.Run.Scenario]
		if !ok {
			i = len(gs)
			at[p.Run.Scenario] = i
			gs = append(gs, group{Name: p.Run.Scenario})
		}
		gs[i].Punches = append(gs[i].Punches, p)
	}
	return gs
}
