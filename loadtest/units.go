package loadtest

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Figures. A no-break space joins digits and units, so that lines break elsewhere.

const nbsp = "\u00a0"

func plain(s string) string { return strings.ReplaceAll(s, nbsp, " ") }

// protect keeps the digits of "1 000" together.
func protect(s string) string {
	b := []byte(s)
	var out []byte
	for i, c := range b {
		if c == ' ' && i > 0 && digit(b[i-1]) && i+3 < len(b) && digit(b[i+1]) && digit(b[i+2]) && digit(b[i+3]) {
			out = append(out, nbsp...)
			continue
		}
		out = append(out, c)
	}
	return string(out)
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// sentence joins words as a sentence does.
func sentence(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// clean makes text from outside harmless on a terminal and valid in XML: what
// is no character to be seen, or turns the direction of others, is replaced.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == 0xa0 {
			return r
		}
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsGraphic(r) || r == 0xfffe || r == 0xffff {
			return utf8.RuneError
		}
		return r
	}, s)
}

// grouped writes n with its thousands apart.
func grouped(n int64) string { return thousands(strconv.FormatInt(n, 10)) }

func thousands(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteString(nbsp)
		}
		b.WriteByte(s[i])
	}
	return sign + b.String()
}

// figure writes v with three significant digits, and all of them above 100.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case !finite(v):
		return "-"
	case a == 0:
		return "0"
	case a >= 1e12 || a < 1e-4:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case a >= 99.95:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.9995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a >= 0.09995:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// scaled writes v in the largest unit of which there is at least one.
func scaled(v float64, units []unit) string {
	if !finite(v) {
		return "-"
	}
	u := units[0]
	for _, next := range units[1:] {
		// As figure rounds: 999.7 µs is a millisecond.
		if math.Abs(v) < 0.9995*next.size {
			break
		}
		u = next
	}
	return figure(v/u.size) + nbsp + u.name
}

type unit struct {
	name string
	size float64
}

var (
	durationUnits = []unit{{"µs", 0.001}, {"ms", 1}, {"s", 1000}}
	sizeUnits     = []unit{{"B", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}}
)

func millis(ms float64) string {
	if ms == 0 {
		return "0" + nbsp + "ms"
	}
	return scaled(ms, durationUnits)
}

func inBytes(n int64) string { return scaled(float64(n), sizeUnits) }

// inSeconds writes a time of measuring, where 30 s is not 30.0 s.
func inSeconds(s float64) string {
	if s == math.Trunc(s) && math.Abs(s) < 1e12 {
		return thousands(strconv.FormatFloat(s, 'f', 0, 64)) + nbsp + "s"
	}
	return millis(s * 1000)
}

func inPercent(share float64) string {
	switch p := share * 100; {
	case p > 0 && p < 1:
		return "less than 1" + nbsp + "%"
	case p >= 1e6 || !finite(p):
		return figure(p) + nbsp + "%"
	default:
		return thousands(strconv.FormatFloat(math.Round(p), 'f', 0, 64)) + nbsp + "%"
	}
}
