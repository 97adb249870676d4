package loadtest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words for what was measured, shared with the report.

// A outcome is what a run says about whether everything arrived as it should.
type outcome int

const (
	notCounted outcome = iota // the run expected nothing
	correct
	faulty
)

func (v outcome) String() string {
	return [...]string{"not counted", "correct", "faulty"}[v]
}

// otherFaults are counts of what must not happen either.
var otherFaults = []string{"misdirected", "event_gaps", "strangers", "roster_wrong", "unrecovered", "unusable"}

// isFault reports whether there is something wrong when that is counted.
func isFault(name string) bool {
	return slices.Contains([]string{"lost", "doubled", "misordered", "late"}, name) || slices.Contains(otherFaults, name)
}

// correctness says whether what was expected came, once, in order and in time,
// claiming only what the scenario counts.
func correctness(r Result) (string, outcome) {
	var faults []string
	for _, f := range []struct{ name, one, many string }{
		{"lost", "was lost", "were lost"},
		{"doubled", "came more than once", "came more than once"},
		{"misordered", "came out of order", "came out of order"},
		{"late", "came too late", "came too late"},
	} {
		if n := r.Counts[f.name]; n == 1 {
			faults = append(faults, "1 "+f.one)
		} else if n != 0 {
			faults = append(faults, grouped(n)+" "+f.many)
		}
	}
	expected, delivered := r.Counts["expected"], r.Counts["delivered"]
	_, counted := r.Counts["delivered"]
	if counted && expected > 0 {
		if missing := expected - delivered - r.Counts["lost"] - r.Counts["late"]; missing > 0 {
			faults = append(faults, grouped(missing)+" are not accounted for")
		}
		if more := delivered - expected; more > 0 && r.Counts["doubled"] == 0 {
			faults = append(faults, grouped(more)+" came that nobody expected")
		}
	}
	also := ""
	var others []string
	for _, name := range otherFaults {
		if n := r.Counts[name]; n != 0 {
			others = append(others, grouped(n)+" "+strings.ReplaceAll(name, "_", " "))
		}
	}
	if len(others) > 0 {
		also = " What must not happen did: " + sentence(others) + "."
	}
	text, o := deliveriesText(r, expected, faults)
	if also != "" {
		o = faulty
	}
	return text + also, o
}

// faultWords names what went wrong in a run, in a few words, or is "".
func faultWords(r Result) string {
	var words []string
	for _, name := range append([]string{"lost", "doubled", "misordered", "late"}, otherFaults...) {
		if n := r.Counts[name]; n > 0 {
			words = append(words, strings.ReplaceAll(name, "_", " ")+" "+plain(grouped(n)))
		}
	}
	if n := errorTotal(r); n > 0 {
		words = append(words, plain(grouped(n))+" "+plural(n, "error", "errors"))
	}
	return strings.Join(words, ", ")
}

func faultsOf(ratios []Ratio, to string) string {
	for _, r := range ratios {
		if r.To == to && r.Faults != "" {
			return r.Faults
		}
	}
	return ""
}

func deliveriesText(r Result, expected int64, faults []string) (string, outcome) {
	switch {
	case expected > 0 && len(faults) > 0:
		return "Of " + grouped(expected) + " expected " + plural(expected, "delivery", "deliveries") + ", " + sentence(faults) + ".", faulty
	case len(faults) > 0:
		return "Of the deliveries, " + sentence(faults) + ".", faulty
	case expected <= 0:
		return "No deliveries were expected, so none could be missed.", notCounted
	}
	var how []string
	for _, h := range [][2]string{{"doubled", "once"}, {"misordered", "in order"}, {"late", "in time"}} {
		if _, ok := r.Counts[h[0]]; ok {
			how = append(how, h[1])
		}
	}
	s := "Every one of " + grouped(expected) + " expected deliveries came"
	if expected == 1 {
		s = "The one expected delivery came"
	}
	if len(how) > 0 {
		s += ", " + sentence(how)
	}
	return s + ".", correct
}

// findings returns what the run found as sentences, without what [correctness] has said: "46 lost".
func findings(r Result) []string {
	var found []string
	for _, f := range r.Findings {
		n, name, _ := strings.Cut(f, " ")
		if _, err := strconv.ParseInt(n, 10, 64); err == nil && r.Counts[name] != 0 && isFault(name) {
			continue
		}
		if f = strings.TrimSpace(clean(f)); f == "" {
			continue
		}
		if first, size := utf8.DecodeRuneInString(f); serverRank(strings.Fields(f)[0]) > 2 { // not the name of a server
			f = string(unicode.ToUpper(first)) + f[size:]
		}
		if !strings.HasSuffix(f, ".") {
			f += "."
		}
		found = append(found, f)
	}
	return found
}

func errorSentence(r Result) string {
	n := errorTotal(r)
	if n == 0 {
		return "There were no errors."
	}
	return "There " + plural(n, "was", "were") + " " + grouped(n) + " " + plural(n, "error", "errors") + "."
}

func errorTotal(r Result) int64 {
	var n int64
	for _, e := range r.Errors {
		n += e
	}
	return n
}

// errorKinds returns the kinds that occurred, the most frequent first.
func errorKinds(r Result) []string {
	return slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), strings.Compare(a, b))
	})
}

// countNames returns the names of counts and rates in the order of what happens.
func countNames(rs ...Result) []string {
	order := []string{"connections", "joins", "published", "expected", "delivered", "lost", "doubled", "misordered", "late"}
	names := map[string]bool{}
	for _, r := range rs {
		for name := range r.Counts {
			names[name] = true
		}
		for name, v := range r.Rates {
			if finite(v) {
				names[name] = true
			}
		}
	}
	rank := func(s string) int {
		if i := slices.Index(order, s); i >= 0 {
			return i
		}
		return len(order)
	}
	return slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
}

// A quantileOf is a quantile that is shown, and how many samples it takes for it
// to be more than the highest of them.
type quantileOf struct {
	name  string
	of    func(Latency) float64
	needs int64
}

var quantiles = []quantileOf{
	{"p50", func(l Latency) float64 { return l.P50 }, 1},
	{"p90", func(l Latency) float64 { return l.P90 }, 10},
	{"p99", func(l Latency) float64 { return l.P99 }, 100},
	{"p99.9", func(l Latency) float64 { return l.P999 }, 1000},
}

// quantile returns "" for what l has too few samples for.
func quantile(l Latency, q quantileOf) string {
	if l.Count < q.needs {
		return ""
	}
	return millis(q.of(l))
}

func source(c Cost) string {
	switch c.Source {
	case "":
		return ""
	case "pid":
		return ", by its process"
	case "metrics":
		return ", by its /metrics"
	}
	return ", by " + clean(c.Source)
}

// costLines returns names and sentences of what the server used.
func costLines(c Cost, measured float64) [][2]string {
	var lines [][2]string
	add := func(name string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		if len(parts) > 0 {
			lines = append(lines, [2]string{name, strings.Join(parts, ", ")})
		}
	}
	if finite(c.Seconds) && c.Seconds > 0 {
		measured = c.Seconds
	}
	if finite(c.CPUSeconds) && c.CPUSeconds > 0 {
		cpu := []string{"", inSeconds(c.CPUSeconds), ""}
		cpu[0] = cpuPerUnit(c)
		if finite(measured) && measured > 0 {
			cpu[2] = figure(c.CPUSeconds/measured) + " cores"
		}
		add("CPU", cpu...)
	}
	memory := make([]string, 4)
	if c.PerConnection > 0 {
		memory[0] = inBytes(c.PerConnection) + " per connection"
	}
	for i, m := range []struct {
		n    int64
		when string
	}{{c.RSSBefore, " empty"}, {c.RSSPeak, " at most"}, {c.RSS, " at the end"}} {
		if m.n > 0 {
			memory[i+1] = inBytes(m.n) + m.when
		}
	}
	add("memory", memory...)
	if c.Goroutines > 0 {
		each := ""
		if c.GoroutinesEach != nil {
			each = strconv.FormatFloat(*c.GoroutinesEach, 'f', 2, 64) + " per connection"
		}
		add("goroutines", grouped(c.Goroutines), each)
	}
	if ofGo(c) {
		gc := []string{grouped(c.GCCount) + " " + plural(c.GCCount, "collection", "collections"), "", ""}
		if finite(c.GCSeconds) && c.GCSeconds > 0 {
			gc[1] = millis(c.GCSeconds*1000) + " paused"
		}
		if c.Allocated > 0 {
			gc[2] = inBytes(c.Allocated) + " allocated"
			if c.Mallocs > 0 {
				gc[2] += " in " + grouped(c.Mallocs) + " objects"
			}
		}
		add("GC", gc...)
	}
	return lines
}

// ofGo reports whether c has the figures of a Go runtime: a program has goroutines.
func ofGo(c Cost) bool { return c.Goroutines > 0 || c.GCCount > 0 || c.Allocated > 0 }

func cpuPerUnit(c Cost) string {
	if c.Units <= 0 || !finite(c.PerUnit) || c.PerUnit <= 0 {
		return ""
	}
	return millis(c.PerUnit/1000) + " per " + cmp.Or(clean(c.Per), "unit")
}

func generatorSentence(g Generator) string {
	if g.Cores <= 0 {
		return ""
	}
	s := "The generator used"
	if finite(g.CPUSeconds) {
		s += " " + inSeconds(g.CPUSeconds) + " of CPU,"
	}
	if finite(g.Share) {
		s += " " + inPercent(g.Share) + " of " + grouped(int64(g.Cores)) + " " + plural(int64(g.Cores), "core", "cores")
	}
	s = strings.TrimSuffix(s, ",")
	if finite(g.LagP99) && g.LagP99 > 0 {
		s += ", and at p99 was " + millis(g.LagP99) + " behind its schedule"
	}
	s += "."
	if g.Limited {
		s += " It may be what held the figures back, and not the server."
	}
	return s
}

func settingsLine(settings map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		parts = append(parts, clean(k)+"="+strings.ReplaceAll(settingText(k, settings[k]), " ", nbsp))
	}
	return strings.Join(parts, " ")
}

// settingText writes a setting the same whether it comes from a scenario or from JSON.
func settingText(name string, v any) string {
	text := valueText(v)
	if _, ok := v.(float64); ok && slices.Contains([]string{"duration", "hold", "settle", "every"}, name) && text != "none" {
		text += "s"
	}
	return text
}

func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		if s := clean(v); s != "" {
			return s
		}
		return `""`
	case float64:
		if !finite(v) {
			return "none"
		}
		if math.Abs(v) < 1e15 {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return clean(fmt.Sprint(v))
}

func ratioOf(ratios []Ratio, to, figure string) float64 {
	for _, r := range ratios {
		if r.To == to && r.Figure == figure && shown(r) {
			return r.Value
		}
	}
	return 0
}

func shown(r Ratio) bool { return finite(r.Value) && r.Value > 0 }

func ratioText(v float64) string {
	if !finite(v) || v <= 0 {
		return ""
	}
	if v >= 0.01 && v < 10 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return figure(v)
}

// ratiosTo returns the ratios of r to a yardstick that ran the same scenario.
func ratiosTo(r, yardstick Result) []Ratio {
	var ratios []Ratio
	add := func(figure string, a, b float64) {
		if finite(a) && finite(b) && a > 0 && b > 0 && finite(a/b) && a/b > 0 {
			ratios = append(ratios, Ratio{To: yardstick.Server, Figure: figure, Value: a / b, Faults: faultWords(yardstick)})
		}
	}
	if r.Cost != nil && yardstick.Cost != nil {
		if r.Cost.Per == yardstick.Cost.Per && r.Cost.Units > 0 && yardstick.Cost.Units > 0 {
			add("cpu", r.Cost.PerUnit, yardstick.Cost.PerUnit)
		}
	}
	if a, ok := mainLatency(r); ok {
		if b, ok := mainLatency(yardstick); ok && a.Name == b.Name {
			add("p50", a.P50, b.P50)
			add("p99", a.P99, b.P99)
		}
	}
	if r.Cost != nil && yardstick.Cost != nil {
		add("memory", float64(r.Cost.PerConnection), float64(yardstick.Cost.PerConnection))
	}
	return ratios
}

// mainLatency returns the scenario's main distribution, if it has samples.
func mainLatency(r Result) (Latency, bool) {
	if len(r.Latencies) == 0 || r.Latencies[0].Count <= 0 {
		return Latency{}, false
	}
	return r.Latencies[0], true
}
