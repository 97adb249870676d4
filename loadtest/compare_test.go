package loadtest

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func round(cpu, p99 float64, lost int64) Result {
	return Result{Seconds: 1, Settings: map[string]any{}, Counts: map[string]int64{"lost": lost}, Errors: map[string]int64{"dial": lost},
		Rates: map[string]float64{"joins": p99}, Latencies: []Latency{{Name: "join", Count: 10, P99: p99}},
		Cost: &Cost{PerUnit: cpu, Units: 1}, Findings: []string{fmt.Sprint(lost, " lost")}}
}

// Figures are medians of the rounds; what went wrong in one of them stays.
func TestMerge(t *testing.T) {
	ours := []Result{round(30, 1, 0), round(10, 5, 7), round(20, 3, 1)}
	m := merge(ours)
	if m.Cost.PerUnit != 20 || m.Latencies[0].P99 != 3 || m.Rates["joins"] != 3 {
		t.Errorf("got %v, %v, %v; want medians", m.Cost.PerUnit, m.Latencies[0].P99, m.Rates)
	}
	if m.Counts["lost"] != 8 || m.Errors["dial"] != 8 || len(m.Findings) != 3 || m.Settings["rounds"] != 3 {
		t.Errorf("got %+v, want the failures of all rounds", m)
	}
	// Counts are of all rounds alike: what was lost is lost of what was expected.
	for i := range ours {
		ours[i].Counts = map[string]int64{"expected": 10, "delivered": 10 - int64(i), "lost": int64(i), "everybody_ms": int64(i)}
		ours[i].Latencies[0].Min, ours[i].Latencies[0].Max = float64(i+1), float64(i+7)
	}
	sums := merge(ours)
	if got := fmt.Sprint(sums.Counts); got != "map[delivered:27 everybody_ms:1 expected:30 lost:3]" {
		t.Errorf("got %s", got)
	}
	if l := sums.Latencies[0]; l.Count != 30 || l.Min != 1 || l.Max != 9 {
		t.Errorf("got %+v, want the samples of all rounds", l)
	}
	ours[2].Counts["lost"] = 1
	if ours[2].Counts["lost"] != 1 || ours[2].Settings["rounds"] != nil {
		t.Errorf("a round was changed: %+v", ours[2])
	}
	// Each round of ours to the same round of theirs: 3, 1, 2.
	got := fmt.Sprint(ratios("floor", ours, []Result{round(10, 1, 0), round(10, 1, 0), round(10, 1, 0)}))
	if want := "[{floor cpu 2 } {floor p99 3 }]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if all := ratios("floor", ours, []Result{{}, {}}); len(all) != 0 {
		t.Errorf("got %v of rounds without figures", all)
	}
}

func TestMiddle(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{4}, 4}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := middle(test.values); got != test.want {
			t.Errorf("%v: got %v, want %v", test.values, got, test.want)
		}
	}
}

// A process that works is seen to.
func TestReadProcess(t *testing.T) {
	before, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.rss < 1<<20 {
		t.Errorf("got %d bytes of memory", before.rss)
	}
	for until := time.Now().Add(30 * time.Second); ; {
		after, err := readProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after.cpu > before.cpu {
			return
		}
		if time.Now().After(until) {
			t.Fatal("it has used no CPU")
		}
	}
}

func TestSlope(t *testing.T) {
	var series []Sample
	for i := range 10 {
		series = append(series, Sample{At: float64(i), RSS: int64(100 + 7*i)})
	}
	rss := func(s Sample) int64 { return s.RSS }
	if got := slope(series, rss); got < 6.99 || got > 7.01 {
		t.Errorf("got %v, want 7", got)
	}
	if got := slope(series[:1], rss); got != 0 {
		t.Errorf("got %v of one sample, want 0", got)
	}
}

// Whatever the order of the fields and however many changes are in a message,
// each is read once.
func TestEachChange(t *testing.T) {
	for message, want := range map[string]string{
		`{"type":"participantJoined","seq":3,"participant":{"sid":"PA_1","identity":"lt-1","version":1}}`: "J3:lt-1 ",
		`{"type":"participants","seq":5,"changes":[{"type":"participantJoined","seq":4,"participant":{"identity":"lt-2"}},` +
			`{"type":"participantLeft","seq":5,"sid":"PA_3","identity":"lt-3","reason":"MIGRATION"}],"numParticipants":9}`: "J4:lt-2 L5:lt-3 ",
		`{"type":"participants","seq":7,"changes":[],"numParticipants":1200}`: "",
		`{"type":"participantLeft","identity":"lt-4"}`:                        "L0:lt-4 ",
		`{"type":"participant`: "",
	} {
		got := ""
		eachChange([]byte(message), func(c change) { got += fmt.Sprintf("%c%d:%s ", c.kind, c.seq, c.identity) })
		if got != want {
			t.Errorf("%s: got %q, want %q", message, got, want)
		}
	}
	if n, ok := personIndex([]byte("lt-17"), "lt-"); !ok || n != 17 {
		t.Errorf("got %d, %t", n, ok)
	}
	for _, other := range []string{"", "lt-", "lt-x", "lt--1", "ada"} {
		if n, ok := personIndex([]byte(other), "lt-"); ok {
			t.Errorf("%q: got %d", other, n)
		}
	}
}
