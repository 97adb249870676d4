package loadtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Conditions are what a run must not be, as --fail-if has them: p99>50ms,lost>0.
// No conditions never hold.
type Conditions []Condition

// A Condition compares one figure of a [Result] with a number. The figures are
//
//	p50 p90 p99 p999 max mean min    the main latency
//	NAME.p99 (or another of them)    the latency NAME
//	errors, errors.KIND              all failures, or those of a kind
//	rate.NAME                        a second
//	cpu                              CPU of the server for one unit of work, in µs
//	memory, rss                      bytes for a connection, and of the server at its height
//	goroutines                       of the server
//	ratio.floor.cpu                  or naive, and p50, p99, memory: see [Ratio]
//	lost, doubled, expected, …       any other name: a count
type Condition struct {
	Figure string
	Op     string  // > >= < <= == !=
	Number float64 // in Unit
	Unit   string  // as in conditionUnits; "" for a count, or for the figure's own unit
}

// What a figure can be measured in.
type dimension int

const (
	aCount dimension = iota
	aDuration
	aSize
	aRate
	aRatio
)

// conditionUnits are the units of each dimension, in ms, bytes, and so on.
var conditionUnits = map[dimension]map[string]float64{
	aCount:    {"": 1, "k": 1e3, "M": 1e6},
	aRate:     {"": 1, "k": 1e3, "M": 1e6, "/s": 1, "k/s": 1e3, "M/s": 1e6},
	aRatio:    {"": 1, "x": 1},
	aDuration: {"us": 0.001, "ms": 1, "s": 1000},
	aSize: {"": 1, "B": 1, "k": 1e3, "KB": 1e3, "KiB": 1 << 10, "M": 1e6, "MB": 1e6, "MiB": 1 << 20,
		"G": 1e9, "GB": 1e9, "GiB": 1 << 30},
}

// howTo says what a right side of each dimension looks like.
var howTo = map[dimension]string{
	aCount:    "a count: 0, 100 or 10k",
	aRate:     "a rate, per second: 100, 10k or 100/s",
	aRatio:    "a ratio: 1.5",
	aDuration: "a duration with its unit: 500us, 50ms or 2s",
	aSize:     "a size: 24000, 24KB, 24KiB or 1MB",
}

// statistics are what can be asked of a latency.
var statistics = []struct {
	name string
	of   func(Latency) float64
}{
	{"p50", func(l Latency) float64 { return l.P50 }},
	{"p90", func(l Latency) float64 { return l.P90 }},
	{"p99", func(l Latency) float64 { return l.P99 }},
	{"p999", func(l Latency) float64 { return l.P999 }},
	{"max", func(l Latency) float64 { return l.Max }},
	{"mean", func(l Latency) float64 { return l.Mean }},
	{"min", func(l Latency) float64 { return l.Min }},
}

const statisticNames = "p50, p90, p99, p999, max, mean, min"

func statistic(name string) func(Latency) float64 {
	for _, s := range statistics {
		if s.name == name {
			return s.of
		}
	}
	return nil
}

// ParseConditions reads conditions between commas. What it returns prints, with
// [Conditions.String], as text that reads as the same conditions. Empty text is
// no conditions. Errors say which condition is wrong and what would be right.
func ParseConditions(s string) (Conditions, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var conditions Conditions
	for i, text := range strings.Split(s, ",") {
		c, err := parseCondition(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("condition %d, %q: %w", i+1, strings.TrimSpace(text), err)
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

func parseCondition(s string) (Condition, error) {
	if s == "" {
		return Condition{}, fmt.Errorf("there is nothing between the commas; a condition is like p99>50ms or lost>0")
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return Condition{}, fmt.Errorf("there are characters in it that cannot be printed")
	}
	i := strings.IndexAny(s, "<>=!")
	if i < 0 {
		return Condition{}, fmt.Errorf("no comparison; write a figure, one of > >= < <= == != and a number, like p99>50ms")
	}
	right := strings.TrimLeft(s[i:], "<>=!")
	c := Condition{Figure: strings.TrimSpace(s[:i]), Op: s[i : len(s)-len(right)]}
	switch c.Op {
	case ">", ">=", "<", "<=", "==", "!=":
	case "=":
		return Condition{}, fmt.Errorf("%q is no comparison; equal is ==", c.Op)
	case "<>":
		return Condition{}, fmt.Errorf("%q is no comparison; unequal is !=", c.Op)
	default:
		return Condition{}, fmt.Errorf("%q is no comparison; there are > >= < <= == !=", c.Op)
	}
	kind, err := dimensionOf(c.Figure)
	if err != nil {
		return Condition{}, err
	}
	if err := c.parseRight(strings.TrimSpace(right), kind); err != nil {
		return Condition{}, err
	}
	return c, nil
}

// parseRight reads the number and its unit.
func (c *Condition) parseRight(s string, kind dimension) error {
	if s == "" {
		return fmt.Errorf("nothing to compare %s with; it is %s", c.Figure, howTo[kind])
	}
	number := numberAtStart(s)
	written := strings.TrimSpace(s[len(number):])
	if number == "" {
		return fmt.Errorf("%q is not a number; %s is %s", s, c.Figure, howTo[kind])
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(number, "_", ""), 64)
	if err != nil {
		return fmt.Errorf("%q is not a number that can be compared; %s is %s", number, c.Figure, howTo[kind])
	}
	unit, ok := unitOf(written, kind)
	if kind == aDuration && written == "" {
		if c.Figure != "cpu" && v != 0 {
			return fmt.Errorf("%s needs a unit; it is %s", c.Figure, howTo[kind])
		}
		unit, ok = "us", true
	}
	if !ok {
		return fmt.Errorf("%q is no unit of %s; it is %s", written, c.Figure, howTo[kind])
	}
	c.Number, c.Unit = v, unit
	if !finite(c.base(kind)) {
		return fmt.Errorf("%q is too large a number", s)
	}
	return nil
}

// numberAtStart returns the number that s begins with: digits, perhaps with _
// between, a fraction, an exponent.
func numberAtStart(s string) string {
	end := digits(s, 0)
	if end == 0 {
		return ""
	}
	if end < len(s) && s[end] == '.' {
		if e := digits(s, end+1); e > end+1 {
			end = e
		}
	}
	if end < len(s) && (s[end] == 'e' || s[end] == 'E') {
		start := end + 1
		if start < len(s) && (s[start] == '+' || s[start] == '-') {
			start++
		}
		if e := digits(s, start); e > start {
			end = e
		}
	}
	return s[:end]
}

func digits(s string, i int) int {
	for start := i; i < len(s) && (digit(s[i]) || s[i] == '_' && i > start); i++ {
	}
	return i
}

func unitOf(s string, kind dimension) (string, bool) {
	s = strings.NewReplacer("µ", "u", "μ", "u").Replace(s)
	for u := range conditionUnits[kind] {
		if strings.EqualFold(u, s) && (kind == aSize || u == s || strings.EqualFold(s, "k")) {
			return u, true
		}
	}
	return "", false
}

// dimensionOf says what a figure is measured in, and refuses a name that can be
// no figure of any run.
func dimensionOf(name string) (dimension, error) {
	switch name {
	case "":
		return 0, fmt.Errorf("nothing on the left of the comparison; there are %s", figureNames)
	case "errors", "goroutines":
		return aCount, nil
	case "cpu":
		return aDuration, nil
	case "memory", "rss":
		return aSize, nil
	case "rate", "ratio":
		return 0, fmt.Errorf("%s of what? Write rate.delivered or ratio.floor.cpu", name)
	}
	if statistic(name) != nil {
		return aDuration, nil
	}
	before, after, dotted := strings.Cut(name, ".")
	if dotted {
		switch before {
		case "errors", "rate":
			if strings.TrimSpace(after) == "" {
				return 0, fmt.Errorf("%s of what? There is nothing after the dot", before)
			}
			if before == "rate" {
				return aRate, nil
			}
			return aCount, nil
		case "ratio":
			to, figure, _ := strings.Cut(after, ".")
			if !slices.Contains([]string{"floor", "naive"}, to) || !slices.Contains([]string{"cpu", "p50", "p99", "memory"}, figure) {
				return 0, fmt.Errorf("no such ratio; there are ratio.floor. and ratio.naive. with cpu, p50, p99 or memory, like ratio.floor.cpu")
			}
			return aRatio, nil
		}
	}
	if strings.HasSuffix(name, "p99.9") {
		return 0, fmt.Errorf("write %s", strings.TrimSuffix(name, "p99.9")+"p999")
	}
	if i := strings.LastIndex(name, "."); i >= 0 {
		latency, stat := name[:i], name[i+1:]
		if strings.TrimSpace(latency) == "" || statistic(stat) == nil {
			return 0, fmt.Errorf("a latency has no %q; it has %s", stat, statisticNames)
		}
		return aDuration, nil
	}
	if len(name) > 1 && name[0] == 'p' && strings.Trim(name[1:], "0123456789") == "" {
		return 0, fmt.Errorf("a latency has no %q; it has %s", name, statisticNames)
	}
	if strings.Trim(name, "0123456789") == "" {
		return 0, fmt.Errorf("the figure is on the left and the number on the right, like p99>50ms")
	}
	return aCount, nil
}

const figureNames = statisticNames + " (also of a named latency: join.p99), errors, errors.KIND, rate.NAME, cpu, memory, rss, goroutines, " +
	"ratio.floor.cpu and such, and the names of counts (lost, doubled, misordered, late, …)"

// base is the number in the unit that a dimension is counted in.
func (c Condition) base(kind dimension) float64 { return c.Number * conditionUnits[kind][c.Unit] }

// String writes c as [ParseConditions] reads it.
func (c Condition) String() string {
	return c.Figure + c.Op + strconv.FormatFloat(c.Number, 'g', -1, 64) + c.Unit
}

// String writes c as [ParseConditions] reads it.
func (c Conditions) String() string {
	var parts []string
	for _, condition := range c {
		parts = append(parts, condition.String())
	}
	return strings.Join(parts, ",")
}
