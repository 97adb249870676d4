package loadtest

import (
	"math"
	"strconv"
	"strings"
)

// An axis says how values are written.
type axis struct {
	text        func(float64) string // one value, with its unit
	units       []unit               // for the ticks of an axis, all in one
	logarithmic bool                 // when the values are far apart
}

var (
	durationAxis = axis{text: millis, units: durationUnits, logarithmic: true}
	sizeAxis     = axis{text: func(v float64) string { return scaled(v, sizeUnits) }, units: sizeUnits}
	countAxis    = axis{text: figure, units: []unit{{"", 1}}}
)

// unit returns the unit for an axis that ends at greatest.
func (a axis) unit(greatest float64) unit {
	u := a.units[0]
	for _, next := range a.units[1:] {
		if greatest >= next.size {
			u = next
		}
	}
	return u
}

// ticks returns how the ticks are written, all in the unit of the greatest.
func (a axis) ticks(greatest float64) func(float64) string {
	u := a.unit(greatest)
	return func(v float64) string {
		v = round3(v / u.size)
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if v >= 1e4 && v < 1e6 {
			s = thousands(strconv.FormatFloat(v, 'f', 0, 64))
		} else if v >= 1e6 && v < 1e15 {
			s = strings.TrimSuffix(scaled(v, []unit{{"", 1}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}}), nbsp)
		}
		if u.name != "" && v != 0 {
			s += nbsp + u.name
		}
		return s
	}
}

// round3 takes away what binary fractions leave behind.
func round3(v float64) float64 {
	if v == 0 || !finite(v) {
		return 0
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return rounded
}

// stepsTo returns about n steps from 0 to at least greatest, each 1, 2, 2.5 or 5
// times a power of ten of the unit they are written in.
func stepsTo(greatest float64, n int, a axis) []float64 {
	if !finite(greatest) || greatest <= 0 {
		greatest = 1
	}
	greatest = min(greatest, math.MaxFloat64/100)
	greatest = max(greatest, 1e-300)
	u := a.unit(greatest).size
	step := niceStep(greatest/u/float64(max(n, 2))) * u
	values := []float64{0}
	for i := 1; i < 50; i++ {
		values = append(values, float64(i)*step)
		if float64(i)*step >= greatest*(1-1e-9) {
			break
		}
	}
	return values
}

func niceStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*power >= least*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// decadesOf returns where a logarithmic axis begins and ends, at 1, 2 or 5 times a
// power of ten, and its ticks: all such places, or only powers of ten when there
// are many, or only some of them.
func decadesOf(least, greatest float64) (from, to float64, values []float64) {
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(greatest))
	low, high = max(low, -300), min(high, 300)
	if high <= low {
		high = low + 1
	}
	from, to = math.Pow(10, low), math.Pow(10, high)
	if high-low > 6 {
		every := math.Ceil((high - low) / 6)
		for e := low; e <= high; e += every {
			values = append(values, math.Pow(10, e))
		}
		return from, to, values
	}
	var all []float64
	for e := low; e <= high; e++ {
		for _, m := range []float64{1, 2, 5} {
			all = append(all, m*math.Pow(10, e))
		}
	}
	for _, v := range all {
		if v <= least*(1+1e-9) {
			from = v
		}
		if v >= greatest*(1-1e-9) {
			to = v
			break
		}
	}
	fine := math.Log10(to/from) <= 2.4
	for i, v := range all {
		if v >= from && v <= to && (fine || i%3 == 0) {
			values = append(values, v)
		}
	}
	return from, to, values
}

// timeStep returns the seconds between the ticks of a time axis, the seconds of
// the unit they are written in, and its name.
func timeStep(end float64) (step, unit float64, name string) {
	unit, name = 1, "seconds"
	switch {
	case end >= 3*3600:
		unit, name = 3600, "hours"
	case end >= 300:
		unit, name = 60, "minutes"
	}
	least := end / 6
	if unit == 60 || least > 5 && unit == 1 {
		for _, s := range []float64{10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800} {
			if s >= least && (unit == 1 || s >= unit) {
				return s, unit, name
			}
		}
	}
	return niceStep(least/unit) * unit, unit, name
}
