package loadtest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"usher/loadtest"
)

// examplePerformance is of three rounds on a machine that gets slower and slower.
func examplePerformance() loadtest.Performance {
	p := loadtest.Performance{
		Machine: "2 cores (AMD EPYC 9R14)", Kernel: "Linux 6.8.0", GoVersion: "go1.26.8", Commit: "8fc36e1",
		Date: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC),
		Scenarios: []loadtest.ScenarioText{
			{Name: "join-storm", Text: "Everybody joins within a second."},
			{Name: "fanout", Text: "A few publish to many in one room; each delivery is checked."},
		},
	}
	for i := range 3 {
		slow := 1 + float64(i)/2
		round := []loadtest.Result{exampleRun("usher", slow), exampleRun("floor", slow*(0.7+0.05*float64(i))), exampleRun("naive", slow*2.5)}
		storm := exampleRun("usher", slow)
		storm.Scenario, storm.Counts, storm.Latencies = "join-storm", map[string]int64{"joins": 1000}, storm.Latencies[1:]
		storm.Settings = map[string]any{"joiners": 1000}
		storm.Cost.Per, storm.Cost.PerConnection = "join", 0
		p.Rounds = append(p.Rounds, append(round, storm))
	}
	return p
}

func performance(t *testing.T, p loadtest.Performance) string {
	t.Helper()
	var b bytes.Buffer
	if err := loadtest.WritePerformance(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPerformance(t *testing.T) {
	golden(t, "performance.md", []byte(performance(t, examplePerformance())))
	golden(t, "performance_nothing.md", []byte(performance(t, loadtest.Performance{})))
}

// TestPerformanceRatios: a ratio is of two runs of one round. What slows a whole
// round down is in all figures and in no ratio.
func TestPerformanceRatios(t *testing.T) {
	var p loadtest.Performance
	for _, slow := range []float64{1, 10, 3, 2} {
		p.Rounds = append(p.Rounds, []loadtest.Result{exampleRun("floor", slow/2), exampleRun("usher", slow), exampleRun("naive", slow*4)})
	}
	p.Rounds = append(p.Rounds, []loadtest.Result{exampleRun("floor", 100)}) // usher did not run
	other := exampleRun("usher", 7)
	other.Settings["size"] = 9
	p.Rounds = append(p.Rounds, []loadtest.Result{exampleRun("floor", 1), other}) // nor are these alike
	got := performance(t, p)
	for _, want := range []string{
		"CPU, µs per delivery", "2.00 (2.00–2.00) |", "0.25 (0.25–0.25) |",
		"15.6 (5.20–52.0)", // the median of 1, 2, 3, 7, 10 times 5.2
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestPerformanceTellsFaults(t *testing.T) {
	p := examplePerformance()
	if got := performance(t, p); !strings.Contains(got, "There were no errors, and each of 9 000 000 expected deliveries came.") {
		t.Errorf("got\n%s", got)
	}
	p.Rounds[1][0].Counts["lost"] = 3
	p.Rounds[2][2].Errors = map[string]int64{"dial": 1}
	p.Rounds[2][1].Generator.Limited = true
	got := performance(t, p)
	for _, want := range []string{
		"- fanout, usher, round 2: Of 1 000 000 expected deliveries, 3 were lost.",
		"- fanout, naive, round 3: There was 1 error.",
		"- fanout, floor, round 3: The generator may be what held the figures back",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "There were no errors") {
		t.Errorf("got\n%s", got)
	}
}

func TestPerformanceEscapes(t *testing.T) {
	const hostile = "a|b<!-- /measured -->`c`\n<!-- /measured -->\n| *d* [e](f) \x1b"
	p := examplePerformance()
	p.Machine, p.Kernel, p.Commit, p.Command = hostile, hostile, hostile, hostile
	p.Scenarios[0].Text = hostile
	for _, round := range p.Rounds {
		for i := range round {
			round[i].Scenario, round[i].Settings = hostile, map[string]any{hostile: hostile}
			round[i].Cost.Per = hostile
			round[i].Errors = map[string]int64{hostile: 1}
		}
	}
	got := performance(t, p)
	again, err := loadtest.UpdatePerformance([]byte(got), p)
	if err != nil || string(again) != got {
		t.Errorf("what was measured has a marker in it: %v\n%s", err, got)
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "|") {
			if n := strings.Count(line, "|") - strings.Count(line, `\|`); n != 8 {
				t.Errorf("a row has %d cells: %s", n-1, line)
			}
		}
	}
}

func TestUpdatePerformance(t *testing.T) {
	p := examplePerformance()
	fresh := performance(t, p)
	for _, empty := range []string{"", " \n"} {
		if got, err := loadtest.UpdatePerformance([]byte(empty), p); err != nil || string(got) != fresh {
			t.Errorf("of %q: %v, got\n%s", empty, err, got)
		}
	}
	if got, err := loadtest.UpdatePerformance([]byte(fresh), p); err != nil || string(got) != fresh {
		t.Errorf("the same figures change the document: %v", err)
	}
	_, measured, _ := strings.Cut(fresh, "<!-- measured -->\n")
	measured, _, _ = strings.Cut(measured, "<!-- /measured -->")

	for name, c := range map[string]struct{ old, want string }{
		"people's text stays": {
			"# Ours\n\nText, with `<!-- measured -->` in it.\n\n<!-- measured -->\nold\n<!-- /measured -->\nMore.",
			"# Ours\n\nText, with `<!-- measured -->` in it.\n\n<!-- measured -->\n%s<!-- /measured -->\nMore.",
		},
		"nothing around":        {"<!-- measured -->\n<!-- /measured -->", "<!-- measured -->\n%s<!-- /measured -->"},
		"indented markers":      {"a\n  <!-- measured --> \nold\n <!-- /measured -->\nb\n", "a\n<!-- measured -->\n%s<!-- /measured -->\nb\n"},
		"other bytes untouched": {"\xff\n<!-- measured -->\n<!-- /measured -->\n\x00", "\xff\n<!-- measured -->\n%s<!-- /measured -->\n\x00"},
	} {
		got, err := loadtest.UpdatePerformance([]byte(c.old), p)
		if want := fmt.Sprintf(c.want, measured); err != nil || string(got) != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, got, want)
		}
	}

	got, err := loadtest.UpdatePerformance([]byte("a\r\n<!-- measured -->\r\n<!-- /measured -->\r\nb\r\n"), p)
	if n := bytes.Count(got, []byte("\n")); err != nil || n != bytes.Count(got, []byte("\r\n")) {
		t.Errorf("a file with CRLF gets lines with LF: %v", err)
	}

	for old, want := range map[string]string{
		"text":                 "no line <!-- measured -->",
		"<!-- measured -->\nx": "no line <!-- /measured -->",
		"<!-- /measured -->":   "no line <!-- measured -->",
		"<!-- /measured -->\n<!-- measured -->\n":                          "is before",
		"<!-- measured -->\n<!-- measured -->\n<!-- /measured -->\n":       "more than one line <!-- measured -->",
		"<!-- measured -->\n<!-- /measured -->\n<!-- /measured -->\n":      "more than one line <!-- /measured -->",
		"see `<!-- measured -->` and\n`<!-- /measured -->`, in one line\n": "no line <!-- measured -->",
	} {
		got, err := loadtest.UpdatePerformance([]byte(old), p)
		if err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("%q: got %q, %v; want the error %s", old, got, err, want)
		}
	}
}
