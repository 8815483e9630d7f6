package page

import (
	"math"

	"gonum.org/v1/plot/font"
)

// The sizes of text in a ladder, as in the style sheet.
const (
	kindSize  = 10
	smallSize = 9
)

// A label is a line of text in a ladder.
type label struct {
	Class string
	X, Y  px // where its baseline begins, or ends with End
	Turn  px // degrees
	End   bool
	Text  string
	Ports string // after the text, smaller
	Width px     // for the browser to keep to, whatever font it has
}

// measured returns a label with its width. The text is bold unless it is small.
func (l label) measured(small bool) label {
	if small {
		l.Width = px(textWidth(l.Text, smallSize, false))
		return l
	}
	width := textWidth(l.Text, kindSize, true)
	if l.Ports != "" {
		width += textWidth(" ", kindSize, true) + textWidth(l.Ports, smallSize, false)
	}
	l.Width = px(width)
	return l
}

// textWidth returns the width of a text in the font that a ladder asks for first.
func textWidth(text string, size float64, bold bool) float64 {
	f := font.Font{Typeface: "Liberation", Variant: "Sans"}
	if bold {
		f.Weight = 3 // golang.org/x/image/font, WeightBold
	}
	face := font.DefaultCache.Lookup(f, font.Length(size))
	return float64(face.Width(text))
}

// A box is a rectangle that may be turned: its corners in order.
type box [4]point

// box returns what a label covers.
func (l label) box() box {
	const (
		up, down = 0.74 * kindSize, 0.22 * kindSize // of capitals and figures, and below the baseline
		apart    = 3                                // from another label
	)
	left, right := -apart/2., float64(l.Width)+apart/2.
	if l.End {
		left, right = -right, -left
	}
	sin, cos := math.Sincos(float64(l.Turn) * math.Pi / 180)
	at := func(x, y float64) point {
		return point{float64(l.X) + x*cos - y*sin, float64(l.Y) + x*sin + y*cos}
	}
	return box{at(left, -up), at(right, -up), at(right, down), at(left, down)}
}

// upright returns a rectangle that is not turned.
func upright(left, top, right, bottom float64) box {
	return box{{left, top}, {right, top}, {right, bottom}, {left, bottom}}
}

// segment returns what a line covers.
func segment(p, q point) box {
	const half = 0.5
	length := math.Hypot(q.x-p.x, q.y-p.y)
	dx, dy := half*(p.y-q.y)/length, half*(q.x-p.x)/length
	return box{{p.x - dx, p.y - dy}, {q.x - dx, q.y - dy}, {q.x + dx, q.y + dy}, {p.x + dx, p.y + dy}}
}

// overlaps reports whether two boxes have a point in common. Two convex shapes have none if a line
// along a side of either keeps them apart.
func (b box) overlaps(c box) bool {
	for _, sides := range []box{b, c} {
		for i := range sides[:2] { // opposite sides are parallel
			dx, dy := sides[i+1].x-sides[i].x, sides[i+1].y-sides[i].y
			low, high := b.along(-dy, dx)
			low2, high2 := c.along(-dy, dx)
			if high <= low2 || high2 <= low {
				return false
			}
		}
	}
	return true
}

// along returns the range of a box in a direction.
func (b box) along(x, y float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range b {
		d := p.x*x + p.y*y
		low, high = min(low, d), max(high, d)
	}
	return low, high
}

// within reports whether a box is between two heights, and inside the picture.
func (b box) within(top, bottom float64) bool {
	for _, p := range b {
		if p.x < 0 || p.x > ladderWidth || p.y < top || p.y > bottom {
			return false
		}
	}
	return true
}
