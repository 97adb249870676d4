package loadtest_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"usher/loadtest"
)

func table(t *testing.T, r loadtest.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := loadtest.WriteTable(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	runs := exampleRuns()
	for file, r := range map[string]loadtest.Result{
		"table_faulty.txt": runs[0], "table_correct.txt": runs[1], "table_joins.txt": runs[3], "table_nothing.txt": {},
	} {
		got := table(t, r)
		golden(t, file, []byte(got))
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("%s: a line has %d columns: %s", file, n, line)
			}
			if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
				t.Errorf("%s: a line ends with a space: %q", file, line)
			}
		}
	}
}

func TestTableSurvivesJSON(t *testing.T) {
	r := exampleRuns()[1]
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back loadtest.Result
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if got, want := table(t, back), table(t, r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTableCorrectness: it claims what was counted, and no more.
func TestTableCorrectness(t *testing.T) {
	for name, c := range map[string]struct {
		counts map[string]int64
		want   string
	}{
		"all well":      {map[string]int64{"expected": 12_345, "delivered": 12_345, "lost": 0, "doubled": 0, "misordered": 0}, "Every one of 12 345 expected deliveries came, once and in order."},
		"also in time":  {map[string]int64{"expected": 20, "delivered": 20, "doubled": 0, "misordered": 0, "late": 0}, "Every one of 20 expected deliveries came, once, in order and in time."},
		"only counted":  {map[string]int64{"expected": 20, "delivered": 20}, "Every one of 20 expected deliveries came."},
		"one":           {map[string]int64{"expected": 1, "delivered": 1, "doubled": 0}, "The one expected delivery came, once."},
		"lost":          {map[string]int64{"expected": 1000, "delivered": 998, "lost": 2}, "Of 1 000 expected deliveries, 2 were lost."},
		"lost one":      {map[string]int64{"expected": 1, "delivered": 0, "lost": 1}, "Of 1 expected delivery, 1 was lost."},
		"all at once":   {map[string]int64{"expected": 9, "delivered": 5, "lost": 3, "doubled": 2, "misordered": 4, "late": 1}, "Of 9 expected deliveries, 3 were lost, 2 came more than once, 4 came out of order and 1 came too late."},
		"unexplained":   {map[string]int64{"expected": 10, "delivered": 8, "lost": 0}, "Of 10 expected deliveries, 2 are not accounted for."},
		"too many":      {map[string]int64{"expected": 10, "delivered": 12}, "Of 10 expected deliveries, 2 came that nobody expected."},
		"only doubled":  {map[string]int64{"doubled": 4}, "Of the deliveries, 4 came more than once."},
		"none expected": {map[string]int64{"joins": 4}, "No deliveries were expected, so none could be missed."},
		"misdirected":   {map[string]int64{"expected": 5, "delivered": 5, "misdirected": 2, "event_gaps": 1}, "Every one of 5 expected deliveries came. What must not happen did: 2 misdirected and 1 event gaps."},
	} {
		got := table(t, loadtest.Result{Scenario: "x", Counts: c.counts})
		if !strings.Contains(strings.ReplaceAll(got, "\n", " "), " "+c.want+" There were no errors.") {
			t.Errorf("%s: got\n%s\nwant %s", name, got, c.want)
		}
	}
}

// TestTableShowsOnlyWhatWasMeasured goes from nothing to single figures.
func TestTableShowsOnlyWhatWasMeasured(t *testing.T) {
	empty := table(t, loadtest.Result{Scenario: "x"})
	for _, not := range []string{"counts", "latency", "server", "generator", "against", "CPU", "goroutines", "errors\n", " 0"} {
		if strings.Contains(empty, not) {
			t.Errorf("of a run without anything there is %q:\n%s", not, empty)
		}
	}
	few := table(t, loadtest.Result{Latencies: []loadtest.Latency{{Name: "join", Count: 50, P50: 1, P90: 2, P99: 3, P999: 4, Max: 5}}})
	if strings.Contains(few, "3.00 ms") || strings.Contains(few, "4.00 ms") || !strings.Contains(few, "2.00 ms") {
		t.Errorf("50 samples tell p50 and p90, and neither p99 nor p99.9:\n%s", few)
	}
	cpu := table(t, loadtest.Result{Cost: &loadtest.Cost{Source: "pid", CPUSeconds: 1.5, RSS: 1_000_000}})
	for _, not := range []string{"goroutines", "GC", "per connection", " per "} {
		if strings.Contains(cpu, not) {
			t.Errorf("of a server that is no Go server there is %q:\n%s", not, cpu)
		}
	}
}

func TestTableUnits(t *testing.T) {
	for ms, want := range map[float64]string{
		0.0004: "0.400 µs", 0.0123: "12.3 µs", 0.9994: "999 µs", 0.9996: "1.00 ms", 1: "1.00 ms", 63.12: "63.1 ms", 99.96: "100 ms",
		999.4: "999 ms", 999.7: "1.00 s", 12_345: "12.3 s", 1_234_567: "1 235 s",
	} {
		got := table(t, loadtest.Result{Latencies: []loadtest.Latency{{Name: "l", Count: 1, P50: ms}}})
		if !strings.Contains(got, " "+want+" ") {
			t.Errorf("%v ms: want %s in\n%s", ms, want, got)
		}
	}
	for n, want := range map[int64]string{1: "1.00 B", 999: "999 B", 1000: "1.00 KB", 24_080: "24.1 KB", 999_700: "1.00 MB", 5_300_000_000: "5.30 GB"} {
		if got := table(t, loadtest.Result{Cost: &loadtest.Cost{RSS: n}}); !strings.Contains(got, " "+want+" at the end") {
			t.Errorf("%d bytes: want %s in\n%s", n, want, got)
		}
	}
}
