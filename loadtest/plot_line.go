package loadtest

import (
	"math"
	"slices"
	"strings"
)

func newPanel(name string, a axis, curves []curve, x scale, top, bottom float64, title func(curve, [2]float64) string, note *string) panel {
	least, greatest := math.Inf(1), 0.0
	for _, c := range curves {
		for _, v := range c.points {
			if finite(v[1]) {
				greatest = max(greatest, v[1])
				if v[1] > 0 {
					least = min(least, v[1])
				}
			}
		}
	}
	y := scale{at: bottom, until: top}
	p := panel{Name: name, NameY: place(top - 6), Top: place(top), Bottom: place(bottom)}
	var values []float64
	if a.logarithmic && greatest > 0 && greatest/least > logarithmicFrom {
		y.logarithmic = true
		y.from, y.to, values = decadesOf(least, greatest)
		*note += ", logarithmic"
	} else {
		values = stepsTo(greatest, int((bottom-top)/34), a)
		y.to = values[len(values)-1]
	}
	text := a.ticks(y.to)
	for _, v := range values {
		s := text(v)
		if y.logarithmic {
			s = a.ticks(v)(v)
		}
		p.Ticks = append(p.Ticks, tick{At: place(y.place(v)), Text: s})
	}
	for i, c := range curves {
		p.Lines = append(p.Lines, draw(c, i, len(curves), x, y, title))
	}
	return p
}

// draw makes the path of a curve with a few marks, at other places than those of
// the other curves.
func draw(c curve, index, of int, x, y scale, title func(curve, [2]float64) string) drawn {
	d := drawn{Class: c.class()}
	var b strings.Builder
	points := thinned(c.points)
	pen := false
	next := (float64(index) + 0.5) / float64(of)
	step := (x.until - x.at) / marksOnLine
	markAt := func(v [2]float64) {
		d.Marks = append(d.Marks, mark{pointAt(c.style, x.place(v[0]), y.place(v[1])), title(c, v)})
	}
	for i, v := range points {
		if !finite(v[1]) {
			pen = false
			continue
		}
		px := x.place(v[0])
		if pen {
			b.WriteByte('L')
		} else {
			b.WriteByte('M')
		}
		b.WriteString(place(px) + " " + place(y.place(v[1])))
		alone := !pen && (i+1 == len(points) || !finite(points[i+1][1]))
		pen = true
		if due := x.at + next*step; px >= due || alone {
			markAt(v)
			next += math.Floor((px-due)/step) + 1
		}
	}
	d.Path = b.String()
	return d
}

// thinned leaves the least and the greatest of each stretch of a long line, and its gaps.
func thinned(points [][2]float64) [][2]float64 {
	if len(points) <= mostPoints {
		return points
	}
	var thin [][2]float64
	for part := range slices.Chunk(points, (2*len(points)+mostPoints-1)/mostPoints) {
		low, high := -1, -1
		for i, v := range part {
			if !finite(v[1]) {
				continue
			}
			if low < 0 || v[1] < part[low][1] {
				low = i
			}
			if high < 0 || v[1] >= part[high][1] {
				high = i
			}
		}
		switch {
		case low < 0:
			thin = append(thin, part[0])
		case low == high:
			thin = append(thin, part[low])
		default:
			thin = append(thin, part[min(low, high)], part[max(low, high)])
		}
	}
	return thin
}

// pointAt returns the path of the mark of a style.
func pointAt(style int, x, y float64) string {
	at := func(dx, dy float64) string { return place(x+dx) + " " + place(y+dy) }
	switch style % styles {
	case 0:
		return "M" + at(-2.6, 0) + "a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0 -5.2 0Z"
	case 1:
		return "M" + at(0, -3.4) + "L" + at(3.3, 2.4) + "L" + at(-3.3, 2.4) + "Z"
	case 2:
		return "M" + at(-2.6, -2.6) + "L" + at(2.6, -2.6) + "L" + at(2.6, 2.6) + "L" + at(-2.6, 2.6) + "Z"
	case 3:
		return "M" + at(0, -3.6) + "L" + at(3.6, 0) + "L" + at(0, 3.6) + "L" + at(-3.6, 0) + "Z"
	case 4:
		return "M" + at(0, 3.4) + "L" + at(3.3, -2.4) + "L" + at(-3.3, -2.4) + "Z"
	}
	return "M" + at(-3, -3) + "L" + at(3, 3) + "M" + at(3, -3) + "L" + at(-3, 3)
}
