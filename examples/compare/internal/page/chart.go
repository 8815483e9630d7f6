package page

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A series is how an implementation is drawn. The dashes and marks distinguish it from the others
// without its colour, which the style sheet sets by the variable --Class.
type series struct {
	Impl  result.Impl
	Name  string
	Class string
	Dash  string // an SVG stroke-dasharray
	mark  draw.GlyphDrawer
	color color.NRGBA // stands for the variable until the chart is SVG
}

var allSeries = []series{
	{result.Simopen, "simopen", "simopen", "none", draw.CircleGlyph{}, color.NRGBA{1, 0, 0, 255}},
	{result.DCUtR, "DCUtR", "dcutr", "6 3", draw.BoxGlyph{}, color.NRGBA{2, 0, 0, 255}},
	{result.DCUtRQUIC, "DCUtR over QUIC", "quic", "2 2", draw.PyramidGlyph{}, color.NRGBA{3, 0, 0, 255}},
}

// ink and grid stand for variables of the style sheet in the same way.
var (
	ink  = color.NRGBA{4, 0, 0, 255}
	grid = color.NRGBA{5, 0, 0, 255}
)

// inks turns what a chart was drawn with into what the style sheet knows.
var inks = func() *strings.Replacer {
	pairs := []string{hex(ink), "var(--ink)", hex(grid), "var(--grid)"}
	for _, s := range allSeries {
		pairs = append(pairs, hex(s.color), "var(--"+s.Class+")")
	}
	return strings.NewReplacer(pairs...)
}()

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

// seriesIndex returns the place of an implementation beside the others.
func seriesIndex(impl result.Impl) int {
	return slices.IndexFunc(allSeries, func(s series) bool { return s.Impl == impl })
}

// name returns the name of an implementation for people.
func name(impl result.Impl) string {
	for _, s := range allSeries {
		if s.Impl == impl {
			return s.Name
		}
	}
	return string(impl)
}

// A chart is the distribution of time in one scenario.
type chart struct {
	ID, Scenario, Words string
	SVG                 template.HTML // the library's, which has only our own words and numbers in it
	Desc                string
	Rows                []distribution
}

// A distribution is the same in numbers, of one implementation. Times are in s. Few runs have no
// 90th percentile.
type distribution struct {
	Impl                       string
	Runs, Direct               int
	Median, Ninetieth, Longest string
}

func charts(p Page) ([]chart, error) {
	var cs []chart
	low, high := timeRange(p.Runs)
	for i, sc := range scenarios(p) {
		c := chart{ID: fmt.Sprintf("chart-%d", i+1), Scenario: sc.Name, Words: sc.Words}
		if sc.Name == result.Matrix {
			c.Words = "the workable pairs of NATs"
		}
		var lines []ecdf
		for _, s := range allSeries {
			var runs []result.Run
			for _, r := range result.Select(p.Runs, sc.Name, s.Impl) {
				if sc.Name != result.Matrix || p.punchable(result.Pair{A: r.A, B: r.B}) {
					runs = append(runs, r)
				}
			}
			if len(runs) == 0 {
				continue
			}
			ts := times(runs)
			d := distribution{s.Name, len(ts), len(direct(ts)),
				seconds(result.Quantile(ts, 0.5)), "–", seconds(result.Quantile(ts, 1))}
			if len(ts) >= result.P90Runs {
				d.Ninetieth = seconds(result.Quantile(ts, 0.9))
			}
			c.Rows = append(c.Rows, d)
			lines = append(lines, ecdf{s, ts})
		}
		if lines == nil {
			continue
		}
		var err error
		if c.SVG, err = drawChart(lines, low, high); err != nil {
			return nil, err
		}
		c.Desc = describeRows(c.Rows)
		cs = append(cs, c)
	}
	return cs, nil
}

func describeRows(rows []distribution) string {
	var parts []string
	for _, d := range rows {
		parts = append(parts, fmt.Sprintf("%s: %d of %d runs direct, median %s s", d.Impl, d.Direct, d.Runs, d.Median))
	}
	return strings.Join(parts, "; ")
}

// scenarios returns the scenarios that have runs.
func scenarios(p Page) []Scenario {
	all := slices.Clone(p.Scenarios)
	has := make(map[string]bool)
	for _, r := range p.Runs {
		has[r.Scenario] = true
		if !slices.ContainsFunc(all, func(s Scenario) bool { return s.Name == r.Scenario }) {
			all = append(all, Scenario{Name: r.Scenario})
		}
	}
	return slices.DeleteFunc(all, func(s Scenario) bool { return !has[s.Name] })
}

// timeRange returns the range of times in all charts, in s, so that the charts can be compared.
func timeRange(runs []result.Run) (low, high float64) {
	low, high = 0.1, 30
	for _, t := range direct(times(runs)) {
		low, high = min(low, t*0.9), max(high, t*1.1)
	}
	return max(low, 1e-3), high // there is no logarithm of 0
}

// An ecdf is an empirical cumulative distribution: how many of the runs are direct by when.
type ecdf struct {
	series
	times []float64
}

const (
	chartWidth  vg.Length = 250 // points
	chartHeight vg.Length = 128
	// maxMarks is how many runs can have a mark each without hiding the line.
	maxMarks = 30
)

func drawChart(lines []ecdf, low, high float64) (template.HTML, error) {
	p := plot.New()
	p.BackgroundColor = nil // the page's
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = low, high, 0, 1
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(timeTicks(low, high)), plot.ConstantTicks{
		{Value: 0, Label: "0"}, {Value: 0.25}, {Value: 0.5, Label: "50 %"}, {Value: 0.75}, {Value: 1, Label: "100 %"},
	}
	// The x axis has no name: the library misplaces the middle of a logarithmic axis, and would
	// leave room for the name at the right.
	p.Y.Label.Text = "runs direct"
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Tick.Color = ink, ink
		a.Padding, a.Label.Padding = 0, 3
		for _, t := range []*draw.TextStyle{&a.Label.TextStyle, &a.Tick.Label} {
			t.Color = ink
			t.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 8}
		}
	}
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = grid, grid
	p.Add(g)
	for _, l := range lines {
		if err := l.add(p, low, high); err != nil {
			return "", err
		}
	}
	canvas := vgsvg.New(chartWidth, chartHeight)
	p.Draw(draw.Crop(draw.New(canvas), 1, -6, 1, -5)) // room for half a label at the end of each axis
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return "", err
	}
	svg := out.String()
	// The document's head is not for HTML, and the size is the style sheet's.
	open := strings.Index(svg, "<svg")
	body := open + strings.Index(svg[open:], ">") + 1
	end := strings.LastIndex(svg, "</svg>")
	return template.HTML(inks.Replace(svg[body:end])), nil
}

// add draws a line that steps up at each run, with a mark there if they are few.
func (e ecdf) add(p *plot.Plot, low, high float64) error {
	points := plotter.XYs{{X: low, Y: 0}}
	var marks plotter.XYs
	for i, t := range direct(e.times) {
		pt := plotter.XY{X: max(t, low), Y: float64(i+1) / float64(len(e.times))}
		points, marks = append(points, pt), append(marks, pt)
	}
	points = append(points, plotter.XY{X: high, Y: points[len(points)-1].Y})
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.StepStyle = plotter.PostStep
	line.Color, line.Width = e.color, 1.6
	for _, d := range strings.Fields(e.Dash) {
		var n float64
		if _, err := fmt.Sscan(d, &n); err == nil { // or none
			line.Dashes = append(line.Dashes, vg.Length(n))
		}
	}
	p.Add(line)
	if len(marks) == 0 || len(marks) > maxMarks {
		return nil
	}
	scatter, err := plotter.NewScatter(marks)
	if err != nil {
		return err
	}
	scatter.Color, scatter.Radius, scatter.Shape = e.color, 2, e.mark
	p.Add(scatter)
	return nil
}

// timeTicks returns ticks at 1, 2 and 5 of each decade.
func timeTicks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := m * decade; v >= low*0.999 && v <= high*1.001 {
				ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.2g s", v)})
			}
		}
	}
	return ticks
}
