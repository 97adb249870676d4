package loadtest

import "time"

// A Result is what one run of one scenario against one server measured. It is
// what --json prints and the report draws.
type Result struct {
	Scenario string         `json:"scenario"`
	Server   string         `json:"server"` // "usher", "floor" or "naive"
	URL      string         `json:"url"`
	Settings map[string]any `json:"settings"` // the scenario's, as they were used
	Started  time.Time      `json:"started"`
	Seconds  float64        `json:"seconds"` // of measuring, without set-up and clearing away

	// Counts are totals by name: joins, published, expected, delivered, lost,
	// doubled, misordered, late, and so on. What a scenario does not count is absent.
	Counts map[string]int64 `json:"counts"`
	// Errors are failures by kind, like "dial", "closed 4003" or "not_allowed".
	Errors map[string]int64 `json:"errors"`
	// Rates are per second of measuring, by name: joins, published, delivered.
	Rates map[string]float64 `json:"rates"`
	// Latencies are distributions by name. The scenario's main one is first.
	Latencies []Latency `json:"latencies"`

	Cost      *Cost     `json:"cost,omitempty"` // the server's; nil when it could not be had
	Generator Generator `json:"generator"`
	Series    []Sample  `json:"series"` // about one a second
	Ratios    []Ratio   `json:"ratios,omitempty"`
	Findings  []string  `json:"findings,omitempty"` // what a reader must know: a busy generator, losses
	Machine   string    `json:"machine"`

	// Command is the command line that made the run, without secrets. Optional.
	Command string `json:"command,omitempty"`
	// ErrorKinds are kinds of [Result.Errors] that this run could have had, so that
	// --fail-if can tell one that did not occur from a mistyped one. Optional.
	ErrorKinds []string `json:"error_kinds,omitempty"`
}

// A Latency is a distribution of durations in milliseconds.
type Latency struct {
	Name  string  `json:"name"`
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
	// Curve is the distribution for drawing: quantile (0 to 1) and milliseconds.
	Curve [][2]float64 `json:"curve,omitempty"`
}

// A Cost is what the server used over the measuring.
type Cost struct {
	Source     string  `json:"source"`      // "pid" or "metrics"
	CPUSeconds float64 `json:"cpu_seconds"` // user and system
	Seconds    float64 `json:"seconds"`     // that they were used in; in reconnect less than was measured
	// Per is the unit of PerUnit: join, delivery, publish, and so on. Units is how
	// many there were. All CPU is divided by them, so that in roles, slow and soak what
	// else goes on is in it.
	Per       string  `json:"per"`
	Units     int64   `json:"units"`
	PerUnit   float64 `json:"per_unit_us"` // µs of CPU
	RSS       int64   `json:"rss_bytes"`   // at the end
	RSSPeak   int64   `json:"rss_peak_bytes"`
	RSSBefore int64   `json:"rss_before_bytes"` // before anybody joined
	// PerConnection is (RSS at its height with everybody joined − before) / connections; 0
	// when not known. In idle it is the median once the server has settled.
	PerConnection int64 `json:"bytes_per_connection"`
	// Of a Go server with /metrics, else 0.
	Goroutines int64 `json:"goroutines"`
	// GoroutinesEach is how many there are more than before anybody came, for each
	// connection; nil when not known.
	GoroutinesEach *float64 `json:"goroutines_per_connection,omitempty"`
	GCCount        int64    `json:"gc_count"`
	GCSeconds      float64  `json:"gc_pause_seconds"`
	Allocated      int64    `json:"allocated_bytes"` // over the measuring
	Mallocs        int64    `json:"mallocs"`
}

// A Generator is what the load test itself used, so that a reader can tell
// whether it was what held the figures back.
type Generator struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	Cores      int     `json:"cores"`
	Share      float64 `json:"share"` // of all cores, 0 to 1
	// LagP99 is how late, in milliseconds, the generator did what it had scheduled.
	LagP99 float64 `json:"lag_p99_ms"`
	// Busiest is how much of the time its busiest thread had work, or waited for a
	// processor to do it on, 0 to 1; 0 when it is not known.
	Busiest float64 `json:"busiest_thread"`
	// Limited says that the generator, not the server, may be what was measured.
	Limited bool `json:"limited"`
}

// A Sample is one moment of a run.
type Sample struct {
	At          float64 `json:"at"` // seconds since the start of the measuring
	Connections int64   `json:"connections"`
	Rate        float64 `json:"rate"` // of the scenario's main unit, per second
	P50         float64 `json:"p50"`  // of the main latency since the last sample, ms
	P99         float64 `json:"p99"`
	RSS         int64   `json:"rss_bytes"`
	CPU         float64 `json:"cpu"` // server's cores in use
	Goroutines  int64   `json:"goroutines"`
}

// A Ratio sets a figure beside the same of a yardstick in the same run: below 1
// is better than the yardstick.
type Ratio struct {
	To     string  `json:"to"`     // "floor" or "naive"
	Figure string  `json:"figure"` // "cpu", "p99" or "memory"
	Value  float64 `json:"value"`
	// Faults are what the yardstick did wrong, as "lost 12": a server that delivers
	// less has less to do. Empty when nothing was.
	Faults string `json:"faults,omitempty"`
}
