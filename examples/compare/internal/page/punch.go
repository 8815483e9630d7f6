package page

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A Punch is a run with its capture.
type Punch struct {
	Run    result.Run
	Began  time.Time      // when the relayed connection was up; zero: not known
	A, B   *natlab.Host   // the dialler and the listener
	Events []natlab.Event // of the taps of both sites; others' packets may be among them
}

// A duel is the punches of all implementations in one scenario, or of one pair of the matrix: what
// there is to choose from.
type duel struct {
	ID       string
	Name     string // of the scenario, or of the pair
	Words    string // of the scenario
	InMatrix bool
	A, B     string // NATs
	Punches  []punch
}

// duels shows all punches, those of a duel beside each other.
func duels(p Page) (all []duel) {
	for i, together := range p.arrange() {
		r := together[0].Run
		d := duel{ID: fmt.Sprintf("punch-%d", i+1), Name: r.Scenario, A: r.A, B: r.B, InMatrix: r.Scenario == result.Matrix}
		if d.InMatrix {
			d.Name = r.A + " to " + r.B
		} else if i := p.scenarioIndex(r.Scenario); i < len(p.Scenarios) {
			d.Words = p.Scenarios[i].Words
		}
		for i, x := range together {
			d.Punches = append(d.Punches, tellPunch(fmt.Sprintf("%s-%d", d.ID, i+1), x))
		}
		all = append(all, d)
	}
	return all
}

// arrange puts punches of one scenario and pair together, simopen's first. The scenarios come in
// their order, and then the matrix, in the order of its kinds.
func (p Page) arrange() (all [][]Punch) {
	sorted := slices.Clone(p.Punches)
	kind := func(name string) int { return slices.Index(p.NATs.Kinds, name) }
	slices.SortStableFunc(sorted, func(x, y Punch) int {
		a, b := x.Run, y.Run
		return cmp.Or(
			cmp.Compare(p.scenarioIndex(a.Scenario), p.scenarioIndex(b.Scenario)),
			cmp.Compare(a.Scenario, b.Scenario),
			cmp.Compare(kind(a.A), kind(b.A)),
			cmp.Compare(kind(a.B), kind(b.B)),
			cmp.Compare(seriesIndex(a.Impl), seriesIndex(b.Impl)),
		)
	})
	for _, x := range sorted {
		if last := len(all) - 1; last >= 0 && x.sameDuel(all[last][0]) {
			all[last] = append(all[last], x)
		} else {
			all = append(all, []Punch{x})
		}
	}
	return all
}

func (x Punch) sameDuel(y Punch) bool {
	return x.Run.Scenario == y.Run.Scenario && x.Run.A == y.Run.A && x.Run.B == y.Run.B
}

// scenarioIndex returns the place of a scenario: those that are not known come after those that
// are, and the matrix is the last.
func (p Page) scenarioIndex(name string) int {
	i := slices.IndexFunc(p.Scenarios, func(s Scenario) bool { return s.Name == name })
	switch {
	case name == result.Matrix:
		return len(p.Scenarios) + 1
	case i < 0:
		return len(p.Scenarios)
	}
	return i
}

// A punch is one for the template.
type punch struct {
	ID      string
	Run     result.Run
	Name    string // of the implementation
	Outcome string
	Opening string
	Ladder  *ladder // nil if no packet was seen
	Rows    []row
}

// A row is a packet in the table beside a ladder. Times are in ms, as in the ladder.
type row struct {
	Left, Arrived string
	What          string
	From, To      string // stations
	Src, Dst      string
	Fate          string
	Hidden        string // instead of all that: what is left out
}

// tellPunch shows a punch, as a picture and as a table.
func tellPunch(id string, p Punch) punch {
	told := punch{ID: id, Run: p.Run, Name: name(p.Run.Impl), Outcome: outcome(p.Run)}
	s := tell(pair(p.A, p.B, p.Events))
	if len(s.shown) == 0 {
		told.Opening = "No packet went between the two peers."
		return told
	}
	if !p.Began.IsZero() {
		s.mark(p.Run, p.Began)
	}
	l := drawLadder(s, addresses(p.A, p.B))
	told.Opening, told.Ladder, told.Rows = opening(s), &l, rows(s)
	return told
}

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
		return fmt.Sprintf("A one-sided open: the %s’s packets were let in, and answered.", s.opener.peer())
	}
	return "No connection came of it."
}

func rows(s story) []row {
	var all []row
	for i, j := range s.shown {
		if h := s.hidden[i]; len(h) > 0 {
			all = append(all, row{Hidden: tally(h)})
		}
		r := row{
			Left: sinceZero(j.left, s.zero), What: j.String(),
			From: j.from.String(), To: j.to.String(),
			Src: j.src.String(), Dst: j.dst.String(),
			Fate: fateWord(j),
		}
		if !j.flying {
			r.Arrived = sinceZero(j.arrived, s.zero)
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
