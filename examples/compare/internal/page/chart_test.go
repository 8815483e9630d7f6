package page

import (
	"math"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/compare/internal/result"
)

// A chart has the style sheet's colours alone, or it could not be read in the dark.
func TestDrawChart(t *testing.T) {
	never := math.Inf(1)
	svg, err := drawChart([]ecdf{
		{allSeries[0], []float64{0.2, 0.3}},
		{allSeries[1], []float64{never}},
		{allSeries[2], []float64{0.01, 20, never}},
	}, 0.1, 30)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"var(--simopen)", "var(--dcutr)", "var(--quic)", "var(--ink)", "var(--grid)"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %s", want)
		}
	}
	for _, other := range []string{"#", "<svg", "<?xml", "NaN", "Inf"} {
		if _, after, found := strings.Cut(string(svg), other); found {
			t.Errorf("%s in it, before %.40q", other, after)
		}
	}
}

func TestTimeRange(t *testing.T) {
	runs := []result.Run{{OK: true, Millis: 0}, {OK: true, Millis: 60000}, {Millis: 1e9}}
	low, high := timeRange(runs)
	if low <= 0 || low > 0.1 || high < 60 || high > 100 {
		t.Errorf("from %v to %v s", low, high)
	}
	if low, high := timeRange(nil); low != 0.1 || high != 30 {
		t.Errorf("from %v to %v s without runs", low, high)
	}
}
