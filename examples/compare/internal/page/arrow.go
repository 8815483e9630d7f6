package page

import (
	"fmt"
	"math"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

const (
	// stub is how far a packet that is lost goes, as a share of the way between the NATs.
	stub = 0.16
	// labelGap is from a lifeline to the label of what leaves it.
	labelGap = 7
)

// An arrow is a packet in a ladder.
type arrow struct {
	Class string // of its kind
	Line  string // an SVG path
	Head  string // the same, closed; empty if it did not arrive
	Cross string // where it ended instead
	Title string // all about it
}

// drawArrow draws a journey. A journey of a connection that did not come up is drawn faintly.
func drawArrow(j *journey, y heights, zero time.Time, faded bool) arrow {
	a := arrow{Class: arrowClass(j.kind, faded), Title: describe(j, zero)}
	points := route(j, y)
	a.Line = line(points)
	if j.came() {
		a.Head = head(points)
	} else if !j.flying {
		a.Cross = cross(points[len(points)-1])
	}
	return a
}

// route returns the points that a journey's line passes.
func route(j *journey, y heights) []point {
	from := j.sender()
	nat, far := point{stationX[from.nat()], y.departure(j)}, stationX[(1-from).nat()]
	points := []point{{stationX[j.from], y.departure(j)}}
	if j.from != from.nat() {
		points = append(points, nat)
	}
	switch {
	case j.crossed() && j.fate == natlab.Lost:
		points = append(points, between(nat, point{far, y.arrival(j)}, 1-stub/2))
	case j.crossed():
		points = append(points, point{far, y.arrival(j)})
		if j.to == (1 - from).peer() {
			points = append(points, point{stationX[j.to], y.arrival(j)})
		}
	case j.lostLeaving || j.flying:
		points = append(points, point{nat.x + rightward(from)*wanWidth*stub, nat.y + lineHeight/2})
	}
	return points
}

// rightward returns 1 if what a side sends goes to the right, and -1 otherwise.
func rightward(from side) float64 {
	if from == sideA {
		return 1
	}
	return -1
}

// labelsOf returns the labels of a journey, each as candidates of which the first that has room is
// taken.
func labelsOf(j *journey, y heights, faded bool) [][]label {
	all := [][]label{kindLabels(j, y, faded)}
	from := j.sender()
	note := func(s side, text string, y float64) { all = append(all, []label{besideNAT(s, text, y)}) }
	if j.from == from.peer() && j.kind.opens() && j.innerSrc.Port() != j.src.Port() {
		note(from, fmt.Sprintf(":%d", j.innerSrc.Port()), y.departure(j))
	}
	switch {
	case !j.crossed():
	case j.came():
		if j.kind.opens() && j.innerDst.Port() != j.dst.Port() {
			note(1-from, fmt.Sprintf(":%d", j.innerDst.Port()), y.arrival(j))
		}
	default:
		note(1-from, fateWord(j), y.arrival(j))
	}
	return all
}

// kindLabels returns where a journey's name may stand: along its line, from where it leaves the
// NAT; if need be without the ports.
func kindLabels(j *journey, y heights, faded bool) (all []label) {
	nat := point{stationX[j.sender().nat()], y.departure(j)}
	right := rightward(j.sender())
	l := label{Class: "kind " + arrowClass(j.kind, faded), Text: j.String(), End: right < 0}
	if !j.crossed() {
		l.Text += " " + fateWord(j)
	}
	if j.kind.opens() && (j.crossed() || j.lostLeaving || j.flying) {
		l.Ports = fmt.Sprintf("%d→%d", j.src.Port(), j.dst.Port())
	}
	forms := []label{l.measured(false)}
	if l.Ports != "" {
		l.Ports = ""
		forms = append(forms, l.measured(false))
	}
	for _, l := range forms {
		switch {
		case j.crossed():
			all = append(all, l.along(nat, point{stationX[(1 - j.sender()).nat()], y.arrival(j)})...)
		case j.lostLeaving || j.flying:
			all = append(all, l.at(nat.x+right*(labelGap+wanWidth*stub), nat.y+lineHeight/2+3))
		default: // its own NAT has dropped it
			all = append(all, l.at(nat.x+right*labelGap, nat.y+3))
		}
	}
	return all
}

func (l label) at(x, y float64) label {
	l.X, l.Y = px(x), px(y)
	return l
}

// along returns a label at several places on a line: below it and above it, from the beginning on.
func (l label) along(from, to point) (all []label) {
	const (
		step         = 12
		below, above = 10, -3 // of the line to the text's base
	)
	right := math.Copysign(1, to.x-from.x)
	turn := math.Atan((to.y - from.y) / (to.x - from.x))
	sin, cos := math.Sincos(turn)
	l.Turn = px(turn * 180 / math.Pi)
	length := math.Hypot(to.x-from.x, to.y-from.y)
	for at := labelGap / cos; at+float64(l.Width) < length-labelGap; at += step {
		for _, off := range []float64{below, above} {
			all = append(all, l.at(from.x+right*at*cos-off*sin, from.y+right*at*sin+off*cos))
		}
	}
	return all
}

// besideNAT returns a label between a NAT and its peer.
func besideNAT(s side, text string, y float64) label {
	l := label{Class: "note", X: px(stationX[s.nat()] + labelGap), Y: px(y + 3), Text: text}
	if s == sideA {
		l.X, l.End = px(stationX[s.nat()]-labelGap), true
	}
	if text[0] == ':' {
		l.Y = px(y - 2) // above the line, which goes on there
	}
	return l.measured(true)
}

// describe says all about a journey in one sentence.
func describe(j *journey, zero time.Time) string {
	text := fmt.Sprintf("%s from %s to %s, sent by the %s at %s ms", j, j.src, j.dst, j.from, sinceZero(j.left, zero))
	switch {
	case j.flying:
		return text + ", under way at the end of the capture"
	case j.came():
		return fmt.Sprintf("%s, at the %s at %s ms", text, j.to, sinceZero(j.arrived, zero))
	case j.reason != "":
		return fmt.Sprintf("%s, %s at the %s at %s ms (%s)", text, fateWord(j), j.to, sinceZero(j.arrived, zero), j.reason)
	}
	return fmt.Sprintf("%s, %s at the %s at %s ms", text, fateWord(j), j.to, sinceZero(j.arrived, zero))
}

// arrowClass returns the classes of a kind in the style sheet.
func arrowClass(k kind, faded bool) string {
	class := "use"
	switch k {
	case kindSYN:
		class = "syn"
	case kindSYNACK:
		class = "synack"
	case kindRST, kindICMP:
		class = "refusal"
	}
	if faded {
		class += " faded"
	}
	return class
}
