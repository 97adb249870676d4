package loadtest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

//go:embed report.html
var reportHTML string

//go:embed report.css
var reportCSS string

var reportTemplate = template.Must(template.New("report").Parse(reportHTML))

// reading is how to read a report or docs/performance.md.
const reading = "Absolute times mean nothing on a shared machine; ratios do. The floor is the least that any server could do for the " +
	"same traffic, and the naive server is what one would write first. A ratio sets a figure beside the same one of " +
	"a yardstick on the same machine at the same time: 1 is as much, and below 1 is better."

// WriteReport writes results as one HTML file that needs nothing else: no script,
// no font, no other file, and a Content-Security-Policy that allows none. Results
// of one scenario are laid together, a line and a column for each. What was not
// measured is not shown, and text from results is only ever text.
func WriteReport(w io.Writer, results []Result) error {
	sum := sha256.Sum256([]byte(reportCSS))
	page := reportPage{
		Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'",
		Style:  template.CSS(reportCSS), // ours, and what the policy has the sum of
		Title:  "Load test",
		Facts:  reportFacts(results),

		Reading: reading,
	}
	for i, members := range sameScenario(results) {
		page.Groups = append(page.Groups, newGroup(i, members))
	}
	if len(page.Groups) == 1 {
		page.Title += ": " + page.Groups[0].Scenario
	} else if len(page.Groups) > 1 {
		page.Summary = summaryOf(page.Groups)
	}
	var b bytes.Buffer // so that a failure leaves nothing half written
	if err := reportTemplate.Execute(&b, page); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

type (
	reportPage struct {
		Policy, Title, Reading string
		Style                  template.CSS
		Facts                  []fact
		Summary                *figures
		Groups                 []scenarioGroup
	}
	fact struct {
		Name   string
		Values []factValue
	}
	factValue struct {
		Text string
		Code bool
	}

	// A scenarioGroup is the results of one scenario.
	scenarioGroup struct {
		ID, Scenario string
		Settings     []setting
		Verdicts     []judged
		Plots        []plot
		Tables       []figures

		members []laidOut
	}
	setting struct{ Name, Text string }
	judged  struct {
		Label, Class, Mark, State, Text string
		Findings                        []string
	}
	// A laidOut is a result in its group: how it is called there and drawn.
	laidOut struct {
		Result
		label string
		style int
	}

	figures struct {
		Caption string
		Head    []tableCell
		Parts   []tablePart
	}
	tablePart struct {
		Name string
		Rows []tableRow
	}
	tableRow struct {
		Name  string
		Cells []tableCell
	}
	tableCell struct{ Text, Class string }
)

func reportFacts(results []Result) []fact {
	var facts []fact
	add := func(name string, code bool, of func(Result) string) {
		f := fact{Name: name}
		for _, r := range results {
			v := factValue{Text: of(r), Code: code}
			if v.Text != "" && !slices.Contains(f.Values, v) {
				f.Values = append(f.Values, v)
			}
		}
		if len(f.Values) > 0 {
			facts = append(facts, f)
		}
	}
	started := func(r Result) string {
		if r.Started.IsZero() {
			return ""
		}
		return r.Started.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	add("Machine", false, func(r Result) string { return clean(r.Machine) })
	add("Command", true, func(r Result) string { return clean(r.Command) })
	var first, last string
	for _, r := range results {
		if s := started(r); s != "" {
			if first == "" || s < first {
				first = s
			}
			last = max(last, s)
		}
	}
	switch {
	case first == "":
	case first == last:
		facts = append(facts, fact{"Started", []factValue{{Text: first}}})
	default:
		facts = append(facts, fact{"Started", []factValue{{Text: first + " to " + last}}})
	}
	return facts
}

// sameScenario sorts results by scenario, in the order they first occur, and
// usher before its yardsticks.
func sameScenario(results []Result) [][]laidOut {
	var names []string
	groups := map[string][]laidOut{}
	for _, r := range results {
		if !slices.Contains(names, r.Scenario) {
			names = append(names, r.Scenario)
		}
		groups[r.Scenario] = append(groups[r.Scenario], laidOut{Result: r})
	}
	var sorted [][]laidOut
	for _, name := range names {
		members := groups[name]
		slices.SortStableFunc(members, func(a, b laidOut) int { return cmp.Compare(serverRank(a.Server), serverRank(b.Server)) })
		times, taken := map[string]int{}, map[int]bool{}
		for i := range members {
			m := &members[i]
			times[m.Server]++
			m.label = cmp.Or(clean(m.Server), "unnamed server")
			if n := times[m.Server]; n > 1 {
				m.label += " " + strconv.Itoa(n)
			}
			m.style = serverRank(m.Server)
			for taken[m.style] && len(taken) < styles {
				m.style = (m.style + 1) % styles
			}
			taken[m.style] = true
		}
		sorted = append(sorted, members)
	}
	return sorted
}

func serverRank(server string) int {
	if i := slices.Index([]string{"usher", "floor", "naive"}, server); i >= 0 {
		return i
	}
	return 3
}

func newGroup(i int, members []laidOut) scenarioGroup {
	g := scenarioGroup{ID: "scenario-" + strconv.Itoa(i+1), Scenario: cmp.Or(clean(members[0].Scenario), "unnamed scenario"), members: members}
	common, differing := settingsOf(members)
	g.Settings = common
	for _, m := range members {
		text, v := correctness(m.Result)
		j := judged{Label: m.label, Class: strings.ReplaceAll(v.String(), " ", "-"), Mark: "–", State: v.String(), Text: text + " " + errorSentence(m.Result)}
		switch {
		case v == faulty:
			j.Mark = "✕"
		case errorTotal(m.Result) > 0:
			j.Class, j.Mark, j.State = "faulty", "✕", "errors"
		case v == correct:
			j.Mark = "✓"
		case v == notCounted:
			j.State = "no errors"
		}
		j.Findings = findings(m.Result)
		if m.Generator.Limited && len(j.Findings) == 0 {
			j.Findings = []string{"The generator may be what held the figures back, and not the server."}
		}
		g.Verdicts = append(g.Verdicts, j)
	}
	g.Plots = plotsOf(g.ID, members)
	g.Tables = groupTables(members, differing)
	return g
}

// settingsOf returns what all members have in common, and the names of what they have not.
func settingsOf(members []laidOut) (common []setting, differing []string) {
	names := map[string]bool{}
	for _, m := range members {
		for name := range m.Settings {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		same := true
		for _, m := range members {
			v, ok := m.Settings[name]
			same = same && ok && settingText(name, v) == settingText(name, members[0].Settings[name])
		}
		if same {
			common = append(common, setting{clean(name), settingText(name, members[0].Settings[name])})
		} else {
			differing = append(differing, name)
		}
	}
	return common, differing
}

// ratiosIn returns the ratios of m: those it brought, and those to a yardstick that
// ran with the same settings and is the only one of its name.
func ratiosIn(m laidOut, members []laidOut) []Ratio {
	ratios := slices.DeleteFunc(slices.Clone(m.Ratios), func(r Ratio) bool { return !shown(r) })
	if serverRank(m.Server) == 1 || serverRank(m.Server) == 2 {
		return ratios
	}
	for _, to := range []string{"floor", "naive"} {
		var of []laidOut
		for _, y := range members {
			if y.Server == to {
				of = append(of, y)
			}
		}
		if len(of) != 1 || settingsLine(of[0].Settings) != settingsLine(m.Settings) {
			continue
		}
		for _, r := range ratiosTo(m.Result, of[0].Result) {
			if ratioOf(ratios, to, r.Figure) == 0 {
				ratios = append(ratios, r)
			}
		}
	}
	return ratios
}
