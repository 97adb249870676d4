package loadtest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"usher/session/wire"
)

// Failed returns a sentence for each condition that holds. A condition on what
// the run did not measure is an error, and so is one on a name that the run does
// not know: neither may pass for a run that was good. All are looked at, and the
// sentences returned even with an error.
//
// What a scenario does not count is absent from [Result.Counts], so lost>0 is an
// error for a scenario that cannot tell losses. Kinds of errors are absent when
// none occurred; such a kind counts 0 if it is one that the run could have had,
// and so do the faults that every scenario looks for and only notes when it finds one.
func (c Conditions) Failed(r Result) ([]string, error) {
	var sentences []string
	var wrong []string
	for _, condition := range c {
		s, err := condition.failed(r)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%q: %v", condition, err))
		} else if s != "" {
			sentences = append(sentences, s)
		}
	}
	if len(wrong) > 0 {
		return sentences, fmt.Errorf("cannot tell: %s", strings.Join(wrong, "; "))
	}
	return sentences, nil
}

func (c Condition) failed(r Result) (string, error) {
	kind, err := dimensionOf(c.Figure)
	if err != nil {
		return "", err
	}
	if _, ok := conditionUnits[kind][c.Unit]; !ok {
		return "", fmt.Errorf("%q is no unit of %s; it is %s", c.Unit, c.Figure, howTo[kind])
	}
	got, err := figureOf(r, c.Figure)
	if err != nil {
		return "", err
	}
	if !finite(got) {
		return "", fmt.Errorf("what was measured is not a number")
	}
	want := c.base(kind)
	var holds bool
	switch c.Op {
	case ">":
		holds = got > want
	case ">=":
		holds = got >= want
	case "<":
		holds = got < want
	case "<=":
		holds = got <= want
	case "==":
		holds = got == want
	case "!=":
		holds = got != want
	default:
		return "", fmt.Errorf("%q is no comparison; there are > >= < <= == !=", c.Op)
	}
	if !holds {
		return "", nil
	}
	has, limit := amount(got, kind), amount(want, kind)
	if has == limit && got != want { // a rounded 50 ms is not more than 50 ms
		has, limit = exactly(got, kind), exactly(want, kind)
	}
	limit = map[string]string{
		">": "more than " + limit, ">=": limit + " or more", "<": "less than " + limit, "<=": limit + " or less",
		"==": "which is " + limit, "!=": "not " + limit,
	}[c.Op]
	s := fmt.Sprintf("%s is %s, %s", clean(c.Figure), has, limit)
	if c.Figure == "errors" && len(r.Errors) > 0 {
		var kinds []string
		for _, k := range errorKinds(r) {
			kinds = append(kinds, clean(k)+" "+grouped(r.Errors[k]))
		}
		s += " (" + strings.Join(kinds, ", ") + ")"
	}
	return plain(s), nil
}

func amount(v float64, kind dimension) string {
	switch kind {
	case aDuration:
		return millis(v)
	case aSize:
		return scaled(v, sizeUnits)
	case aRate:
		return figure(v) + "/s"
	case aCount:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return grouped(int64(v))
		}
	}
	return figure(v)
}

// exactly writes v with all its digits.
func exactly(v float64, kind dimension) string {
	unit := map[dimension]string{aDuration: " ms", aSize: " B", aRate: "/s"}[kind]
	return strconv.FormatFloat(v, 'g', -1, 64) + unit
}

// figureOf returns the figure of that name, or why there is none.
func figureOf(r Result, name string) (float64, error) {
	if stat := statistic(name); stat != nil {
		l, ok := mainLatency(r)
		if !ok {
			return 0, fmt.Errorf("the run has no samples of its main latency")
		}
		return stat(l), nil
	}
	before, after, _ := strings.Cut(name, ".")
	switch before {
	case "errors":
		if name == "errors" {
			return float64(errorTotal(r)), nil
		}
		return errorsOf(r, after)
	case "rate":
		if v, ok := r.Rates[after]; ok {
			return v, nil
		}
		return 0, noSuch("rate", after, slices.Sorted(maps.Keys(r.Rates)))
	case "ratio":
		to, f, _ := strings.Cut(after, ".")
		for _, ratio := range r.Ratios {
			if ratio.To == to && ratio.Figure == f {
				return ratio.Value, nil
			}
		}
		var have []string
		for _, ratio := range r.Ratios {
			have = append(have, "ratio."+ratio.To+"."+ratio.Figure)
		}
		return 0, noSuch("ratio", name, have)
	case "cpu", "memory", "rss", "goroutines":
		if name == before {
			return costOf(r, name)
		}
	}
	if i := strings.LastIndex(name, "."); i >= 0 {
		var have []string
		for _, l := range r.Latencies {
			if l.Name != name[:i] {
				have = append(have, l.Name)
				continue
			}
			if l.Count <= 0 {
				return 0, fmt.Errorf("the run has no samples of the latency %q", l.Name)
			}
			return statistic(name[i+1:])(l), nil
		}
		return 0, noSuch("latency", name[:i], have)
	}
	if n, ok := r.Counts[name]; ok {
		return float64(n), nil
	}
	if slices.Contains(absentWhenNone, name) {
		return 0, nil
	}
	return 0, noSuch("count", name, slices.Sorted(maps.Keys(r.Counts)))
}

func costOf(r Result, name string) (float64, error) {
	if r.Cost == nil {
		return 0, fmt.Errorf("what the server used was not measured")
	}
	c := *r.Cost
	switch name {
	case "cpu":
		if c.Units > 0 {
			return c.PerUnit / 1000, nil
		}
		return 0, fmt.Errorf("the run did no work that CPU could be divided by")
	case "memory":
		if c.PerConnection > 0 {
			return float64(c.PerConnection), nil
		}
		return 0, fmt.Errorf("the memory for a connection is not known")
	case "rss":
		if n := max(c.RSSPeak, c.RSS); n > 0 {
			return float64(n), nil
		}
		return 0, fmt.Errorf("the memory of the server is not known")
	}
	if c.Goroutines > 0 {
		return float64(c.Goroutines), nil
	}
	return 0, fmt.Errorf("the number of goroutines is not known: only a Go server with /metrics tells it")
}

// absentWhenNone are counts that every run looks for and only has when there were any.
var absentWhenNone = []string{"misdirected", "event_gaps", "foreign", "strangers"}

// errorsOf returns how many errors of a kind there were. A kind is named in full
// or by how it begins: closed 4003 is all of "closed 4003 removed", and dial of
// "dial: connection refused".
func errorsOf(r Result, kind string) (float64, error) {
	var n int64
	var some bool
	for k, of := range r.Errors {
		if ofKind(k, kind) {
			n, some = n+of, true
		}
	}
	if some {
		return float64(n), nil
	}
	known := append([]string{"dial", "handshake", "cut", "timeout"}, r.ErrorKinds...)
	for _, code := range wire.CloseCodes() {
		known = append(known, fmt.Sprintf("closed %d %s", code, code.Reason()), code.Reason())
	}
	if slices.ContainsFunc(known, func(k string) bool { return ofKind(k, kind) }) {
		return 0, nil
	}
	return 0, noSuch("kind of error", kind, append(errorKinds(r), known...))
}

func ofKind(k, kind string) bool {
	rest, ok := strings.CutPrefix(k, kind)
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == ':')
}

// noSuch says that there is no such name, the nearest one, and which there are.
func noSuch(what, name string, have []string) error {
	if len(have) == 0 {
		return fmt.Errorf("the run has no %s %q, nor any other", what, name)
	}
	meant := ""
	if near := slices.MinFunc(have, func(a, b string) int { return cmp.Compare(distance(a, name), distance(b, name)) }); distance(near, name) <= 2 {
		meant = fmt.Sprintf("did you mean %q? ", near)
	}
	const most = 12
	more := ""
	if len(have) > most {
		have, more = have[:most], ", …"
	}
	return fmt.Errorf("the run has no %s %q; %sit has %s%s", what, name, meant, strings.Join(have, ", "), more)
}

// distance is how many letters must change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
