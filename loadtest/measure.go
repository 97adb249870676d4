package loadtest

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A meter is a distribution of durations: of the whole measuring, and of the
// time since it was last sampled. Its methods may be called concurrently.
type meter struct {
	name string
	kept bool // static: the beginning of the measuring does not reset it

	mu     sync.Mutex // guards the following fields
	all    *hdrhistogram.Histogram
	recent *hdrhistogram.Histogram
}

// longest is the longest duration that is told from longer ones.
const longest = 2 * time.Minute

func newMeter(name string) *meter {
	empty := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest.Microseconds(), 3) }
	return &meter{name: name, all: empty(), recent: empty()}
}

// keptMeter is one of what happens before the measuring, too.
func keptMeter(name string) *meter {
	m := newMeter(name)
	m.kept = true
	return m
}

// record takes a duration in nanoseconds.
func (m *meter) record(ns int64) {
	us := min(max(ns/1000, 1), longest.Microseconds())
	m.mu.Lock()
	_ = m.all.RecordValue(us) // it is in range
	_ = m.recent.RecordValue(us)
	m.mu.Unlock()
}

func (m *meter) reset() {
	m.mu.Lock()
	m.all.Reset()
	m.recent.Reset()
	m.mu.Unlock()
}

// sample returns the quantiles since the last sample, in milliseconds.
func (m *meter) sample() (p50, p99 float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.recent.TotalCount() > 0 {
		p50, p99 = ms(m.recent.ValueAtQuantile(50)), ms(m.recent.ValueAtQuantile(99))
		m.recent.Reset()
	}
	return p50, p99
}

func (m *meter) quantile(q float64) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return ms(m.all.ValueAtQuantile(q))
}

func ms(us int64) float64 { return float64(us) / 1000 }

// latency is the distribution as results have it.
func (m *meter) latency() Latency {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.all
	l := Latency{Name: m.name, Count: h.TotalCount()}
	if l.Count == 0 {
		return l
	}
	l.Min, l.Mean, l.Max = ms(h.Min()), h.Mean()/1000, ms(h.Max())
	l.P50, l.P90, l.P99, l.P999 = ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(90)), ms(h.ValueAtQuantile(99)), ms(h.ValueAtQuantile(99.9))
	for _, b := range h.CumulativeDistribution() {
		l.Curve = append(l.Curve, [2]float64{b.Quantile / 100, ms(b.ValueAt)})
	}
	return l
}
