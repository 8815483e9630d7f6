package page

import (
	"time"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A mark is an event of a peer.
type mark struct {
	at   time.Time
	side side
	text string
}

const (
	markRelayed = "relayed"
	markDirect  = "direct"
	markGivenUp = "given up"
)

// markClass returns the class of a mark in the style sheet.
func markClass(text string) string {
	switch text {
	case markDirect:
		return "direct"
	case markGivenUp:
		return "refusal"
	}
	return "use"
}

// mark adds what the peers had from a run, which began at a time.
func (s *story) mark(r result.Run, began time.Time) {
	after := func(ms float64) time.Time { return began.Add(time.Duration(ms * float64(time.Millisecond))) }
	s.zero = began
	s.marks = append(s.marks, mark{began, sideA, markRelayed})
	if !r.OK {
		s.marks = append(s.marks, mark{after(r.Millis), sideA, markGivenUp})
		return
	}
	s.marks = append(s.marks, mark{after(r.Millis), sideA, markDirect})
	if r.ListenerMillis > 0 {
		s.marks = append(s.marks, mark{after(r.ListenerMillis), sideB, markDirect})
	}
}

// A dot marks an event of a peer on its lifeline.
type dot struct {
	Class string
	X, Y  px
}

// mark draws a peer's event: a dot on its lifeline, and a word beside it.
func (l *ladder) mark(in instant, y float64) {
	const gap = 5
	x := px(stationX[in.side.peer()])
	t := label{Class: "mark " + markClass(in.mark), X: x + gap, Y: px(y + 3), Text: in.mark}
	if in.side == sideB {
		t.X, t.End = x-gap, true
	}
	l.Dots = append(l.Dots, dot{markClass(in.mark), x, px(y)})
	l.add(t.measured(false))
}
