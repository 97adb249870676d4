package loadtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Performance is what docs/performance.md tells: several rounds, in each of
// which the servers took turns, so that what a round has in common is in all of
// its ratios. What is empty is left out.
type Performance struct {
	Machine   string // that of the results if empty
	Kernel    string
	GoVersion string
	Commit    string
	Command   string // "make bench" if empty
	Date      time.Time

	Scenarios []ScenarioText // in the order of the document
	Rounds    [][]Result     // each of every scenario and server
}

// A ScenarioText says what a scenario is.
type ScenarioText struct{ Name, Text string }

const (
	measuredStart = "<!-- measured -->"
	measuredEnd   = "<!-- /measured -->"
)

// WritePerformance writes docs/performance.md as it is before people have
// written in it. See [UpdatePerformance] for afterwards.
func WritePerformance(w io.Writer, p Performance) error {
	command := "`make bench`"
	if p.Command != "" && p.Command != "make bench" {
		command = codeSpan(p.Command)
	}
	var b bytes.Buffer
	b.WriteString(`# Performance

What joins, deliveries and idle connections cost, measured by ` + "`usher loadtest`" + ` against two yardsticks that run the
same scenarios on the same machine. ` + command + ` measures again, and replaces what stands between the two markers; what stands
outside of them is written by people and stays.

`)
	b.Write(measuredPart(p))
	b.WriteString(`
## How to read it

Absolute times mean nothing on a shared machine; ratios do. The *floor* is the least that any server could do for the same
traffic, and the *naive* server is what one would write first. In each round the servers take turns on the same machine, and
a ratio is of two runs of one round: 1 is as much as the yardstick, and below 1 is better. A figure is the median of the
rounds, with the least and the greatest in parentheses: where those are far apart, the machine had other things to do, and the
median says little. A dash is what could not be measured. p99 is only told of a hundred samples or more.
`)
	_, err := w.Write(b.Bytes())
	return err
}

// UpdatePerformance replaces what was measured in old, between the lines
// <!-- measured --> and <!-- /measured -->, and keeps the rest. Of an empty file
// it makes a new one; it is an error when the two lines are not there once each.
func UpdatePerformance(old []byte, p Performance) ([]byte, error) {
	if len(bytes.TrimSpace(old)) == 0 {
		var b bytes.Buffer
		err := WritePerformance(&b, p)
		return b.Bytes(), err
	}
	start, end := -1, -1 // of the part with its markers
	at := 0
	for line := range bytes.Lines(old) {
		switch string(bytes.TrimSpace(line)) {
		case measuredStart:
			if start >= 0 {
				return nil, errors.New("there is more than one line " + measuredStart)
			}
			start = at
		case measuredEnd:
			if end >= 0 {
				return nil, errors.New("there is more than one line " + measuredEnd)
			}
			end = at + len(line)
		}
		at += len(line)
	}
	switch {
	case start < 0:
		return nil, errors.New("there is no line " + measuredStart + " before which people write")
	case end < 0:
		return nil, errors.New("there is no line " + measuredEnd + " after which people write")
	case end <= start:
		return nil, errors.New(measuredEnd + " is before " + measuredStart)
	}
	part := measuredPart(p)
	if end == len(old) && !bytes.HasSuffix(old, []byte("\n")) {
		part = bytes.TrimSuffix(part, []byte("\n"))
	}
	if bytes.Contains(old[start:end], []byte("\r\n")) {
		part = bytes.ReplaceAll(part, []byte("\n"), []byte("\r\n"))
	}
	return slices.Concat(old[:start], part, old[end:]), nil
}

// measuredPart writes what is measured, with its markers.
func measuredPart(p Performance) []byte {
	var b bytes.Buffer
	b.WriteString(measuredStart + "\n")
	machine := p.Machine
	rounds := 0
	for _, round := range p.Rounds {
		if len(round) > 0 {
			rounds++
		}
		for _, r := range round {
			machine = cmp.Or(machine, r.Machine)
		}
	}
	fact := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, text)
		}
	}
	fact("Machine", markdown(machine))
	fact("Kernel", markdown(p.Kernel))
	fact("Go", markdown(p.GoVersion))
	if p.Commit != "" {
		fact("Commit", codeSpan(p.Commit))
	}
	fact("Command", codeSpan(cmp.Or(p.Command, "make bench")))
	if !p.Date.IsZero() {
		fact("Date", p.Date.UTC().Format("2006-01-02"))
	}
	fact("Rounds", strconv.Itoa(rounds))

	b.WriteByte('\n')
	names := scenarioNames(p)
	rows := [][]string{{"scenario", "", "usher", "floor", "naive", "usher ÷ floor", "usher ÷ naive"}}
	for _, name := range names {
		rows = append(rows, scenarioRows(p, name)...)
	}
	if len(rows) == 1 {
		b.WriteString("Nothing was measured.\n")
	} else {
		writeMarkdownTable(&b, rows)
		b.WriteByte('\n')
		if slices.ContainsFunc(rows, func(row []string) bool {
			return slices.ContainsFunc(row, func(cell string) bool { return strings.HasSuffix(cell, shortMark) })
		}) {
			b.WriteString(shortMark + " The yardstick lost something or had errors, and so had less to do: the ratio flatters it.\n\n")
		}
		b.WriteString(roundsSentence(p))
	}
	if len(names) > 0 {
		b.WriteString("\n### The scenarios\n\n")
		for _, name := range names {
			fmt.Fprintf(&b, "- **%s**", markdown(name))
			if i := slices.IndexFunc(p.Scenarios, func(s ScenarioText) bool { return s.Name == name }); i >= 0 && p.Scenarios[i].Text != "" {
				b.WriteString(": " + markdown(p.Scenarios[i].Text))
			}
			if s := settingsOfScenario(p, name); s != "" {
				b.WriteString(" (" + codeSpan(s) + ")")
			}
			b.WriteByte('\n')
		}
	}
	b.WriteString(measuredEnd + "\n")
	return b.Bytes()
}

func scenarioNames(p Performance) []string {
	var names []string
	for _, s := range p.Scenarios {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	for _, round := range p.Rounds {
		for _, r := range round {
			if !slices.Contains(names, r.Scenario) {
				names = append(names, r.Scenario)
			}
		}
	}
	return names
}

func settingsOfScenario(p Performance, name string) string {
	for _, round := range p.Rounds {
		for _, r := range round {
			if r.Scenario == name && r.Server == "usher" {
				return settingsLine(r.Settings)
			}
		}
	}
	return ""
}

// scenarioRows returns a row for each figure that was measured. Of idle people that
// is the memory: their joining is another row's, and what they use of CPU are pings,
// fewer than the time of such a run tells anything about.
func scenarioRows(p Performance, name string) [][]string {
	var rows [][]string
	per := "unit"
	for _, round := range p.Rounds {
		for _, r := range round {
			if r.Scenario == name && r.Cost != nil && r.Cost.Per != "" {
				per = clean(r.Cost.Per)
			}
		}
	}
	for _, f := range []struct {
		figure, title string
		of            func(Result) float64
	}{
		{"cpu", "CPU, µs per " + markdown(per), func(r Result) float64 {
			if r.Cost == nil || r.Cost.Units <= 0 || r.Cost.Per == perIdle {
				return 0
			}
			return r.Cost.PerUnit
		}},
		{"p50", "p50, ms", func(r Result) float64 {
			if l, _ := mainLatency(r); r.Cost == nil || r.Cost.Per != perIdle {
				return l.P50
			}
			return 0
		}},
		{"p99", "p99, ms", func(r Result) float64 {
			if l, _ := mainLatency(r); l.Count >= 100 && (r.Cost == nil || r.Cost.Per != perIdle) {
				return l.P99
			}
			return 0
		}},
		{"memory", "memory, KB per connection", func(r Result) float64 {
			// Elsewhere the memory is that of the load, too.
			if r.Cost == nil || !idled(r) {
				return 0
			}
			return float64(r.Cost.PerConnection) / 1000
		}},
	} {
		row := []string{"", f.title}
		if len(rows) == 0 {
			row[0] = markdown(name)
		}
		any := false
		for _, server := range []string{"usher", "floor", "naive"} {
			var values []float64
			for _, round := range p.Rounds {
				for _, r := range round {
					if v := f.of(r); r.Scenario == name && r.Server == server && finite(v) && v > 0 {
						values = append(values, v)
					}
				}
			}
			any = any || len(values) > 0
			row = append(row, spread(values, figure))
		}
		for _, to := range []string{"floor", "naive"} {
			cell := spread(ratiosOfRounds(p, name, to, f.figure), ratioText)
			if cell != "–" && fell(p, name, to) {
				cell += " " + shortMark
			}
			row = append(row, cell)
		}
		if any {
			rows = append(rows, row)
		}
	}
	return rows
}

// shortMark stands beside a ratio to a yardstick that did not do all of its work.
const shortMark = "†"

// fell reports whether a server did something wrong in a scenario.
func fell(p Performance, scenario, server string) bool {
	for _, round := range p.Rounds {
		for _, r := range round {
			if r.Scenario == scenario && r.Server == server && faultWords(r) != "" {
				return true
			}
		}
	}
	return false
}

// idled reports whether a run measured connections that do nothing.
func idled(r Result) bool { _, settled := r.Settings["settle"]; return settled }

// ratiosOfRounds returns the ratios of usher to a yardstick, each within a round.
func ratiosOfRounds(p Performance, scenario, to, figure string) []float64 {
	var values []float64
	for _, round := range p.Rounds {
		for _, r := range round {
			if r.Scenario != scenario || r.Server != "usher" {
				continue
			}
			v := ratioOf(r.Ratios, to, figure)
			for _, y := range round {
				if v == 0 && y.Scenario == scenario && y.Server == to && settingsLine(y.Settings) == settingsLine(r.Settings) {
					v = ratioOf(ratiosTo(r, y), to, figure)
				}
			}
			if l, _ := mainLatency(r); figure == "p99" && l.Count < 100 {
				continue
			}
			if v > 0 {
				values = append(values, v)
			}
		}
	}
	return values
}

// spread writes the median, and the least and greatest where there are several.
func spread(values []float64, text func(float64) string) string {
	if len(values) == 0 {
		return "–"
	}
	slices.Sort(values)
	n := len(values)
	median := values[n/2]
	if n%2 == 0 {
		median = values[n/2-1] + (values[n/2]-values[n/2-1])/2
	}
	if n == 1 {
		return plain(text(median))
	}
	return plain(fmt.Sprintf("%s (%s–%s)", text(median), text(values[0]), text(values[n-1])))
}

// roundsSentence says whether the runs were correct, and which were not.
func roundsSentence(p Performance) string {
	var b strings.Builder
	var expected int64
	for i, round := range p.Rounds {
		for _, r := range round {
			text, o := correctness(r)
			expected += max(0, min(r.Counts["expected"], 1<<53))
			var wrong []string
			if o == faulty {
				wrong = append(wrong, text)
			}
			if errorTotal(r) != 0 {
				wrong = append(wrong, errorSentence(r))
			}
			if r.Generator.Limited {
				wrong = append(wrong, "The generator may be what held the figures back, and not the server.")
			}
			if len(wrong) > 0 {
				fmt.Fprintf(&b, "- %s, %s, round %d: %s\n", markdown(r.Scenario), markdown(r.Server), i+1, plain(markdown(strings.Join(wrong, " "))))
			}
		}
	}
	switch {
	case b.Len() > 0:
		return "Not every run went well:\n\n" + b.String()
	case expected > 0:
		return plain("There were no errors, and each of " + grouped(expected) + " expected deliveries came.\n")
	}
	return "There were no errors.\n"
}

// writeMarkdownTable writes rows with their columns aligned for who reads the source.
func writeMarkdownTable(b *bytes.Buffer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c), 2)
		}
	}
	for i, row := range rows {
		for j, c := range row {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(c))
			if j < 2 {
				b.WriteString("| " + c + pad + " ")
			} else {
				b.WriteString("| " + pad + c + " ")
			}
		}
		b.WriteString("|\n")
		if i > 0 {
			continue
		}
		for j, w := range widths {
			if j < 2 {
				b.WriteString("|" + strings.Repeat("-", w+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", w+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "[", `\[`, "]", `\]`, "<", "&lt;", "&", "&amp;", "|", `\|`)

// markdown writes text that is only text.
func markdown(s string) string { return markdownEscapes.Replace(clean(s)) }

// codeSpan writes s between more backticks than it has in a row.
func codeSpan(s string) string {
	s = plain(clean(s))
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if len(fence) > 1 || strings.HasPrefix(s, " ") {
		s = " " + s + " "
	}
	return fence + s + fence
}
