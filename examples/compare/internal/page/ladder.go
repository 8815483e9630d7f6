package page

import (
	"fmt"
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
	Arrows        []arrow
	Dots          []dot
	Breaks        []pause
	Labels        []label
	Tail          string
	TailY         px

	taken []box // where no label may be
	lines []box // where none should be
}

// A px is a length or place in the picture.
type px float64

func (p px) String() string { return fmt.Sprintf("%.1f", float64(p)) }

type lifeline struct {
	X, Top, Bottom px
	Class          string
	Name, Address  string
}

// A pause is where the picture leaves something out.
type pause struct {
	Top, Height, Bottom, Middle px
	Text                        string
}

// drawLadder lays a story out. The stations have these addresses; a NAT has none if it is not
// there.
func drawLadder(s story, at [4]string) ladder {
	l := ladder{Width: ladderWidth}
	y, bottom := l.clock(s)
	l.Height = px(bottom + tailHeight)
	if s.after > 0 {
		l.Height += lineHeight
		l.Tail, l.TailY = fmt.Sprintf("%d more packets of open connections", s.after), px(bottom+tailHeight)
	}
	for st, address := range at {
		line := lifeline{X: px(stationX[st]), Top: headHeight - 6, Bottom: px(bottom + 8), Address: address}
		switch {
		case station(st) == peerA || station(st) == peerB:
			line.Class, line.Name = "life", station(st).String()
		case address == "":
			line.Class, line.Name = "nowall", "no NAT"
		default:
			line.Class, line.Name = "wall", "NAT"
		}
		l.Lifelines = append(l.Lifelines, line)
	}
	l.draw(s, y, bottom)
	return l
}

// addresses returns those of the stations between two hosts.
func addresses(a, b *natlab.Host) [4]string {
	nat := func(h *natlab.Host) string {
		if outer := h.Site().External(); outer.IsValid() {
			return outer.String()
		}
		return ""
	}
	return [4]string{peerA: a.Addr().String(), natA: nat(a), natB: nat(b), peerB: b.Addr().String()}
}

// draw draws the arrows, and then their labels: those of the resulting connection first.
func (l *ladder) draw(s story, y heights, bottom float64) {
	for _, j := range s.shown {
		l.Arrows = append(l.Arrows, drawArrow(j, y, s.zero, s.faded(j)))
		points := route(j, y)
		for i := range points[1:] {
			l.lines = append(l.lines, segment(points[i], points[i+1]))
		}
	}
	for _, faded := range []bool{false, true} {
		for _, j := range s.shown {
			if s.faded(j) != faded {
				continue
			}
			for _, candidates := range labelsOf(j, y, faded) {
				l.place(candidates, bottom)
			}
		}
	}
}

// place adds the first of some labels that has room, or none. It prefers one that no line crosses,
// but not to one with ports.
func (l *ladder) place(candidates []label, bottom float64) {
	free := slices.DeleteFunc(candidates, func(c label) bool {
		b := c.box()
		return !b.within(headHeight-lineHeight/2, bottom+tailHeight/2) || slices.ContainsFunc(l.taken, b.overlaps)
	})
	if len(free) == 0 {
		return
	}
	i := slices.IndexFunc(free, func(c label) bool {
		return c.Ports == free[0].Ports && !slices.ContainsFunc(l.lines, c.box().overlaps)
	})
	l.add(free[max(i, 0)])
}

func (l *ladder) add(t label) {
	l.Labels = append(l.Labels, t)
	l.taken = append(l.taken, t.box())
}

// A moment is a time at one side.
type moment struct {
	at   time.Time
	side side
}

// An instant is when something happens.
type instant struct {
	moment
	departs int    // index of the journey that begins, or -1
	mark    string // or empty
}

// heights are how far down in a ladder each moment is.
type heights map[moment]float64

func (y heights) departure(j *journey) float64 { return y[moment{j.left, j.sender()}] }
func (y heights) arrival(j *journey) float64   { return y[moment{j.arrived, 1 - j.sender()}] }

// clock returns how far down each instant is, and how far the last. Time is to scale, but for
// instants that would be too close to read and for quiet ones.
func (l *ladder) clock(s story) (y heights, bottom float64) {
	instants := s.instants()
	scale := scaleOf(s.shown, instants)
	y = make(heights)
	bottom = headHeight + lineHeight/2
	taken := [2]float64{-lineHeight, -lineHeight} // the last instant of each side
	for i, in := range instants {
		if i > 0 {
			bottom = l.advance(s, instants[i-1], in, scale, bottom)
		}
		if _, ok := y[in.moment]; !ok { // or it is at the very time of another
			bottom = max(bottom, taken[in.side]+lineHeight)
			y[in.moment], taken[in.side] = bottom, bottom
			l.time(in, s.zero, bottom)
		}
		if in.mark != "" {
			l.mark(in, y[in.moment])
		}
	}
	return y, bottom
}

// instants returns all that happens in a story, in order.
func (s story) instants() (all []instant) {
	for i, j := range s.shown {
		all = append(all, instant{moment{j.left, j.sender()}, i, ""})
		if j.crossed() {
			all = append(all, instant{moment{j.arrived, 1 - j.sender()}, -1, ""})
		}
	}
	for _, m := range s.marks {
		all = append(all, instant{moment{m.at, m.side}, -1, m.text})
	}
	slices.SortStableFunc(all, func(p, q instant) int { return p.at.Compare(q.at) })
	return all
}

// advance returns how far down the time from one instant to the next leads.
func (l *ladder) advance(s story, from, to instant, scale, top float64) float64 {
	height := millis(to.at.Sub(from.at)) * scale
	text := ""
	if to.departs >= 0 && len(s.hidden[to.departs]) > 0 {
		text = tally(s.hidden[to.departs])
	} else if height > quietHeight && quiet(s.shown, from.at, to.at) {
		text = fmt.Sprintf("%.0f ms %s", millis(to.at.Sub(from.at)), s.meanwhile(from, to))
	}
	if text == "" {
		return top + height
	}
	const half = 8 // of the box
	middle := px(top + breakHeight/2)
	p := pause{middle - half, 2 * half, middle + half, middle + 3, text}
	l.Breaks = append(l.Breaks, p)
	l.taken = append(l.taken, upright(0, float64(p.Top), ladderWidth, float64(p.Bottom)))
	return top + breakHeight
}

// meanwhile says what happens while no packet is shown.
func (s story) meanwhile(from, to instant) string {
	switch {
	case from.mark == markRelayed:
		return "for signalling through the relay"
	case s.after > 0 && to.mark != "":
		return "for handshakes over open connections"
	}
	return "without a packet"
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

func (l *ladder) time(in instant, zero time.Time, y float64) {
	t := label{Class: "time", X: marginWidth - 6, Y: px(y + 3), Text: sinceZero(in.at, zero), End: true}
	if in.side == sideB {
		t.X, t.End = ladderWidth-t.X, false
	}
	l.add(t.measured(true))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// sinceZero formats an instant, in five digits at most: there is no room for more.
func sinceZero(at, zero time.Time) string {
	ms := millis(at.Sub(zero))
	if ms >= 9999.95 {
		return fmt.Sprintf("%.0f", ms)
	}
	return fmt.Sprintf("%.1f", ms)
}
