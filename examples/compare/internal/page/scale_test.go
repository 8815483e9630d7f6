package page

import (
	"image/color"
	"math"
	"testing"
)

// Readers who see no colours, or print without, can distinguish fast from slow, and read the text.
func TestHeat(t *testing.T) {
	m, err := heat()
	if err != nil {
		t.Fatal(err)
	}
	last := math.Inf(1)
	for i := range shades {
		c, err := m.At(float64(i))
		if err != nil {
			t.Fatal(err)
		}
		l := luminance(color.NRGBAModel.Convert(c).(color.NRGBA))
		if l >= last {
			t.Errorf("shade %d is not darker than the one before", i)
		}
		last = l
		const readable = 4.5 // WCAG 2, level AA
		if black, white := (l+0.05)/0.05, 1.05/(l+0.05); black < readable && white < readable {
			t.Errorf("shade %d: contrast %.1f to black, %.1f to white", i, black, white)
		}
	}
}

func TestShade(t *testing.T) {
	for _, tc := range []struct {
		s    float64
		want string
	}{
		{0, "t0"}, {fastest, "t0"}, {math.Sqrt(fastest * slowest), "t30"}, {slowest, "t59"}, {100, "t59"},
	} {
		if got := shade(tc.s); got != tc.want {
			t.Errorf("%v s: got %s, want %s", tc.s, got, tc.want)
		}
	}
}
