package loadtest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"usher/loadtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; go test -run '%s' -update writes it anew. Got:\n%s", file, t.Name(), got)
	}
}

// exampleRun is a run with everything measured: fanout, slower by slow.
func exampleRun(server string, slow float64) loadtest.Result {
	r := loadtest.Result{
		Scenario: "fanout", Server: server, URL: "ws://127.0.0.1:7880/session",
		Settings: map[string]any{"receivers": 1000, "publishers": 4, "size": 128, "rate": 250.0, "settle": 5.0, "transport": "websocket"},
		Started:  time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC), Seconds: 30,
		Counts: map[string]int64{"joins": 1004, "published": 7500, "expected": 1_000_000, "delivered": 1_000_000,
			"lost": 0, "doubled": 0, "misordered": 0},
		Rates: map[string]float64{"published": 250, "delivered": 33333.3},
		Latencies: []loadtest.Latency{
			exampleLatency("delivery", 1_000_000, 0.9*slow),
			exampleLatency("join", 1004, 4.2*slow),
		},
		Cost: &loadtest.Cost{
			Source: "pid", CPUSeconds: 5.2 * slow, Per: "delivery", Units: 1_000_000, PerUnit: 5.2 * slow,
			RSS: 48_200_000, RSSPeak: 51_000_000, RSSBefore: 24_100_000, PerConnection: int64(24_080 * slow),
			Goroutines: 3012, GCCount: 41, GCSeconds: 0.0122, Allocated: 512_000_000, Mallocs: 3_104_221,
		},
		Generator: loadtest.Generator{CPUSeconds: 8.1, Cores: 2, Share: 0.135, LagP99: 1.21},
		Machine:   "2 cores (AMD EPYC 9R14), Linux 6.8.0, go1.26.8",
	}
	for i := range 30 {
		wave := 1 + 0.15*math.Sin(float64(i)/3+slow)
		r.Series = append(r.Series, loadtest.Sample{
			At: float64(i + 1), Connections: int64(min(1004, 200*(i+1))), Rate: 33333 * min(1, float64(i+1)/5) * (0.97 + 0.03*wave),
			P50: 0.9 * slow * wave, P99: 3.1 * slow * wave * wave,
			RSS: int64(24e6 + 24e6*slow*min(1, float64(i+1)/6)), CPU: 0.17 * slow * wave, Goroutines: 3012,
		})
	}
	return r
}

func exampleLatency(name string, n int64, median float64) loadtest.Latency {
	at := func(q float64) float64 { return median * (0.4 + 0.6*math.Pow(-math.Log2(1-q), 0.9)) }
	l := loadtest.Latency{Name: name, Count: n, Min: median * 0.4, Mean: median * 1.1, P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999)}
	for x := 0.0; x < math.Log10(float64(n)); x += 0.1 {
		q := 1 - math.Pow(10, -x)
		l.Curve = append(l.Curve, [2]float64{q, at(q)})
	}
	l.Max = at(1-1/float64(n)) * 1.2
	l.Curve = append(l.Curve, [2]float64{1, l.Max})
	return l
}

// exampleRuns are two scenarios, the first against yardsticks too, with a run that went wrong.
func exampleRuns() []loadtest.Result {
	usher, floor, naive := exampleRun("usher", 1), exampleRun("floor", 0.7), exampleRun("naive", 2.6)
	usher.Command = "usher loadtest fanout --receivers 1000 --publishers 4 --against floor,naive --report fanout.html"
	for _, y := range []*loadtest.Result{&floor, &naive} { // programs without /metrics
		y.Cost.Goroutines, y.Cost.GCCount, y.Cost.GCSeconds, y.Cost.Allocated, y.Cost.Mallocs = 0, 0, 0, 0, 0
	}
	usher.Ratios = []loadtest.Ratio{{To: "floor", Figure: "cpu", Value: 1.43}, {To: "naive", Figure: "cpu", Value: 0.38}}
	naive.Counts["delivered"], naive.Counts["lost"], naive.Counts["misordered"] = 999_954, 46, 3
	naive.Errors = map[string]int64{"closed 4001 slow_consumer": 2, "dial: connection refused": 1}
	naive.Findings = []string{"46 lost", "two connections were closed for being slow"}

	storm := exampleRun("usher", 3)
	storm.Scenario, storm.Settings = "join-storm", map[string]any{"joiners": 5000, "ramp": "1s"}
	storm.Counts, storm.Rates = map[string]int64{"joins": 5000}, map[string]float64{"joins": 1722.4}
	storm.Latencies = storm.Latencies[1:]
	storm.Cost.Per, storm.Cost.Units, storm.Cost.PerUnit = "join", 5000, 212
	storm.Generator.Limited, storm.Generator.Share = true, 0.93
	return []loadtest.Result{naive, usher, floor, storm}
}

func report(t *testing.T, results ...loadtest.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := loadtest.WriteReport(&b, results); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// document is what the tests look at in a report, which is XML but for its
// void elements and a few attributes.
func document(t *testing.T, html string) (text string, elements map[string]int) {
	t.Helper()
	elements = map[string]int{}
	html = regexp.MustCompile(`(?s)^<!DOCTYPE html>|<style>.*?</style>`).ReplaceAllString(html, "")
	html = regexp.MustCompile(`<(meta|br)([^>]*)>`).ReplaceAllString(html, "<$1$2/>")
	d := xml.NewDecoder(strings.NewReader(html))
	d.Entity = map[string]string{"nbsp": "\u00a0"}
	var b strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), elements
		}
		if err != nil {
			t.Fatalf("the report is not well-formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				if n := strings.ToLower(a.Name.Local); strings.HasPrefix(n, "on") || n == "style" || n == "src" || n == "href" && !strings.HasPrefix(a.Value, "#") {
					t.Errorf("<%s %s=%q>: nothing may run or load", token.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			b.WriteByte(' ')
		case xml.CharData:
			b.Write(token)
		}
	}
}

func TestReport(t *testing.T) {
	html := report(t, exampleRuns()...)
	text, elements := document(t, html)
	text = strings.ReplaceAll(text, "\u00a0", " ")
	for _, want := range []string{
		"fanout", "join-storm", "usher loadtest fanout --receivers 1000", "2 cores (AMD EPYC 9R14)", "2026-11-22 09:30:00 UTC",
		"Every one of 1 000 000 expected deliveries came, once and in order.",
		"Of 1 000 000 expected deliveries, 46 were lost and 3 came out of order. There were 3 errors.",
		"error: closed 4001 slow_consumer", "usher ÷ floor", "usher ÷ naive", "1.43", "0.38", "24.1 KB",
		"Latency by percentile", "Latency p50 over time", "Latency p99 over time", "Rate over time", "Memory over time", "CPU over time",
		"Two connections were closed for being slow.", "The generator may be what held the figures back", "Absolute times mean nothing on a shared machine",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	// Six plots and the join's distribution; six of the storm, which has one latency.
	if got, want := elements["figure"], 7+6; got != want {
		t.Errorf("got %d plots, want %d", got, want)
	}
	if elements["desc"] != elements["figure"] || elements["figcaption"] != elements["figure"] {
		t.Errorf("got %d descriptions and %d captions of %d plots", elements["desc"], elements["figcaption"], elements["figure"])
	}
	if usher, naive := strings.Index(text, "usher ✓"), strings.Index(text, "naive ✕"); usher > naive {
		t.Error("usher is not before the naive server")
	}
}

// TestReportPolicy checks that the page's style is the one its policy allows.
func TestReportPolicy(t *testing.T) {
	html := report(t, exampleRuns()...)
	_, style, _ := strings.Cut(html, "<style>")
	style, _, ok := strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	hash := "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	_, policy, _ := strings.Cut(html, `http-equiv="Content-Security-Policy" content="`)
	policy, _, _ = strings.Cut(policy, `"`)
	policy = strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(policy)
	if want := "default-src 'none'; style-src '" + hash + "'; base-uri 'none'; form-action 'none'"; !ok || policy != want {
		t.Errorf("got policy %q, want %q", policy, want)
	}
	for _, bad := range []string{"<script", "<link", "<img", "@import", "url(", "ZgotmplZ"} {
		if strings.Contains(html, bad) {
			t.Errorf("the report has %q in it", bad)
		}
	}
}

// fill sets every string in v to s, and adds s as a name to every map of counts.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Pointer:
		fill(v.Elem(), s)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), s)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), s)
		}
	case reflect.Map:
		key := reflect.ValueOf(s)
		if v.Type().Elem().Kind() == reflect.Interface {
			v.SetMapIndex(key, key)
		} else if !v.IsNil() {
			v.SetMapIndex(key, reflect.ValueOf(7).Convert(v.Type().Elem()))
		}
	}
}

func TestReportHostileNames(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'"` + "`" + `</style></title></svg><b>`, `{{.Style}}`, `&lt;&amp;`,
		"\x00\x1b[31m\x7f\xff", "\u202egnp.exe\u2066", "]]>", strings.Repeat("long", 500), "javascript:alert(1)",
	} {
		results := exampleRuns()
		for i := range results {
			results[i].Ratios = append(results[i].Ratios, loadtest.Ratio{Value: 2})
			results[i].Findings, results[i].Errors = []string{""}, map[string]int64{}
			fill(reflect.ValueOf(&results[i]), hostile)
		}
		html := report(t, results...)
		text, elements := document(t, html)
		for _, e := range []string{"script", "img", "b>"} {
			if elements[e] > 0 {
				t.Errorf("%.40q became an element <%s>", hostile, e)
			}
		}
		for _, r := range text {
			if r < ' ' && r != '\n' || r == 0x7f || r == 0x202e || r == 0x2066 {
				t.Fatalf("%.40q: the report has the character %U in it", hostile, r)
			}
		}
		if strings.HasPrefix(hostile, "<") && !strings.Contains(text, hostile) {
			t.Errorf("%.40q is not shown as it is", hostile)
		}
		var b bytes.Buffer
		if err := loadtest.WriteTable(&b, results[0]); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x00\x1b\x7f\u202e\u2066") {
			t.Errorf("%.40q: the table has control characters in it", hostile)
		}
	}
}

// extremes are results at the edges of what can be.
func extremes() map[string]loadtest.Result {
	nan, inf := math.NaN(), math.Inf(1)
	with := func(change func(r *loadtest.Result)) loadtest.Result {
		r := exampleRun("usher", 1)
		change(&r)
		return r
	}
	numbers := func(to float64, n int64) loadtest.Result {
		r := exampleRun("usher", 1)
		var set func(v reflect.Value)
		set = func(v reflect.Value) {
			switch v.Kind() {
			case reflect.Float64:
				v.SetFloat(to)
			case reflect.Int64, reflect.Int:
				v.SetInt(n)
			case reflect.Pointer:
				set(v.Elem())
			case reflect.Struct:
				for i := range v.NumField() {
					if v.Field(i).CanSet() {
						set(v.Field(i))
					}
				}
			case reflect.Slice, reflect.Array:
				for i := range v.Len() {
					set(v.Index(i))
				}
			}
		}
		set(reflect.ValueOf(&r))
		for k := range r.Counts {
			r.Counts[k] = n
		}
		for k := range r.Rates {
			r.Rates[k] = to
		}
		r.Ratios = []loadtest.Ratio{{To: "floor", Figure: "cpu", Value: to}}
		return r
	}
	return map[string]loadtest.Result{
		"nothing":          {},
		"zero":             numbers(0, 0),
		"not a number":     numbers(nan, 1),
		"infinite":         numbers(inf, math.MaxInt64),
		"minus infinity":   numbers(math.Inf(-1), math.MinInt64),
		"greatest":         numbers(math.MaxFloat64, math.MaxInt64),
		"least":            numbers(math.SmallestNonzeroFloat64, 1),
		"negative":         numbers(-1, -1),
		"huge":             numbers(1e15, 1e15),
		"one sample":       with(func(r *loadtest.Result) { r.Series = r.Series[:1] }),
		"no samples":       with(func(r *loadtest.Result) { r.Series = nil; r.Latencies[0].Curve = nil }),
		"no latency":       with(func(r *loadtest.Result) { r.Latencies[0].Count = 0 }),
		"a latency":        with(func(r *loadtest.Result) { r.Latencies = []loadtest.Latency{{Name: "x", Count: 1, P50: 1, Max: 1}} }),
		"no cost":          with(func(r *loadtest.Result) { r.Cost = nil }),
		"nan in settings":  with(func(r *loadtest.Result) { r.Settings["rate"] = nan; r.Settings["x"] = nil }),
		"a day of seconds": with(func(r *loadtest.Result) { r.Series = day() }),
	}
}

func day() []loadtest.Sample {
	s := make([]loadtest.Sample, 86400)
	for i := range s {
		s[i] = loadtest.Sample{At: float64(i), Rate: float64(i % 1000), P50: 1, P99: float64(i%7) * 40, RSS: 1 << 30, CPU: 0.5}
	}
	return s
}

var noNumber = regexp.MustCompile(`NaN|[+-]?Inf\b|%!`)

func TestExtremes(t *testing.T) {
	for name, r := range extremes() {
		t.Run(name, func(t *testing.T) {
			html := report(t, r, exampleRun("floor", 1))
			text, _ := document(t, html)
			if found := noNumber.FindString(html[strings.Index(html, "<body>"):]); found != "" {
				t.Errorf("the report has %q in it: %s", found, text)
			}
			if len(html) > 300_000 {
				t.Errorf("the report has %d bytes", len(html))
			}
			var b bytes.Buffer
			if err := loadtest.WriteTable(&b, r); err != nil {
				t.Fatal(err)
			}
			if found := noNumber.FindString(b.String()); found != "" {
				t.Errorf("the table has %q in it:\n%s", found, &b)
			}
			if err := loadtest.WritePerformance(&b, loadtest.Performance{Rounds: [][]loadtest.Result{{r, exampleRun("floor", 1)}, {r}}}); err != nil {
				t.Fatal(err)
			}
			if found := noNumber.FindString(b.String()); found != "" {
				t.Errorf("docs/performance.md has %q in it:\n%s", found, &b)
			}
		})
	}
}

func TestReportOfNothing(t *testing.T) {
	text, elements := document(t, report(t))
	if !strings.Contains(text, "There are no results.") || elements["figure"] > 0 || elements["table"] > 0 {
		t.Errorf("got %s", text)
	}
}

// TestReportSurvivesJSON: a report of results that were written with --json is the same.
func TestReportSurvivesJSON(t *testing.T) {
	results := exampleRuns()
	b, err := json.Marshal(results)
	if err != nil {
		t.Fatal(err)
	}
	var back []loadtest.Result
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if report(t, results...) != report(t, back...) {
		t.Error("the report of results read from JSON is another")
	}
}

// TestReportLaysTogether: runs of one server with other settings are told apart,
// and no ratio is made between runs that are not alike.
func TestReportLaysTogether(t *testing.T) {
	small, large, floor := exampleRun("usher", 1), exampleRun("usher", 1.5), exampleRun("floor", 0.5)
	large.Settings["receivers"] = 5000
	text, _ := document(t, report(t, small, large, floor))
	text = strings.ReplaceAll(text, "\u00a0", " ")
	for _, want := range []string{"usher 2", "Settings that differ", "usher ÷ floor"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if strings.Contains(text, "usher 2 ÷ floor") {
		t.Error("the report has the ratio of two runs with other settings")
	}
}
