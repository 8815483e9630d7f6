package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// The measures of a ladder, in units that are pixels on a phone's screen. It is as narrow as one,
// so that its text can be read there, and is scaled up elsewhere.
const (
	ladderWidth = 392
	marginWidth = 40 // for times
	lanWidth    = 58 // between a peer and its NAT
	wanWidth    = ladderWidth - 2*marginWidth - 2*lanWidth

	headHeight = 42
	tailHeight = 20
	// lineHeight keeps the labels apart of what happens at one side.
	lineHeight = 14
	// busyHeight is what the time with packets on the way would like to have, and the scale is
	// bounded, in units per ms.
	busyHeight         = 360
	minScale, maxScale = 0.4, 4
	// Where nothing is on the way for longer than quietHeight, it becomes breakHeight.
	quietHeight = 48
	breakHeight = 34
	// stub is how far a packet that is lost goes, as a share of the way between the NATs.
	stub = 0.16
	// labelGap is from a lifeline to the label of what leaves it.
	labelGap = 7
)

var stationX = [...]float64{
	peerA: marginWidth,
	natA:  marginWidth + lanWidth,
	natB:  marginWidth + lanWidth + wanWidth,
	peerB: marginWidth + 2*lanWidth + wanWidth,
}

// A ladder is the picture of a story, for the template.
type ladder struct {
	Width, Height px
	Lifelines     []lifeline
	Times         []label
	Arrows        []arrow
	Breaks        []pause
	Tail          string
	TailY         px
}

// A px is a length or place in the picture.
type px float64

func (p px) String() string { return fmt.Sprintf("%.1f", float64(p)) }

type lifeline struct {
	X, Top, Bottom px
	Class          string
	Name, Address  string
}

type label struct {
	X, Y px
	Turn px // degrees
	Text string
	End  bool // it ends at X, instead of beginning there
}

type arrow struct {
	Class string // of its kind
	Line  string // an SVG path
	Head  string // the same, closed; empty if it did not arrive
	Cross string // where it ended instead
	Title string // all about it
	Kind  label
	Ports string // after the kind
	Notes []label
}

// A pause is where the picture leaves something out.
type pause struct {
	Top, Height, Bottom, Middle px
	Text                        string
}

// drawLadder lays a story out.
func drawLadder(s story, a, b *natlab.Host) ladder {
	l := ladder{Width: ladderWidth}
	y, bottom := l.clock(s)
	l.Height = px(bottom + tailHeight)
	if s.after > 0 {
		l.Height += lineHeight
		l.Tail, l.TailY = fmt.Sprintf("%d more packets of open connections", s.after), px(bottom+tailHeight)
	}
	for st, h := range map[station]*natlab.Host{peerA: a, natA: a, natB: b, peerB: b} {
		line := lifeline{X: px(stationX[st]), Top: headHeight - 6, Bottom: px(bottom + 8), Name: st.String()}
		switch outer := h.Site().External(); {
		case st == peerA || st == peerB:
			line.Class, line.Address = "life", h.Addr().String()
		case outer.IsValid():
			line.Class, line.Address = "wall", outer.String()
		default:
			line.Class, line.Name = "nowall", "no NAT"
		}
		l.Lifelines = append(l.Lifelines, line)
	}
	slices.SortFunc(l.Lifelines, func(p, q lifeline) int { return cmp.Compare(p.X, q.X) })
	for _, j := range s.shown {
		l.Arrows = append(l.Arrows, drawArrow(j, y, s.shown[0].left))
	}
	return l
}

// An instant is when something happens at one side.
type instant struct {
	at      time.Time
	side    side
	departs int // index of the journey that begins, or -1
}

// clock tells how far down each instant is, and how far the last. Time is to scale, but for
// instants that would be too close to read and for quiet ones.
func (l *ladder) clock(s story) (y map[time.Time]float64, bottom float64) {
	var instants []instant
	for i, j := range s.shown {
		instants = append(instants, instant{j.left, j.sender(), i})
		if j.crossed() {
			instants = append(instants, instant{j.arrived, 1 - j.sender(), -1})
		}
	}
	slices.SortStableFunc(instants, func(p, q instant) int { return p.at.Compare(q.at) })
	scale := scaleOf(s.shown, instants)

	y = make(map[time.Time]float64)
	bottom = headHeight + lineHeight/2
	taken := [2]float64{-lineHeight, -lineHeight} // the last instant of each side
	for i, in := range instants {
		if i > 0 {
			bottom = l.advance(s, instants[i-1], in, scale, bottom)
		}
		if _, ok := y[in.at]; !ok { // or it is at the very time of another
			bottom = max(bottom, taken[in.side]+lineHeight)
			y[in.at] = bottom
		}
		if taken[in.side] < y[in.at] {
			taken[in.side] = y[in.at]
			l.time(in, s.shown[0].left, y[in.at])
		}
	}
	return y, bottom
}

// advance returns how far down the time from one instant to the next leads.
func (l *ladder) advance(s story, from, to instant, scale, top float64) float64 {
	height := millis(to.at.Sub(from.at)) * scale
	text := ""
	if to.departs >= 0 && len(s.hidden[to.departs]) > 0 {
		text = tally(s.hidden[to.departs])
	} else if height > quietHeight && quiet(s.shown, from.at, to.at) {
		text = fmt.Sprintf("%.0f ms without a packet", millis(to.at.Sub(from.at)))
	}
	if text == "" {
		return top + height
	}
	const half = 8 // of the box
	middle := px(top + breakHeight/2)
	l.Breaks = append(l.Breaks, pause{middle - half, 2 * half, middle + half, middle + 3, text})
	return top + breakHeight
}

// scaleOf returns how many units a millisecond takes.
func scaleOf(shown []*journey, instants []instant) float64 {
	busy := 0.
	for i := 1; i < len(instants); i++ {
		if !quiet(shown, instants[i-1].at, instants[i].at) {
			busy += millis(instants[i].at.Sub(instants[i-1].at))
		}
	}
	return max(minScale, min(busyHeight/max(busy, 1), maxScale))
}

// quiet reports whether nothing is on the way between two instants that follow each other.
func quiet(shown []*journey, from, to time.Time) bool {
	return !slices.ContainsFunc(shown, func(j *journey) bool {
		return j.crossed() && !j.left.After(from) && !j.arrived.Before(to)
	})
}

func (l *ladder) time(in instant, begin time.Time, y float64) {
	t := label{X: marginWidth - 6, Y: px(y + 3), Text: fmt.Sprintf("%.1f", millis(in.at.Sub(begin))), End: true}
	if in.side == sideB {
		t.X, t.End = ladderWidth-t.X, false
	}
	l.Times = append(l.Times, t)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// drawArrow draws a journey.
func drawArrow(j *journey, y map[time.Time]float64, begin time.Time) arrow {
	a := arrow{Class: arrowClass(j.kind), Title: describe(j, begin)}
	from := j.sender()
	right := 1.0 // or to the left
	if from == sideB {
		right = -1
	}
	nat, far := point{stationX[from.nat()], y[j.left]}, stationX[(1-from).nat()]
	points := []point{{stationX[j.from], y[j.left]}}
	if j.from != from.nat() {
		points = append(points, nat)
		if j.kind.opens() && j.innerSrc.Port() != j.src.Port() {
			a.Notes = append(a.Notes, besideNAT(from, fmt.Sprintf(":%d", j.innerSrc.Port()), y[j.left]))
		}
	}
	switch {
	case j.crossed() && j.fate == natlab.Lost:
		end := point{far, y[j.arrived]}
		points = append(points, between(nat, end, 1-stub/2))
		a.Notes = append(a.Notes, besideNAT(1-from, fateWord(j), y[j.arrived]))
	case j.crossed():
		points = append(points, point{far, y[j.arrived]})
		switch {
		case j.to == (1 - from).peer():
			points = append(points, point{stationX[j.to], y[j.arrived]})
			if j.kind.opens() && j.innerDst.Port() != j.dst.Port() && j.fate == natlab.Forwarded {
				a.Notes = append(a.Notes, besideNAT(1-from, fmt.Sprintf(":%d", j.innerDst.Port()), y[j.arrived]))
			}
		default:
			a.Notes = append(a.Notes, besideNAT(1-from, fateWord(j), y[j.arrived]))
		}
	case j.lostLeaving || j.flying:
		points = append(points, point{nat.x + right*wanWidth*stub, nat.y + lineHeight/2})
	}
	a.Line = line(points)
	if j.came() {
		a.Head = head(points)
	} else if !j.flying {
		a.Cross = cross(points[len(points)-1])
	}
	a.Kind, a.Ports = kindLabel(j, points, nat)
	return a
}

// kindLabel puts a journey's name under its line, where it leaves the NAT.
func kindLabel(j *journey, points []point, nat point) (label, string) {
	l := label{X: px(nat.x + labelGap), Y: px(nat.y), Text: j.String(), End: j.sender() == sideB}
	if l.End {
		l.X = px(nat.x - labelGap)
	}
	if !j.crossed() && !j.lostLeaving && !j.flying { // its own NAT has dropped it
		l.Text += " " + fateWord(j)
		l.Y += 3
		return l, ""
	}
	i := slices.Index(points, nat)
	slope := math.Atan2(points[i+1].y-nat.y, math.Abs(points[i+1].x-nat.x))
	if j.lostLeaving || j.flying {
		l.X += px(wanWidth * stub * (points[i+1].x - nat.x) / math.Abs(points[i+1].x-nat.x))
		l.Y += lineHeight/2 + 3
		l.Text += " " + fateWord(j)
	} else {
		l.Turn = px(slope * 180 / math.Pi)
		if l.End {
			l.Turn = -l.Turn
		}
		const below = 9 // of the line to the text's base
		l.Y += px(labelGap*math.Tan(slope) + below/math.Cos(slope))
	}
	if j.kind.opens() {
		return l, fmt.Sprintf("%d→%d", j.src.Port(), j.dst.Port())
	}
	return l, ""
}

// besideNAT returns a label between a NAT and its peer.
func besideNAT(s side, text string, y float64) label {
	l := label{X: px(stationX[s.nat()] + labelGap), Y: px(y + 3), Text: text}
	if s == sideA {
		l.X, l.End = px(stationX[s.nat()]-labelGap), true
	}
	if text[0] == ':' {
		l.Y = px(y - 2) // above the line, which goes on there
	}
	return l
}

// describe says all about a journey in one sentence.
func describe(j *journey, begin time.Time) string {
	text := fmt.Sprintf("%s from %s to %s, sent by %s at %.1f ms", j, j.src, j.dst, j.from, millis(j.left.Sub(begin)))
	switch {
	case j.flying:
		return text + ", under way at the end of the capture"
	case j.came():
		return fmt.Sprintf("%s, at %s at %.1f ms", text, j.to, millis(j.arrived.Sub(begin)))
	case j.reason != "":
		return fmt.Sprintf("%s, %s at %s at %.1f ms (%s)", text, fateWord(j), j.to, millis(j.arrived.Sub(begin)), j.reason)
	}
	return fmt.Sprintf("%s, %s at %s at %.1f ms", text, fateWord(j), j.to, millis(j.arrived.Sub(begin)))
}

// arrowClass returns the class of a kind in the style sheet.
func arrowClass(k kind) string {
	switch k {
	case kindSYN:
		return "syn"
	case kindSYNACK:
		return "synack"
	case kindRST, kindICMP:
		return "refusal"
	}
	return "use"
}
