package holepunch

import (
	"cmp"
	"image/color"
	"maps"
	"os"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colour-blind can distinguish these colours; on a black-and-white copy the marks differ.
var (
	blue   = color.NRGBA{0x00, 0x5A, 0x9C, 0xFF}
	orange = color.NRGBA{0xC8, 0x55, 0x00, 0xFF}
	grey   = color.NRGBA{0xD0, 0xD0, 0xD0, 0xFF}
)

// A curve is one figure of a cost.
type curve struct {
	name  string
	of    func(cost) float64
	color color.Color
	mark  draw.GlyphDrawer
}

// drawPunches writes what a punch takes, over how many there are at once. The background is
// white, which is readable wherever the page's is dark.
func drawPunches(file string, costs map[int][]cost) error {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	times := newPanel("ms a punch", costs,
		curve{"processor time", func(c cost) float64 { return ms(c.cpu) }, blue, draw.CircleGlyph{}},
		curve{"elapsed time", func(c cost) float64 { return ms(c.elapsed) }, orange, draw.PyramidGlyph{}},
	)
	memory := newPanel("KiB a punch", costs,
		curve{"held at the peak", func(c cost) float64 { return c.held / 1024 }, blue, draw.CircleGlyph{}},
		curve{"allocated in all", func(c cost) float64 { return c.allocated / 1024 }, orange, draw.PyramidGlyph{}},
	)
	canvas := vgsvg.New(480, 200)
	c := draw.New(canvas)
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	for i, p := range []*plot.Plot{times, memory} {
		half := draw.Crop(c, vg.Length(i)*240+6, vg.Length(i-1)*240-14, 6, -8)
		p.Draw(half)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := canvas.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

func newPanel(unit string, costs map[int][]cost, curves ...curve) *plot.Plot {
	p := plot.New()
	ns := slices.Sorted(maps.Keys(costs))
	p.X.Scale = plot.LogScale{}
	p.X.Min, p.X.Max = 1, 1000
	p.X.Tick.Marker = plot.ConstantTicks{
		{Value: 1, Label: "1"}, {Value: 10, Label: "10"}, {Value: 100, Label: "100"}, {Value: 1000, Label: "1,000 at once"},
	}
	p.Y.Label.Text = unit
	p.Legend.Top = true
	p.Legend.TextStyle.Font = small
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font, a.Tick.Label.Font = small, small
		a.Padding = 0
	}
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = grey, grey
	p.Add(g)
	top := 0.0
	for _, c := range curves {
		var xys plotter.XYs
		for _, n := range ns {
			y := median(costs[n], c.of)
			xys = append(xys, plotter.XY{X: float64(n), Y: y})
			top = max(top, y)
		}
		line, points, err := plotter.NewLinePoints(xys)
		if err != nil {
			panic(err) // a figure that is none
		}
		line.Color, line.Width = c.color, 1.6
		points.Color, points.Shape, points.Radius = c.color, c.mark, 2.5
		p.Add(line, points)
		p.Legend.Add(c.name, line, points)
	}
	p.Y.Min, p.Y.Max = 0, top*1.5 // room for the legend
	return p
}

var small = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 9}

func median(costs []cost, of func(cost) float64) float64 {
	sorted := slices.SortedFunc(slices.Values(costs), func(a, b cost) int { return cmp.Compare(of(a), of(b)) })
	return of(sorted[len(sorted)/2])
}
