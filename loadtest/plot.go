package loadtest

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Plots. They are drawn here and not by a library: a few kinds of lines, and text
// that stays text. Everything reaches the template as strings, which it escapes.

const (
	styles = 6 // .s0 to .s5 in report.css: colour and dashes; with a mark each

	plotWidth, plotHeight             = 360.0, 222.0
	plotLeft, plotRight               = 52.0, 352.0
	plotTop, plotBottom               = 10.0, 182.0
	mostPoints                        = 600 // of a line; more are not seen
	marksOnLine                       = 6
	mostDecades, leastDecades         = 6.0, 2.0
	logarithmicFrom           float64 = 30 // times from the least to the greatest
)

type (
	plot struct {
		ID, Title, Note, Desc              string
		Width, Height, Left, Right, Middle string
		TickEnd, NameAt, XTickY, XNameY    string
		XName                              string
		XTicks                             []tick
		Panels                             []panel
		Legend                             []legend
	}
	panel struct {
		Name, NameY, Top, Bottom string
		Ticks                    []tick
		Lines                    []drawn
	}
	tick struct {
		At, Text     string
		Label, Class string // of a tick below the plot: where its text is, and how it is aligned
	}
	drawn struct {
		Class, Path string
		Marks       []mark
	}
	mark   struct{ Path, Title string }
	legend struct{ Class, Label, Mark string }

	// A curve is what one result gives to a plot. A point that is not finite is a gap.
	curve struct {
		laidOut
		points [][2]float64
		desc   string
	}
	// A scale turns values into places.
	scale struct {
		from, to    float64 // values
		at, until   float64 // places
		logarithmic bool
	}
)

func (s scale) place(v float64) float64 {
	from, to := s.from, s.to
	if s.logarithmic {
		v, from, to = math.Log10(max(v, s.from)), math.Log10(from), math.Log10(to)
	}
	share := (v - from) / (to - from)
	return s.at + min(max(share, 0), 1)*(s.until-s.at)
}

func place(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func plotsOf(id string, members []laidOut) []plot {
	var plots []plot
	add := func(p plot, ok bool) {
		if ok {
			p.ID = id + "-plot-" + strconv.Itoa(len(plots)+1)
			plots = append(plots, p)
		}
	}
	names := latencyNames(members)
	if len(names) > 0 {
		add(percentiles(names[0], members))
		main := clean(names[0]) + ", each second"
		add(overTime("Latency p50 over time", main, durationAxis, members, []timeSeries{{of: positive(func(s Sample) float64 { return s.P50 })}}))
		add(overTime("Latency p99 over time", main, durationAxis, members, []timeSeries{{of: positive(func(s Sample) float64 { return s.P99 })}}))
	}
	add(overTime("Rate over time", "per second", countAxis, members, []timeSeries{{of: func(s Sample) float64 { return s.Rate }}}))
	add(overTime("Memory over time", "with the connections", sizeAxis, members, []timeSeries{
		{name: "memory of the server", of: positive(func(s Sample) float64 { return float64(s.RSS) })},
		{name: "connections", axis: &countAxis, of: func(s Sample) float64 { return float64(s.Connections) }},
	}))
	add(overTime("CPU over time", "cores in use by the server", countAxis, members, []timeSeries{{of: func(s Sample) float64 { return s.CPU }}}))
	for _, name := range names[min(1, len(names)):] {
		add(percentiles(name, members))
	}
	return plots
}

// positive is for figures that are 0 when they were not measured.
func positive(of func(Sample) float64) func(Sample) float64 {
	return func(s Sample) float64 {
		if v := of(s); v > 0 {
			return v
		}
		return math.NaN()
	}
}

func newPlot(title, note string) plot {
	return plot{
		Title: title, Note: note, Width: place(plotWidth), Height: place(plotHeight),
		Left: place(plotLeft), Right: place(plotRight), Middle: place((plotLeft + plotRight) / 2),
		TickEnd: place(plotLeft - 6), NameAt: place(plotLeft), XTickY: place(plotBottom + 14), XNameY: place(plotBottom + 30),
	}
}

// percentiles draws the distribution of a latency for each member. To the right
// each step is a tenth of what is left, so that the slowest are not hidden.
func percentiles(name string, members []laidOut) (plot, bool) {
	p := newPlot("Latency by percentile", clean(name))
	p.XName = "percentile"
	var curves []curve
	decades := leastDecades
	for _, m := range members {
		if l, ok := latencyOf(m.Result, name); ok {
			decades = max(decades, math.Log10(float64(l.Count)))
		}
	}
	decades = min(decades, mostDecades)
	for _, m := range members {
		l, ok := latencyOf(m.Result, name)
		if !ok {
			continue
		}
		measured := l.Curve
		if len(measured) == 0 {
			for _, q := range quantiles {
				if l.Count >= q.needs {
					share, _ := strconv.ParseFloat(q.name[1:], 64)
					measured = append(measured, [2]float64{share / 100, q.of(l)})
				}
			}
			measured = append(measured, [2]float64{1, l.Max})
		}
		c := curve{laidOut: m, desc: m.label + ": p50 " + millis(l.P50)}
		if s := quantile(l, quantiles[2]); s != "" {
			c.desc += ", p99 " + s
		}
		c.desc += ", max " + millis(l.Max)
		end := math.Log10(float64(max(l.Count, 10)))
		for _, q := range measured {
			if !finite(q[0]) || !finite(q[1]) || q[0] < 0 || q[0] > 1 || q[1] < 0 {
				continue
			}
			x := min(end, decades)
			if q[0] < 1 {
				x = min(x, -math.Log10(1-q[0]))
			}
			c.points = append(c.points, [2]float64{x, q[1]})
		}
		slices.SortStableFunc(c.points, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
		if len(c.points) > 0 {
			curves = append(curves, c)
		}
	}
	if len(curves) == 0 {
		return plot{}, false
	}
	x := scale{from: 0, to: decades, at: plotLeft, until: plotRight}
	for i, q := range []string{"0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"} {
		at := []float64{0, math.Log10(2), 1, 2, 3, 4, 5, 6}[i]
		if at <= decades+1e-9 {
			t := tick{At: place(x.place(at)), Text: q, Label: place(x.place(at)), Class: "mid"}
			if crowded := decades > 4.5; crowded && (at == 0 || at == 5) {
				t.Text = ""
			}
			if x.place(at)+float64(3*len(q)) > plotWidth {
				t.Label, t.Class = place(plotWidth), "end"
			}
			p.XTicks = append(p.XTicks, t)
		}
	}
	title := func(c curve, v [2]float64) string {
		return c.label + ", " + figure(100*(1-math.Pow(10, -v[0]))) + nbsp + "%: " + millis(v[1])
	}
	p.Panels = []panel{newPanel("", durationAxis, curves, x, plotTop, plotBottom, title, &p.Note)}
	p.describe(curves)
	return p, true
}

// A timeSeries is a panel of a plot over time.
type timeSeries struct {
	name string
	axis *axis // if not the plot's
	of   func(Sample) float64
}

func overTime(title, note string, a axis, members []laidOut, panels []timeSeries) (plot, bool) {
	p := newPlot(title, note)
	var all [][]curve
	end := 0.0
	for i, s := range panels {
		if s.axis == nil {
			panels[i].axis = &a
		}
		var curves []curve
		for _, m := range members {
			c := curve{laidOut: m}
			low, high, last, some := math.Inf(1), 0.0, 0.0, false
			for _, sample := range m.Series {
				if !finite(sample.At) || sample.At < 0 {
					continue
				}
				v := s.of(sample)
				if !finite(v) || v < 0 {
					v = math.NaN()
				} else {
					low, high, last, some = min(low, v), max(high, v), v, true
				}
				c.points = append(c.points, [2]float64{sample.At, v})
			}
			// What is 0 throughout was not measured.
			if !some || high == 0 {
				continue
			}
			slices.SortStableFunc(c.points, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
			end = max(end, c.points[len(c.points)-1][0])
			text := panels[i].axis.text
			c.desc = m.label + ": " + text(low) + " to " + text(high) + ", at the end " + text(last)
			if s.name != "" {
				c.desc = s.name + ", " + c.desc
			}
			curves = append(curves, c)
		}
		all = append(all, curves)
	}
	if len(all[0]) == 0 {
		return plot{}, false
	}
	if end == 0 {
		end = 1
	}
	step, unit, name := timeStep(end)
	x := scale{from: 0, to: end, at: plotLeft, until: plotRight}
	p.XName = name
	for i := range 12 {
		v := float64(i) * step
		if v > end*(1+1e-9) {
			break
		}
		p.XTicks = append(p.XTicks, tick{
			At: place(x.place(v)), Label: place(x.place(v)), Class: "mid", Text: strconv.FormatFloat(round3(v/unit), 'g', -1, 64),
		})
	}
	top := plotTop
	for i, curves := range all {
		bottom := plotBottom
		if i < len(all)-1 {
			bottom = plotTop + (plotBottom-plotTop)*0.6
		}
		if len(curves) == 0 {
			continue
		}
		if panels[i].name != "" {
			top += 8 // for the name above it
		}
		text := panels[i].axis.text
		title := func(c curve, v [2]float64) string {
			return c.label + ", " + inSeconds(round3(v[0])) + ": " + text(v[1])
		}
		p.Panels = append(p.Panels, newPanel(panels[i].name, *panels[i].axis, curves, x, top, bottom, title, &p.Note))
		top = bottom + 18
	}
	p.describe(slices.Concat(all...))
	return p, true
}

// describe writes the description and the legend.
func (p *plot) describe(curves []curve) {
	var seen []string
	var parts []string
	for _, c := range curves {
		parts = append(parts, c.desc)
		if slices.Contains(seen, c.label) {
			continue
		}
		seen = append(seen, c.label)
		p.Legend = append(p.Legend, legend{c.class(), c.label, pointAt(c.style, 17, 6)})
	}
	p.Desc = strings.Join(parts, ". ") + "."
}

func (m laidOut) class() string { return "s" + strconv.Itoa(m.style) }
