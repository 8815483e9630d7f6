package page

import (
	"fmt"
	"html/template"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/palette/brewer"
	"gonum.org/v1/plot/palette/moreland"
)

// A heat map's colours go by the logarithm of the time, from the fastest of what is compared to the
// longest that anybody waits, in s. Times beyond have the colour of the end.
const (
	fastest = 0.1
	slowest = 30
	// shades are as many as there are classes in the style sheet: one for every 10 % more time.
	shades = 60
)

// heat returns a scale that the colour-blind and copiers can read, for its lightness falls
// throughout.
func heat() (palette.ColorMap, error) {
	p, err := brewer.GetPalette(brewer.TypeSequential, "YlGnBu", 9)
	if err != nil {
		return nil, err
	}
	dark := slices.Clone(p.Colors())
	slices.Reverse(dark) // the map wants them from dark to light
	m, err := moreland.NewLuminance(dark)
	if err != nil {
		return nil, err
	}
	m.SetMin(0)
	m.SetMax(shades - 1)
	return palette.Reverse(m), nil
}

// shade returns the class of a time in s.
func shade(s float64) string {
	at := math.Log(s/fastest) / math.Log(slowest/fastest)
	return shadeName(int(math.Round(max(0, min(at, 1)) * (shades - 1))))
}

func shadeName(i int) string { return fmt.Sprintf("t%d", i) }

// heatStyle returns the style sheet of the shades.
func heatStyle() (template.CSS, error) {
	m, err := heat()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i := range shades {
		c, err := m.At(float64(i))
		if err != nil {
			return "", err
		}
		rgb := color.NRGBAModel.Convert(c).(color.NRGBA)
		ink := "#000"
		if luminance(rgb) < 0.18 { // where white is as easy to read
			ink = "#fff"
		}
		fmt.Fprintf(&b, ".%s{--heat:#%02x%02x%02x;--heat-ink:%s}\n", shadeName(i), rgb.R, rgb.G, rgb.B, ink)
	}
	return template.CSS(b.String()), nil
}

// luminance returns the relative luminance of WCAG 2, 0 to 1.
func luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		c := float64(v) / 0xff
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// A sample of the scale, for its legend.
type sample struct{ Class, Text string }

func legend() []sample {
	var all []sample
	for _, s := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30} {
		all = append(all, sample{shade(s), fmt.Sprintf("%g", s)})
	}
	return all
}
