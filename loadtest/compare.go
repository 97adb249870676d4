package loadtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Compare runs a scenario against each of the servers, rounds times in turns,
// and returns a result for each server, of medians. The first server is the one
// that is measured: its result has the ratios to the others, each the median of
// the rounds' ratios, so that what disturbs one round disturbs both sides.
//
// When ctx ends the results are those of the rounds so far, with
// [ErrInterrupted].
func Compare(ctx context.Context, cfg Config, rounds int, servers []Server, round func(round int, server string)) ([]Result, error) {
	all := make([][]Result, len(servers))
	var ended error
	for n := range max(1, rounds) {
		for i := range servers {
			// Nobody is always the first after a pause.
			at := (i + n) % len(servers)
			if round != nil {
				round(n, servers[at].Name)
			}
			result, err := once(ctx, cfg, servers[at])
			if result.Scenario != "" { // it has begun, if only to be interrupted
				all[at] = append(all[at], result)
			}
			if err != nil {
				if ended = err; !errors.Is(err, ErrInterrupted) {
					if at > 0 {
						err = fmt.Errorf("%s: %w", servers[at].Name, err)
					}
					return nil, err
				}
				break
			}
		}
		if ended != nil {
			break
		}
	}
	var results []Result
	for i := range servers {
		if len(all[i]) > 0 {
			results = append(results, merge(all[i]))
		}
	}
	if len(all[0]) > 0 {
		for i := 1; i < len(servers); i++ {
			if len(all[i]) == 0 {
				continue
			}
			faults := faultWords(merge(all[i]))
			for _, ratio := range ratios(servers[i].Name, all[0], all[i]) {
				ratio.Faults = faults
				results[0].Ratios = append(results[0].Ratios, ratio)
			}
		}
	}
	return results, ended
}

// once is one run, with a server of its own where that is possible.
func once(ctx context.Context, cfg Config, s Server) (Result, error) {
	target, stop, err := s.Start(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = ErrInterrupted
		}
		return Result{}, err
	}
	defer stop()
	return Run(ctx, cfg, target)
}

// merge makes one result of several runs: the one whose cost is in the middle,
// with the medians of all figures. Counts are summed, as are errors, so that what
// went wrong is not lost with the run that it happened in.
func merge(runs []Result) Result {
	runs = slices.DeleteFunc(slices.Clone(runs), func(r Result) bool { return r.Seconds == 0 && len(runs) > 1 })
	if len(runs) == 0 {
		return Result{}
	}
	byCost := slices.Clone(runs)
	slices.SortStableFunc(byCost, func(a, b Result) int { return compareFloats(mainFigure(a), mainFigure(b)) })
	m := byCost[(len(byCost)-1)/2]
	if len(runs) == 1 {
		return m
	}
	m.Settings = maps.Clone(m.Settings)
	m.Settings["rounds"] = len(runs)
	m.Counts, m.Errors, m.Rates = maps.Clone(m.Counts), map[string]int64{}, maps.Clone(m.Rates)
	// Counts are of all rounds, what was delivered as well as what was lost of it; a
	// figure that is none of how often is the median.
	for name := range m.Counts {
		if slices.Contains(figuresAmongCounts, name) {
			m.Counts[name] = int64(median(runs, func(r Result) (float64, bool) { v, ok := r.Counts[name]; return float64(v), ok }))
		} else {
			m.Counts[name] = 0
		}
	}
	for _, r := range runs {
		for name, n := range r.Counts {
			if !slices.Contains(figuresAmongCounts, name) {
				m.Counts[name] += n
			}
		}
	}
	var findings []string
	for _, r := range runs {
		for kind, n := range r.Errors {
			m.Errors[kind] += n
		}
		for _, f := range r.Findings {
			if !slices.Contains(findings, f) {
				findings = append(findings, f)
			}
		}
		m.Generator.Limited = m.Generator.Limited || r.Generator.Limited
		m.Generator.LagP99 = max(m.Generator.LagP99, r.Generator.LagP99)
	}
	m.Findings = findings
	for name := range m.Rates {
		m.Rates[name] = median(runs, func(r Result) (float64, bool) { v, ok := r.Rates[name]; return v, ok })
	}
	if m.Cost != nil {
		c := *m.Cost
		figure := func(f func(*Cost) float64) float64 {
			return median(runs, func(r Result) (float64, bool) {
				if r.Cost == nil {
					return 0, false
				}
				return f(r.Cost), true
			})
		}
		c.PerUnit = figure(func(c *Cost) float64 { return c.PerUnit })
		c.PerConnection = int64(figure(func(c *Cost) float64 { return float64(c.PerConnection) }))
		m.Cost = &c
	}
	m.Latencies = slices.Clone(m.Latencies)
	for i := range m.Latencies {
		l := &m.Latencies[i]
		l.Count = 0
		for _, r := range runs {
			for _, of := range r.Latencies {
				if of.Name == l.Name && of.Count > 0 {
					if l.Count == 0 {
						l.Min = of.Min
					}
					l.Count, l.Min, l.Max = l.Count+of.Count, min(l.Min, of.Min), max(l.Max, of.Max)
				}
			}
		}
		for _, f := range []func(*Latency) *float64{
			func(l *Latency) *float64 { return &l.Mean }, func(l *Latency) *float64 { return &l.P50 }, func(l *Latency) *float64 { return &l.P90 },
			func(l *Latency) *float64 { return &l.P99 }, func(l *Latency) *float64 { return &l.P999 },
		} {
			*f(l) = median(runs, func(r Result) (float64, bool) {
				for j := range r.Latencies {
					if r.Latencies[j].Name == l.Name && r.Latencies[j].Count > 0 {
						return *f(&r.Latencies[j]), true
					}
				}
				return 0, false
			})
		}
	}
	return m
}

// figuresAmongCounts are no counts of anything.
var figuresAmongCounts = []string{"everybody_ms", "rss_slope_bytes_per_minute", "goroutines_slope_per_hour"}

// mainFigure is what the runs of a scenario are ordered by.
func mainFigure(r Result) float64 {
	if v, ok := perUnit(r); ok {
		return v
	}
	v, _ := p99(r)
	return v
}

func perUnit(r Result) (float64, bool) {
	if r.Cost == nil || r.Cost.PerUnit <= 0 {
		return 0, false
	}
	return r.Cost.PerUnit, true
}

func p99(r Result) (float64, bool) {
	if len(r.Latencies) == 0 || r.Latencies[0].P99 <= 0 {
		return 0, false
	}
	return r.Latencies[0].P99, true
}

func perConnection(r Result) (float64, bool) {
	if r.Cost == nil || r.Cost.PerConnection <= 0 {
		return 0, false
	}
	return float64(r.Cost.PerConnection), true
}

// ratios sets each round of ours beside the same round of theirs.
func ratios(to string, ours, theirs []Result) []Ratio {
	var all []Ratio
	for _, figure := range []struct {
		name string
		of   func(Result) (float64, bool)
	}{{"cpu", perUnit}, {"p99", p99}, {"memory", perConnection}} {
		var values []float64
		for n := range min(len(ours), len(theirs)) {
			our, ok := figure.of(ours[n])
			their, also := figure.of(theirs[n])
			if ok && also {
				values = append(values, our/their)
			}
		}
		if len(values) > 0 {
			all = append(all, Ratio{To: to, Figure: figure.name, Value: middle(values)})
		}
	}
	return all
}

func median(runs []Result, of func(Result) (float64, bool)) float64 {
	var values []float64
	for _, r := range runs {
		if v, ok := of(r); ok {
			values = append(values, v)
		}
	}
	return middle(values)
}

// middle is the median; of an even number, the mean of the two in the middle.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.SortFunc(values, compareFloats)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

func compareFloats(a, b float64) int {
	switch {
	case a < b || math.IsNaN(a):
		return -1
	case a > b:
		return 1
	}
	return 0
}
