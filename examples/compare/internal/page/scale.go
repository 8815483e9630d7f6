package page

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/palette/brewer"
)

// limits of the classes of time by which a heat map is coloured, in s: about even on a
// logarithmic scale, and one between what two or three round trips less make of half a second.
var limits = []float64{0.2, 0.3, 0.5, 1, 2, 5, 10, 20}

// A class is one of them.
type class struct{ Class, Words string }

func classes() []class {
	cs := make([]class, len(limits)+1)
	for i := range cs {
		cs[i].Class = className(i)
		switch {
		case i == 0:
			cs[i].Words = fmt.Sprintf("under %g s", limits[0])
		case i == len(limits):
			cs[i].Words = fmt.Sprintf("%g s and over", limits[i-1])
		default:
			cs[i].Words = fmt.Sprintf("%g to %g s", limits[i-1], limits[i])
		}
	}
	return cs
}

func className(i int) string { return fmt.Sprintf("t%d", i) }

// timeClass is the class of a time in s.
func timeClass(s float64) string {
	i := 0
	for i < len(limits) && s >= limits[i] {
		i++
	}
	return className(i)
}

// heat is a scale that the colour-blind and copiers can read: its lightness falls throughout.
func heat() palette.Palette {
	p, err := brewer.GetPalette(brewer.TypeSequential, "YlGnBu", len(limits)+1)
	if err != nil {
		panic(err) // there is one of nine classes
	}
	return p
}

// heatStyle is the style sheet of the classes.
func heatStyle() template.CSS {
	var b strings.Builder
	for i, c := range heat().Colors() {
		r, g, bl, _ := c.RGBA() // 16 bits each
		ink := "#000"
		if luminance(r, g, bl) < 0.2 {
			ink = "#fff"
		}
		fmt.Fprintf(&b, ".%s{--heat:#%02x%02x%02x;--heat-ink:%s}\n", className(i), r>>8, g>>8, bl>>8, ink)
	}
	return template.CSS(b.String())
}

// luminance is the relative one of WCAG 2, of a colour of 16 bits a channel.
func luminance(r, g, b uint32) float64 {
	linear := func(v uint32) float64 {
		c := float64(v) / 0xffff
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}
