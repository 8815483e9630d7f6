package page

import (
	"fmt"
	"math"
	"strings"
)

// A point of a picture.
type point struct{ x, y float64 }

func between(p, q point, share float64) point {
	return point{p.x + (q.x-p.x)*share, p.y + (q.y-p.y)*share}
}

// line returns an SVG path through the points.
func line(points []point) string {
	var b strings.Builder
	for i, p := range points {
		command := 'L'
		if i == 0 {
			command = 'M'
		}
		fmt.Fprintf(&b, "%c%.1f %.1f", command, p.x, p.y)
	}
	return b.String()
}

// head returns the head of an arrow at the end of the path through the points.
func head(points []point) string {
	const length, half = 7, 2.6
	tip, from := points[len(points)-1], points[len(points)-2]
	angle := math.Atan2(tip.y-from.y, tip.x-from.x)
	sin, cos := math.Sincos(angle)
	corner := func(side float64) point {
		return point{tip.x - length*cos - side*half*sin, tip.y - length*sin + side*half*cos}
	}
	return line([]point{tip, corner(1), corner(-1)}) + "Z"
}

// cross returns a cross over a point.
func cross(p point) string {
	const half = 3.4
	return line([]point{{p.x - half, p.y - half}, {p.x + half, p.y + half}}) +
		line([]point{{p.x - half, p.y + half}, {p.x + half, p.y - half}})
}
