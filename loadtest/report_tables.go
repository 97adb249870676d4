package loadtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// groupTables returns what the members measured, a column for each, and beside it the ratios.
func groupTables(members []laidOut, differing []string) []figures {
	var tables []figures
	type column struct {
		member int
		to     string
	}
	var ratios [][]Ratio
	var against []column
	for i, m := range members {
		ratios = append(ratios, ratiosIn(m, members))
		for _, r := range ratios[i] {
			if c := (column{i, r.To}); !slices.Contains(against, c) {
				against = append(against, c)
			}
		}
	}
	// add appends a row, unless nobody measured it. The ratios named figure stand beside it.
	var p tablePart
	beside := map[int]bool{} // the ratio columns that the part has
	add := func(name, ratio string, of func(Result) tableCell) {
		r := tableRow{Name: name}
		any := false
		for _, m := range members {
			c := of(m.Result)
			any = any || c.Text != ""
			r.Cells = append(r.Cells, c)
		}
		for i, a := range against {
			c := tableCell{ratioText(ratioOf(ratios[a.member], a.to, ratio)), "ratio"}
			if c.Text != "" {
				any, beside[i] = true, true
			}
			r.Cells = append(r.Cells, c)
		}
		if any {
			p.Rows = append(p.Rows, r)
		}
	}
	end := func(name string) {
		if len(p.Rows) > 0 {
			t := figures{Caption: name, Head: []tableCell{{Text: name}}, Parts: []tablePart{p}}
			for _, m := range members {
				t.Head = append(t.Head, tableCell{Text: m.label})
			}
			for i, c := range against {
				if beside[i] {
					t.Head = append(t.Head, tableCell{members[c.member].label + " ÷" + nbsp + clean(c.to) + beyond(ratios[c.member], c.to), "ratio"})
				}
			}
			for i := range p.Rows {
				cells := p.Rows[i].Cells
				for j := range cells[:len(members)] {
					if cells[j].Text == "" { // others measured it
						cells[j] = tableCell{"–", "none"}
					}
				}
				kept := cells[:len(members)]
				for j, c := range cells[len(members):] {
					if beside[j] {
						kept = append(kept, c)
					}
				}
				p.Rows[i].Cells = kept
			}
			tables = append(tables, t)
		}
		p, beside = tablePart{}, map[int]bool{}
	}

	for _, name := range differing {
		add(clean(name), "", func(r Result) tableCell {
			if v, ok := r.Settings[name]; ok {
				return tableCell{Text: settingText(name, v)}
			}
			return tableCell{}
		})
	}
	end("Settings that differ")

	var all []Result
	for _, m := range members {
		all = append(all, m.Result)
	}
	for _, name := range countNames(all...) {
		add(clean(name), "", func(r Result) tableCell {
			n, ok := r.Counts[name]
			if !ok {
				return tableCell{}
			}
			c := tableCell{Text: grouped(n)}
			if n != 0 && isFault(name) {
				c.Class = "bad"
			}
			return c
		})
	}
	kinds := map[string]bool{}
	for _, r := range all {
		for k := range r.Errors {
			kinds[k] = true
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		add("error: "+clean(kind), "", func(r Result) tableCell {
			if n := r.Errors[kind]; n != 0 {
				return tableCell{grouped(n), "bad"}
			}
			return tableCell{Text: "0"}
		})
	}
	end("Counts")

	for _, name := range countNames(all...) {
		add(clean(name), "", func(r Result) tableCell {
			if v, ok := r.Rates[name]; ok && finite(v) {
				return tableCell{Text: figure(v) + "/s"}
			}
			return tableCell{}
		})
	}
	add("measured for", "", func(r Result) tableCell {
		if finite(r.Seconds) && r.Seconds > 0 {
			return tableCell{Text: inSeconds(r.Seconds)}
		}
		return tableCell{}
	})
	end("Rates")

	for i, name := range latencyNames(members) {
		of := func(f func(Latency) string) func(Result) tableCell {
			return func(r Result) tableCell {
				if l, ok := latencyOf(r, name); ok {
					return tableCell{Text: f(l)}
				}
				return tableCell{}
			}
		}
		for _, q := range quantiles {
			ratio := ""
			if i == 0 {
				ratio = q.name
			}
			add(q.name, ratio, of(func(l Latency) string { return quantile(l, q) }))
		}
		add("max", "", of(func(l Latency) string { return millis(l.Max) }))
		add("mean", "", of(func(l Latency) string { return millis(l.Mean) }))
		add("samples", "", of(func(l Latency) string { return grouped(l.Count) }))
		end("Latency: " + cmp.Or(clean(name), "unnamed"))
	}

	cost := func(f func(Cost) string) func(Result) tableCell {
		return func(r Result) tableCell {
			if r.Cost == nil {
				return tableCell{}
			}
			return tableCell{Text: f(*r.Cost)}
		}
	}
	if per := commonUnit(all); per != "" {
		add("CPU per "+per, "cpu", cost(func(c Cost) string {
			if cpuPerUnit(c) == "" {
				return ""
			}
			return millis(c.PerUnit / 1000)
		}))
	} else {
		add("CPU per unit", "cpu", cost(cpuPerUnit))
	}
	add("CPU", "", cost(func(c Cost) string {
		if !finite(c.CPUSeconds) || c.CPUSeconds <= 0 {
			return ""
		}
		return inSeconds(c.CPUSeconds)
	}))
	bytes := func(f func(Cost) int64) func(Result) tableCell {
		return cost(func(c Cost) string {
			if n := f(c); n > 0 {
				return inBytes(n)
			}
			return ""
		})
	}
	add("memory per connection", "memory", bytes(func(c Cost) int64 { return c.PerConnection }))
	add("memory, empty", "", bytes(func(c Cost) int64 { return c.RSSBefore }))
	add("memory, at most", "", bytes(func(c Cost) int64 { return c.RSSPeak }))
	add("memory, at the end", "", bytes(func(c Cost) int64 { return c.RSS }))
	add("goroutines", "", cost(func(c Cost) string {
		if c.Goroutines <= 0 {
			return ""
		}
		return grouped(c.Goroutines)
	}))
	gc := func(f func(Cost) string) func(Result) tableCell {
		return cost(func(c Cost) string {
			if !ofGo(c) {
				return ""
			}
			return f(c)
		})
	}
	add("garbage collections", "", gc(func(c Cost) string { return grouped(c.GCCount) }))
	add("paused for them", "", gc(func(c Cost) string { return millis(c.GCSeconds * 1000) }))
	add("allocated", "", gc(func(c Cost) string { return inBytes(c.Allocated) }))
	add("objects allocated", "", gc(func(c Cost) string { return grouped(c.Mallocs) }))
	end("Server")

	generator := func(f func(Generator) string) func(Result) tableCell {
		return func(r Result) tableCell {
			if r.Generator.Cores <= 0 {
				return tableCell{}
			}
			return tableCell{Text: f(r.Generator)}
		}
	}
	add("CPU", "", generator(func(g Generator) string { return inSeconds(g.CPUSeconds) }))
	add("share of all cores", "", generator(func(g Generator) string { return inPercent(g.Share) + " of " + grouped(int64(g.Cores)) }))
	add("behind schedule, p99", "", generator(func(g Generator) string {
		if !finite(g.LagP99) || g.LagP99 <= 0 {
			return ""
		}
		return millis(g.LagP99)
	}))
	end("Generator")

	return tables
}

// commonUnit returns the unit of work, if all have the same.
func commonUnit(results []Result) string {
	per := ""
	for _, r := range results {
		if r.Cost == nil || r.Cost.Per == "" {
			continue
		}
		if per != "" && per != r.Cost.Per {
			return ""
		}
		per = r.Cost.Per
	}
	return clean(per)
}

func latencyNames(members []laidOut) []string {
	var names []string
	for _, m := range members {
		for _, l := range m.Latencies {
			if l.Count > 0 && !slices.Contains(names, l.Name) {
				names = append(names, l.Name)
			}
		}
	}
	return names
}

func latencyOf(r Result, name string) (Latency, bool) {
	for _, l := range r.Latencies {
		if l.Name == name && l.Count > 0 {
			return l, true
		}
	}
	return Latency{}, false
}

// summary is a row for each result, of what one looks at first.
func summaryOf(groups []scenarioGroup) *figures {
	t := &figures{Caption: "Summary", Head: []tableCell{{}}}
	for _, name := range []string{"result", "rate", "p50", "p99", "CPU per unit", "memory per connection"} {
		t.Head = append(t.Head, tableCell{Text: name})
	}
	t.Head[1].Class = "text"
	var to []string
	for _, y := range []string{"floor", "naive"} {
		if slices.ContainsFunc(groups, func(g scenarioGroup) bool {
			return slices.ContainsFunc(g.members, func(m laidOut) bool { return ratioOf(ratiosIn(m, g.members), y, "cpu") > 0 })
		}) {
			to = append(to, y)
			t.Head = append(t.Head, tableCell{"CPU ÷" + nbsp + y, "ratio"})
		}
	}
	for _, g := range groups {
		p := tablePart{Name: g.Scenario}
		for i, m := range g.members {
			v := g.Verdicts[i]
			cells := []tableCell{{v.Mark + nbsp + v.State, "text"}, {}, {}, {}, {}, {}}
			if v.Class == "faulty" {
				cells[0].Class = "text bad"
			}
			if name, ok := mainRate(m.Result); ok {
				cells[1].Text = figure(m.Rates[name]) + nbsp + clean(name) + "/s"
			}
			if l, ok := mainLatency(m.Result); ok {
				cells[2].Text = quantile(l, quantiles[0])
				cells[3].Text = quantile(l, quantiles[2])
			}
			if m.Cost != nil {
				cells[4].Text = strings.ReplaceAll(cpuPerUnit(*m.Cost), " ", nbsp)
				if m.Cost.PerConnection > 0 {
					cells[5].Text = inBytes(m.Cost.PerConnection)
				}
			}
			for i := range cells {
				if cells[i].Text == "" {
					cells[i] = tableCell{"–", "none"}
				}
			}
			for _, y := range to {
				cells = append(cells, tableCell{ratioText(ratioOf(ratiosIn(m, g.members), y, "cpu")), "ratio"})
			}
			p.Rows = append(p.Rows, tableRow{m.label, cells})
		}
		t.Parts = append(t.Parts, p)
	}
	return t
}

func mainRate(r Result) (string, bool) {
	for _, name := range append([]string{"delivered", "published", "joins"}, slices.Sorted(maps.Keys(r.Rates))...) {
		if v, ok := r.Rates[name]; ok && finite(v) {
			return name, true
		}
	}
	return "", false
}

// beyond says what a yardstick did wrong, beside its name.
func beyond(ratios []Ratio, to string) string {
	if faults := faultsOf(ratios, to); faults != "" {
		return " (" + clean(faults) + ")"
	}
	return ""
}
