package loadtest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/goleak"

	"usher/room"
	"usher/session/sessiontest"
	"usher/web"
	roomservice "usher/web/livekit"
	api "usher/web/usher"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second on a connection whose body it gave up.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// serveUsher starts the real server in this process, with its APIs and metrics.
func serveUsher(t *testing.T, change ...func(*room.Config)) Target {
	t.Helper()
	s := sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) {
			for _, f := range change {
				f(c)
			}
		},
		Handler: func(s *sessiontest.Server, sessions http.Handler) http.Handler {
			metrics := prometheus.NewRegistry()
			metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
			public, _ := web.New(web.Config{Session: sessions, Metrics: metrics,
				Twirp: roomservice.New(roomservice.Config{Rooms: s.Rooms, Verifier: s.Verifier}),
				API:   api.New(api.Config{Rooms: s.Rooms, Verifier: s.Verifier})})
			return public
		},
	})
	return Target{Name: "usher", URL: s.HTTP.URL, Key: sessiontest.Key, Secret: sessiontest.Secret, PID: os.Getpid(), API: true}
}

// secured puts TLS in front of a target.
func secured(t *testing.T, target Target, handler http.Handler) Target {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	target.URL = s.URL
	target.TLS = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	return target
}

// small are the scenarios at a size for tests, and what each is to count.
var small = []struct {
	cfg    Config
	counts map[string]int64
	some   []string // counts that are more than 0
}{
	{cfg: Config{Scenario: "join", People: 60, RoomSize: 7, Hold: time.Millisecond},
		counts: map[string]int64{"joins": 60, "expected": 8*7*6 + 4*3, "roster_wrong": 0}},
	{cfg: Config{Scenario: "join", People: 20, RoomSize: 10, Rate: 200},
		counts: map[string]int64{"joins": 20, "expected": 180, "roster_wrong": 0}},
	{cfg: Config{Scenario: "storm", People: 80},
		counts: map[string]int64{"joins": 80, "expected": 80 * 79, "roster_wrong": 0}},
	{cfg: Config{Scenario: "idle", People: 60, RoomSize: 10, Settle: 50 * time.Millisecond, Duration: 200 * time.Millisecond},
		counts: map[string]int64{"joins": 60, "connections": 60, "expected": 60 * 9, "roster_wrong": 0}},
	{cfg: Config{Scenario: "fanout", People: 20, Window: 4, Size: 128, Duration: 300 * time.Millisecond},
		counts: map[string]int64{"joins": 21}, some: []string{"published", "delivered"}},
	{cfg: Config{Scenario: "rooms", Rooms: 4, RoomSize: 5, Rate: 50, Size: 100, Duration: 300 * time.Millisecond},
		counts: map[string]int64{"joins": 20}, some: []string{"published", "delivered"}},
	{cfg: Config{Scenario: "video", Speakers: 2, People: 8, FPS: 50, Size: 9000, KeyEvery: 10, Layers: 3, Duration: 400 * time.Millisecond},
		counts: map[string]int64{"joins": 10}, some: []string{"frames", "key_frames", "delivered"}},
	{cfg: Config{Scenario: "roles", Rooms: 3, RoomSize: 4, Rate: 300, Duration: 600 * time.Millisecond},
		counts: map[string]int64{"joins": 12, "late": 0}, some: []string{"flips", "refused", "delivered"}},
	{cfg: Config{Scenario: "roles", Rooms: 1, RoomSize: 3, Rate: 300, Flips: 2, Patch: true, Duration: 600 * time.Millisecond},
		counts: map[string]int64{"joins": 3, "late": 0, "flips": 4}, some: []string{"refused", "delivered"}},
	{cfg: Config{Scenario: "refresh", People: 20, RoomSize: 5, Rate: 50, Duration: 500 * time.Millisecond},
		counts: map[string]int64{"joins": 40, "usable": 20, "unusable": 0}, some: []string{"changes"}},
	{cfg: Config{Scenario: "reconnect", People: 40, RoomSize: 8, Rate: 50, Duration: 500 * time.Millisecond},
		counts: map[string]int64{"joins": 40, "cut": 35, "recovered": 35, "unrecovered": 0}, some: []string{"delivered"}},
	{cfg: Config{Scenario: "soak", Rooms: 4, RoomSize: 8, Rate: 20, Churn: 60, Duration: 2 * time.Second, Every: time.Second},
		counts: map[string]int64{"roster_wrong": 0, "roster_checks": 12}, some: []string{"delivered", "did_join", "did_leave", "did_cut"}},
}

func name(cfg Config) string {
	n := cfg.Scenario
	if cfg.Patch {
		n += " patch"
	}
	if cfg.Rate > 0 && n == "join" {
		n += " rate"
	}
	return n
}

// Whatever was expected was delivered, once and in order, and nothing failed.
func TestScenarios(t *testing.T) {
	for _, test := range small {
		t.Run(name(test.cfg), func(t *testing.T) {
			t.Parallel()
			test.cfg.Threads = 2 // so that people meet on different ones
			result, err := Run(t.Context(), test.cfg, serveUsher(t))
			if err != nil {
				t.Fatal(err)
			}
			flawless(t, result)
			for count, want := range test.counts {
				if got, ok := result.Counts[count]; !ok || got != want {
					t.Errorf("%s: got %d (counted: %t), want %d", count, got, ok, want)
				}
			}
			for _, count := range test.some {
				if result.Counts[count] <= 0 {
					t.Errorf("%s: got %d, want some", count, result.Counts[count])
				}
			}
			if len(result.Latencies) == 0 || result.Latencies[0].Count == 0 {
				t.Errorf("there is no distribution: %+v", result.Latencies)
			}
			declared(t, result)
			if result.Cost == nil || result.Cost.Source != "pid" || result.Cost.Goroutines == 0 {
				t.Errorf("the cost is not known: %+v", result.Cost)
			}
		})
	}
}

// declared checks that a result has the names that the scenario says it has, which
// is what --fail-if is checked against before the run, and no others.
func declared(t *testing.T, r Result) {
	t.Helper()
	s := scenarios()[r.Scenario]
	for _, name := range s.counts {
		if _, ok := r.Counts[name]; !ok {
			t.Errorf("there is no count %s: %v", name, r.Counts)
		}
	}
	for name := range r.Counts {
		if !slices.Contains(s.counts, name) && !slices.Contains(absentWhenNone, name) {
			t.Errorf("the count %s is not declared", name)
		}
	}
	for _, name := range s.rates {
		if _, ok := r.Rates[name]; !ok {
			t.Errorf("there is no rate %s: %v", name, r.Rates)
		}
	}
	if len(r.Rates) != len(s.rates) {
		t.Errorf("got rates %v, want %v", r.Rates, s.rates)
	}
	for i, l := range r.Latencies {
		if i == 0 && l.Name != s.main || i > 0 && !slices.Contains(s.also, l.Name) {
			t.Errorf("the latency %s is not declared", l.Name)
		}
	}
	if b, err := json.Marshal(r); err != nil {
		t.Errorf("it is no JSON: %v, %s", err, b)
	}
}

// A run that is interrupted tells what it measured until then, and accuses the
// server of nothing: what was on its way is waited for.
func TestInterruptedAccusesNobody(t *testing.T) {
	for _, test := range small {
		t.Run(name(test.cfg), func(t *testing.T) {
			t.Parallel()
			cfg := test.cfg
			cfg.Duration, cfg.Hold, cfg.Settle = time.Hour, time.Hour, time.Hour
			ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
			defer cancel()
			r, err := Run(ctx, cfg, serveUsher(t))
			if err != ErrInterrupted {
				t.Fatalf("got %v, want %v", err, ErrInterrupted)
			}
			for name, n := range r.Counts {
				if isFault(name) && n != 0 {
					t.Errorf("%s: got %d, want 0", name, n)
				}
			}
			if len(r.Errors) > 0 || len(r.Findings) == 0 {
				t.Errorf("got errors %v and findings %v", r.Errors, r.Findings)
			}
		})
	}
}

// flawless checks that nothing went wrong in a run.
func flawless(t *testing.T, r Result) {
	t.Helper()
	if len(r.Errors) > 0 {
		t.Errorf("there were errors: %v", r.Errors)
	}
	for _, count := range []string{"lost", "doubled", "misordered", "late", "misdirected", "event_gaps", "strangers"} {
		if n := r.Counts[count]; n != 0 {
			t.Errorf("%s: got %d, want 0; all counts: %v, findings: %v", count, n, r.Counts, r.Findings)
		}
	}
	if r.Counts["expected"] != r.Counts["delivered"] {
		t.Errorf("got %d deliveries, want %d", r.Counts["delivered"], r.Counts["expected"])
	}
}

// Those who do not read are sent away with a code that says to come back, and
// do; the others get everything.
func TestSlow(t *testing.T) {
	t.Parallel()
	result, err := Run(t.Context(), Config{Scenario: "slow", People: 6, Share: 0.34, Rate: 400, Size: 30 << 10, Duration: 2500 * time.Millisecond}, serveUsher(t))
	if err != nil {
		t.Fatal(err)
	}
	flawless(t, result)
	declared(t, result)
	if c := result.Counts; c["slow"] != 2 || c["slow_closed"]+c["slow_cut"] != 2 || c["slow_back"] != 2 {
		t.Errorf("got %v, want 2 slow ones who were sent away and came back", c)
	}
}

// In a room above the roster's limit people are counted.
func TestStormOfCounted(t *testing.T) {
	t.Parallel()
	target := serveUsher(t, func(c *room.Config) { c.RosterLimit = 40 })
	result, err := Run(t.Context(), Config{Scenario: "storm", People: 100, RosterLimit: 40}, target)
	if err != nil {
		t.Fatal(err)
	}
	flawless(t, result)
	if result.Counts["joins"] != 100 || result.Counts["roster_wrong"] != 0 {
		t.Errorf("got %v", result.Counts)
	}
}

func TestErrorsAreClear(t *testing.T) {
	t.Parallel()
	target := serveUsher(t)
	cfg := Config{Scenario: "join", People: 30, RoomSize: 10}
	for name, test := range map[string]struct {
		change func(*Target, *Config)
		want   string
	}{
		"no server":    {func(t *Target, _ *Config) { t.URL, t.PID = "http://127.0.0.1:1", 0 }, "cannot reach http://127.0.0.1:1"},
		"no address":   {func(t *Target, _ *Config) { t.URL = "here" }, "is not an address"},
		"wrong key":    {func(t *Target, _ *Config) { t.Key = "other" }, "does not accept the key other"},
		"wrong path":   {func(t *Target, _ *Config) { t.URL += "/elsewhere"; t.API = false }, "nobody can join: handshake: 404"},
		"too many":     {func(_ *Target, c *Config) { c.People = 1 << 29 }, "ulimit -n"},
		"nobody":       {func(_ *Target, c *Config) { c.People = 0 }, "people cannot be 0"},
		"no scenario":  {func(_ *Target, c *Config) { c.Scenario = "dance" }, `no scenario "dance"`},
		"wants an API": {func(t *Target, c *Config) { t.API = false; c.Scenario, c.Rate, c.Duration = "refresh", 1, 1 }, "needs a server with usher's API"},
		"gone process": {func(t *Target, _ *Config) { t.PID = 1 << 30 }, "process"},
	} {
		t.Run(name, func(t *testing.T) {
			target, cfg := target, cfg
			test.change(&target, &cfg)
			_, err := Run(t.Context(), cfg, target)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
