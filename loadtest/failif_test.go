package loadtest_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"usher/loadtest"
)

func conditions(t *testing.T, s string) loadtest.Conditions {
	t.Helper()
	c, err := loadtest.ParseConditions(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// judgedRun is a run with round figures.
func judgedRun() loadtest.Result {
	return loadtest.Result{
		Counts: map[string]int64{"joins": 100, "expected": 5000, "delivered": 4988, "lost": 12, "doubled": 0, "misordered": 0},
		Errors: map[string]int64{"closed 4003 removed": 2, "dial: connection refused": 1, "not_allowed": 4},
		Rates:  map[string]float64{"delivered": 1234.5},
		Latencies: []loadtest.Latency{
			{Name: "delivery", Count: 4988, Min: 0.2, Mean: 3, P50: 2, P90: 10, P99: 63.1, P999: 90, Max: 120},
			{Name: "join", Count: 100, P50: 4, P99: 50.04, Max: 51},
			{Name: "resume", Count: 0},
		},
		Cost: &loadtest.Cost{CPUSeconds: 1, Units: 5000, Per: "delivery", PerUnit: 5.5, RSS: 40_000_000, RSSPeak: 48_000_000,
			PerConnection: 24_576, Goroutines: 310},
		Ratios:     []loadtest.Ratio{{To: "floor", Figure: "cpu", Value: 1.43}, {To: "naive", Figure: "memory", Value: 0.5}},
		ErrorKinds: []string{"late grant"},
	}
}

func TestConditionHolds(t *testing.T) {
	for condition, want := range map[string]string{ // "" when it does not hold
		"p99>50ms":        "p99 is 63.1 ms, more than 50.0 ms",
		"p99>63100us":     "",
		"p99>=63100us":    "p99 is 63.1 ms, 63.1 ms or more",
		"p50<2ms":         "",
		"p50<=2ms":        "p50 is 2.00 ms, 2.00 ms or less",
		"p50==2ms":        "p50 is 2.00 ms, which is 2.00 ms",
		"p50!=2ms":        "",
		"p50!=1ms":        "p50 is 2.00 ms, not 1.00 ms",
		"p90>0.005s":      "p90 is 10.0 ms, more than 5.00 ms",
		"p999>1s":         "",
		"max>100ms":       "max is 120 ms, more than 100 ms",
		"mean>2ms":        "mean is 3.00 ms, more than 2.00 ms",
		"min>100µs":       "min is 200 µs, more than 100 µs",
		"join.p99>50ms":   "join.p99 is 50.04 ms, more than 50 ms", // and not: 50.0 ms, more than 50.0 ms
		"delivery.max<1s": "delivery.max is 120 ms, less than 1.00 s",

		"errors>0":                       "errors is 7, more than 0 (not_allowed 4, closed 4003 removed 2, dial: connection refused 1)",
		"errors>7":                       "",
		"errors.dial>0":                  "errors.dial is 1, more than 0",
		"errors.closed>1":                "errors.closed is 2, more than 1",
		"errors.closed 4003>1":           "errors.closed 4003 is 2, more than 1",
		"errors.closed 4003 removed>1":   "errors.closed 4003 removed is 2, more than 1",
		"errors.not_allowed>=4":          "errors.not_allowed is 4, 4 or more",
		"errors.closed 4001>0":           "", // could have been
		"errors.room_full>0":             "",
		"errors.late grant>0":            "", // the run says that it could have been
		"errors.closed 4001 == 0":        "errors.closed 4001 is 0, which is 0",
		"lost>0":                         "lost is 12, more than 0",
		"doubled>0":                      "",
		"misdirected>0":                  "", // every run looks for it
		"delivered<5k":                   "delivered is 4 988, less than 5 000",
		"delivered<4_900":                "",
		"joins!=100":                     "",
		"rate.delivered<2k":              "rate.delivered is 1 234/s, less than 2 000/s",
		"rate.delivered<1200/s":          "",
		"cpu>5":                          "cpu is 5.50 µs, more than 5.00 µs",
		"cpu>0.01ms":                     "",
		"memory>24KB":                    "memory is 24.6 KB, more than 24.0 KB",
		"memory>24KiB":                   "",
		"memory>=24576":                  "memory is 24.6 KB, 24.6 KB or more",
		"memory>24k":                     "memory is 24.6 KB, more than 24.0 KB",
		"rss>45MB":                       "rss is 48.0 MB, more than 45.0 MB", // the height
		"rss>1g":                         "",
		"goroutines>300":                 "goroutines is 310, more than 300",
		"ratio.floor.cpu>1.4":            "ratio.floor.cpu is 1.43, more than 1.40",
		"ratio.naive.memory >= 1":        "",
		"ratio.floor.cpu > 1.4x":         "ratio.floor.cpu is 1.43, more than 1.40",
		" p99 > 50 ms , lost > 100 ":     "p99 is 63.1 ms, more than 50.0 ms",
		"p99>1e-3s,p99>50ms,join.p50>5s": "p99 is 63.1 ms, more than 1.00 ms; p99 is 63.1 ms, more than 50.0 ms",
	} {
		got, err := conditions(t, condition).Failed(judgedRun())
		if err != nil {
			t.Errorf("%s: %v", condition, err)
		} else if strings.Join(got, "; ") != want {
			t.Errorf("%s: got %q, want %q", condition, got, want)
		}
	}
}

// TestConditionOnWhatWasNotMeasured: neither a typing error nor a figure that is
// missing passes for a good run.
func TestConditionOnWhatWasNotMeasured(t *testing.T) {
	type run = loadtest.Result
	for _, c := range []struct {
		condition string
		change    func(r *run)
		want      string
	}{
		{"losst>0", nil, `the run has no count "losst"; did you mean "lost"? it has delivered, doubled, expected, joins, lost, misordered`},
		{"late>0", nil, `the run has no count "late"`},
		{"lost>0", func(r *run) { delete(r.Counts, "lost") }, `the run has no count "lost"`},
		{"lost>0", func(r *run) { r.Counts = nil }, `the run has no count "lost", nor any other`},
		{"rate.deliverd>0", nil, `the run has no rate "deliverd"; did you mean "delivered"?`},
		{"errors.dail>0", nil, `the run has no kind of error "dail"; did you mean "dial"?`},
		{"errors.closed 40>0", nil, `the run has no kind of error "closed 40"`},
		{"jion.p99>1s", nil, `the run has no latency "jion"; did you mean "join"?`},
		{"resume.p99>1s", nil, `no samples of the latency "resume"`},
		{"p99>1s", func(r *run) { r.Latencies = nil }, "no samples of its main latency"},
		{"max>1s", func(r *run) { r.Latencies[0].Count = 0 }, "no samples of its main latency"},
		{"p99>1s", func(r *run) { r.Latencies[0].P99 = math.NaN() }, "not a number"},
		{"rate.delivered<1", func(r *run) { r.Rates["delivered"] = math.Inf(1) }, "not a number"},
		{"cpu>1", func(r *run) { r.Cost = nil }, "what the server used was not measured"},
		{"cpu>1", func(r *run) { r.Cost.Units = 0 }, "no work"},
		{"memory>1", func(r *run) { r.Cost.PerConnection = 0 }, "memory for a connection is not known"},
		{"rss>1", func(r *run) { r.Cost.RSS, r.Cost.RSSPeak = 0, 0 }, "memory of the server is not known"},
		{"goroutines>1", func(r *run) { r.Cost.Goroutines = 0 }, "/metrics"},
		{"ratio.floor.p99>1", nil, "it has ratio.floor.cpu, ratio.naive.memory"},
		{"ratio.floor.cpu>1", func(r *run) { r.Ratios = nil }, "nor any other"},
		{"p99>50ms,nothing>0,nowhere>0", nil, `"nowhere>0"`},
	} {
		r := judgedRun()
		if c.change != nil {
			c.change(&r)
		}
		got, err := conditions(t, c.condition).Failed(r)
		if err == nil {
			t.Errorf("%s passed with %q", c.condition, got)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.condition, err, c.want)
		}
	}
	got, err := conditions(t, "nothing>0,p99>50ms").Failed(judgedRun())
	if err == nil || len(got) != 1 {
		t.Errorf("an error keeps others from being told: got %q, %v", got, err)
	}
}

func TestParseConditionsErrors(t *testing.T) {
	for s, want := range map[string]string{
		"p99":               `condition 1, "p99": no comparison; write a figure, one of > >= < <= == != and a number`,
		"lost>0,":           `condition 2, "": there is nothing between the commas`,
		"lost>0,,p99>1ms":   `condition 2, "": there is nothing`,
		">5":                "nothing on the left of the comparison; there are p50, p90, p99",
		"p99>":              "nothing to compare p99 with; it is a duration with its unit: 500us, 50ms or 2s",
		"p99>50":            "p99 needs a unit; it is a duration with its unit",
		"p99>50m":           `"m" is no unit of p99`,
		"p99>50KB":          `"KB" is no unit of p99`,
		"p99=50ms":          `"=" is no comparison; equal is ==`,
		"p99<>50ms":         `"<>" is no comparison; unequal is !=`,
		"p99=>50ms":         `"=>" is no comparison; there are > >= < <= == !=`,
		"p95>50ms":          `a latency has no "p95"; it has p50, p90, p99, p999, max, mean, min`,
		"p99.9>50ms":        "write p999",
		"join.p99.9>50ms":   "write join.p999",
		"join.p95>50ms":     `a latency has no "p95"`,
		".p99>50ms":         `a latency has no "p99"`,
		"lost>0.5.1":        `".1" is no unit of lost`,
		"lost>-1":           `"-1" is not a number`,
		"lost>many":         `"many" is not a number; lost is a count: 0, 100 or 10k`,
		"lost>50ms":         `"ms" is no unit of lost`,
		"lost>1e999":        "not a number that can be compared",
		"rss>1e308GB":       "too large",
		"memory>1parsec":    "it is a size: 24000, 24KB, 24KiB or 1MB",
		"50ms<p99":          `"p99" is not a number`,
		"50<lost":           "the figure is on the left",
		"rate>5":            "rate of what? Write rate.delivered",
		"rate.>5":           "nothing after the dot",
		"errors.>5":         "nothing after the dot",
		"ratio.flor.cpu>2":  "no such ratio; there are ratio.floor. and ratio.naive. with cpu, p50, p99 or memory",
		"ratio.floor.rss>2": "no such ratio",
		"lost>0\x00":        "cannot be printed",
		"l\xffst>0":         "cannot be printed",
		"p99>50ms lost>0":   `is no unit of p99`,
		"lost>0;p99>50ms":   `is no unit of lost`,
	} {
		c, err := loadtest.ParseConditions(s)
		if err == nil {
			t.Errorf("%q was read as %v", s, c)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", s, err, want)
		}
	}
}

func TestNoConditions(t *testing.T) {
	for _, s := range []string{"", "  "} {
		c := conditions(t, s)
		if got, err := c.Failed(loadtest.Result{}); len(c) != 0 || len(got) != 0 || err != nil {
			t.Errorf("%q: got %v, %q, %v", s, c, got, err)
		}
	}
}

func TestConditionsPrint(t *testing.T) {
	got := conditions(t, " p99 > 50 ms,errors.closed 4003>=2 , memory<24kib,cpu>5,rate.x != 1K, p50>0,p90<1.5μs").String()
	if want := "p99>50ms,errors.closed 4003>=2,memory<24KiB,cpu>5us,rate.x!=1k,p50>0us,p90<1.5us"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzParseConditions(f *testing.F) {
	for _, s := range []string{
		"p99>50ms,errors>0", "join.p99 >= 1.5s", "errors.closed 4003 != 1_000", "memory<24KiB", "ratio.floor.cpu>1e1x",
		"rate.delivered<10k/s", "cpu>5", "a.b.c.max==0", "é>0", "p99>>1ms", ",", "x<1e-400", "lost>1E+3M", "errors.\u00a0>1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := loadtest.ParseConditions(s)
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Errorf("%q: got %v with the error %q", s, c, err)
			}
			return
		}
		again, err := loadtest.ParseConditions(c.String())
		if err != nil {
			t.Fatalf("%q printed as %q, which is refused: %v", s, c, err)
		}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("%q printed as %q, which is %#v and not %#v", s, c, again, c)
		}
		sentences, err := c.Failed(judgedRun())
		if err == nil && len(sentences) > len(c) {
			t.Fatalf("%q: %d sentences of %d conditions", s, len(sentences), len(c))
		}
		for _, s := range sentences {
			if noNumber.MatchString(s) && !noNumber.MatchString(c.String()) {
				t.Fatalf("%q says %q", c, s)
			}
		}
	})
}
