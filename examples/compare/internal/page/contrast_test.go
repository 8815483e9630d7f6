package page

import (
	"fmt"
	"image/color"
	"regexp"
	"strings"
	"testing"
)

// Text and lines can be read on the page's ground, by day and by night (WCAG 2, level AA).
func TestContrast(t *testing.T) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	palettes := regexp.MustCompile(`(?s):root\{(.*?)\}`).FindAllStringSubmatch(string(style), -1)
	if len(palettes) != 2 {
		t.Fatalf("%d palettes, want the light and the dark one", len(palettes))
	}
	for i, p := range palettes {
		lum := make(map[string]float64)
		for _, m := range regexp.MustCompile(`--([\w-]+):#([0-9a-f]+)`).FindAllStringSubmatch(p[1], -1) {
			hex := m[2]
			if len(hex) == 3 {
				hex = strings.Repeat(hex[:1], 2) + strings.Repeat(hex[1:2], 2) + strings.Repeat(hex[2:], 2)
			}
			c := color.NRGBA{A: 255}
			if _, err := fmt.Sscanf(hex, "%02x%02x%02x", &c.R, &c.G, &c.B); err != nil {
				t.Fatal(err)
			}
			lum[m[1]] = luminance(c)
		}
		check := func(ground string, least float64, names ...string) {
			for _, name := range names {
				a, b := lum[name]+0.05, lum[ground]+0.05
				if ratio := max(a, b) / min(a, b); ratio < least {
					t.Errorf("palette %d: --%s has a contrast of %.1f to --%s, want %v", i+1, name, ratio, ground, least)
				}
			}
		}
		check("bg", 4.5, "ink", "soft", "link", "syn", "synack", "refusal", "use")
		check("fail-bg", 4.5, "soft", "refusal")
		check("bg", 3, "simopen", "dcutr", "quic")
	}
}
