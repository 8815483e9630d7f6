package page

import (
	"math"
	"testing"
)

func TestOverlaps(t *testing.T) {
	unit := upright(0, 0, 10, 10)
	diamond := box{{15, 0}, {20, 5}, {15, 10}, {10, 5}}
	for name, tc := range map[string]struct {
		b, c box
		want bool
	}{
		"the same":          {unit, unit, true},
		"one in the other":  {unit, upright(4, 4, 6, 6), true},
		"side by side":      {unit, upright(10, 0, 20, 10), false},
		"one below":         {unit, upright(0, 11, 10, 20), false},
		"a corner touches":  {unit, diamond, false},
		"a corner within":   {unit, box{{14, 0}, {19, 5}, {14, 10}, {9, 5}}, true},
		"past a corner":     {upright(16, 6, 30, 30), box{{15, 0}, {20, 5}, {15, 10}, {10, 5}}, true},
		"beside a diagonal": {upright(18, 8, 30, 30), diamond, false},
	} {
		if tc.b.overlaps(tc.c) != tc.want || tc.c.overlaps(tc.b) != tc.want {
			t.Errorf("%s: not %v", name, tc.want)
		}
	}
}

func TestLabelBox(t *testing.T) {
	l := label{X: 100, Y: 50, Text: "SYN", Ports: "4001→4002"}.measured(false)
	if l.Width < 60 || l.Width > 80 {
		t.Errorf("width %v", l.Width)
	}
	const about = 2
	if begin, _ := l.box().along(1, 0); math.Abs(begin-100) > about {
		t.Errorf("begins at %v", begin)
	}
	l.End = true
	if _, end := l.box().along(1, 0); math.Abs(end-100) > about {
		t.Errorf("ends at %v", end)
	}
	l.Turn = 90
	if low, high := l.box().along(0, 1); math.Abs(high-50) > about || math.Abs(high-low-float64(l.Width)) > 2*about {
		t.Errorf("turned, it is from %v to %v", low, high)
	}
}
