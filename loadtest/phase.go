package loadtest

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// measured is the phase of a run that its figures are of, and what was used in
// it.
type measured struct {
	idle usage // the server before anybody came

	began, ended     time.Time
	before, after    usage
	own, ownAfter    float64 // CPU of this process
	waited           []int64 // of its threads
	waitedAfter      []int64
	busy             [2]float64 // CPU of the whole machine
	unit, unitAfter  int64
	joins, joinsDone int64
	published        [2]int64
	delivered        [2]int64
	paid             time.Time // when what is paid for was over; zero: at the end
	failed           error     // of noting what was used
	stop             chan struct{}
	sampling         sync.WaitGroup

	mu   sync.Mutex // guards the following fields
	last int64      // RSS
	peak int64      // its height
	full int64      // its height with everybody in
	crew int64      // how many that were
	// settled says that the height is that of idle people: what was before does not
	// count, and of what comes the median does.
	settled bool
	heights []int64
}

func (m *measured) running() bool { return !m.began.IsZero() && m.ended.IsZero() }

// begin starts the measuring.
func (r *run) begin() {
	m := &r.phase
	r.lag.reset()
	for _, m := range append([]*meter{r.main}, r.also...) {
		if !m.kept {
			m.reset()
		}
	}
	var err error
	if r.cost.source() != "" {
		if m.before, err = r.cost.before(); err != nil {
			r.find("the server's cost is not known: %v", err)
			r.cost = &costMeter{}
		}
	}
	m.waited = r.transport.waited()
	m.began, m.own, m.unit = time.Now(), ownCPU(), r.unit.Load()
	m.busy[0] = machineCPU()
	m.published[0], m.delivered[0], m.joins = r.counts.published.Load(), r.counts.delivered.Load(), r.counts.joins.Load()
	m.stop = make(chan struct{})
	m.sampling.Go(r.sample)
}

// pay notes what the server has used for what costs are divided by, when that is
// over before the measuring is.
func (r *run) pay() {
	m := &r.phase
	m.paid, m.unitAfter = time.Now(), r.unit.Load()
	m.ownAfter, m.busy[1] = ownCPU(), machineCPU()
	m.waitedAfter = r.transport.waited()
	if r.cost.source() == "" {
		return
	}
	m.after, m.failed = r.cost.after()
}

// end ends the measuring.
func (r *run) end() {
	m := &r.phase
	m.ended = time.Now()
	m.published[1], m.delivered[1], m.joinsDone = r.counts.published.Load(), r.counts.delivered.Load(), r.counts.joins.Load()
	close(m.stop)
	if m.paid.IsZero() {
		r.pay()
		m.paid = m.ended
	}
	m.sampling.Wait()
	if m.failed != nil {
		r.find("the server's cost is not known: %v", m.failed)
		r.cost = &costMeter{}
	}
	r.weigh()
}

// weigh notes the server's memory.
func (r *run) weigh() {
	m := &r.phase
	if r.cost.source() == "" {
		return
	}
	u, err := r.cost.process()
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peak, m.last = max(m.peak, u.rss), u.rss
	if open := r.counts.open.Load(); open == int64(len(r.people)) && open > 0 {
		m.full, m.crew = max(m.full, u.rss), open
		if m.settled {
			m.heights = append(m.heights, u.rss)
		}
	}
}

// scrapeEvery is how many samples share one look at /metrics: that costs the
// server something.
const scrapeEvery = 5

// sample takes a sample each second until the measuring ends.
func (r *run) sample() {
	m := &r.phase
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, unit := m.before, r.unit.Load()
	at := m.began
	var goroutines int64
	for round := 0; ; round++ {
		select {
		case <-m.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		s := Sample{At: now.Sub(m.began).Seconds(), Connections: r.counts.open.Load()}
		done := r.unit.Load()
		s.Rate = float64(done-unit) / now.Sub(at).Seconds()
		s.P50, s.P99 = r.main.sample()
		unit, at = done, now
		if r.cost.source() != "" {
			if u, err := r.cost.process(); err == nil {
				s.RSS, s.Goroutines = u.rss, u.goroutines
				if gap := u.at.Sub(last.at).Seconds(); gap > 0 {
					s.CPU = (u.cpu - last.cpu) / gap
				}
				last = u
			}
			if r.cfg.Scenario == "soak" && r.cost.metrics != "" {
				if round%scrapeEvery == 0 {
					if u, err := r.cost.scrape(); err == nil {
						goroutines = u.goroutines
					}
				}
				s.Goroutines = goroutines
			}
			r.weigh()
		}
		r.mu.Lock()
		r.series = append(r.series, s)
		r.mu.Unlock()
	}
}

// result puts everything together.
func (r *run) result() Result {
	m := &r.phase
	seconds := m.ended.Sub(m.began).Seconds()
	res := Result{Scenario: r.cfg.Scenario, Server: r.target.Name, URL: r.target.URL,
		Settings: r.cfg.settings(r.scenario.settings), Started: m.began, Seconds: seconds, Machine: machine(),
		Counts: map[string]int64{}, Rates: map[string]float64{}, ErrorKinds: r.scenario.errorKinds()}
	r.mu.Lock()
	res.Errors, res.Series, res.Findings = maps.Clone(r.errors), r.series, slices.Clone(r.findings)
	expected := r.expected
	r.mu.Unlock()

	c := &r.counts
	res.Counts["joins"] = c.joins.Load()
	if expected >= 0 {
		delivered := c.delivered.Load()
		res.Counts["expected"], res.Counts["delivered"] = expected, delivered
		res.Counts["lost"] = max(0, expected-delivered)
		res.Counts["doubled"], res.Counts["misordered"] = c.doubled.Load(), c.misordered.Load()
	}
	if slices.Contains(r.scenario.counts, "published") {
		res.Counts["published"] = c.published.Load()
	}
	for name, n := range map[string]int64{"misdirected": c.misdirected.Load(), "foreign": c.foreign.Load(),
		"event_gaps": c.gaps.Load(), "strangers": c.strangers.Load()} {
		if n > 0 {
			res.Counts[name] = n
		}
	}
	for name, n := range r.more {
		res.Counts[name] = n
	}
	if seconds > 0 {
		for name, n := range map[string]int64{"published": m.published[1] - m.published[0],
			"delivered": m.delivered[1] - m.delivered[0], "joins": m.joinsDone - m.joins} {
			if slices.Contains(r.scenario.rates, name) {
				res.Rates[name] = float64(n) / seconds
			}
		}
	}
	for _, meter := range append([]*meter{r.main}, r.also...) {
		if l := meter.latency(); l.Count > 0 || meter == r.main {
			res.Latencies = append(res.Latencies, l)
		}
	}
	res.Cost = r.costs()
	// What the load test and others used is of the time that is paid for, too.
	paid := m.paid.Sub(m.began).Seconds()
	res.Generator = r.generator(paid, res.Cost)
	for _, name := range []string{"lost", "doubled", "misordered", "late", "misdirected", "event_gaps", "roster_wrong", "unrecovered"} {
		if n := res.Counts[name]; n > 0 {
			res.Findings = append(res.Findings, fmt.Sprintf("%d %s", n, name))
		}
	}
	if others := r.others(paid, res.Cost); others > crowdedAt {
		res.Findings = append(res.Findings, fmt.Sprintf("other processes used %.0f%% of the machine meanwhile: latencies and rates are worse for it", 100*others))
	}
	if res.Generator.Limited {
		res.Findings = append(res.Findings, fmt.Sprintf(
			"the load test itself may be what was measured: it used %.0f%% of the machine, its busiest thread had work %.0f%% of the time, and it was %.1f ms late at p99",
			100*res.Generator.Share, 100*res.Generator.Busiest, res.Generator.LagP99))
	}
	return res
}

// crowdedAt is how much of the machine others may use before it is mentioned.
const crowdedAt = 0.1

// others is the share of this machine that went to others than the load test
// and the server, as far as that is known.
func (r *run) others(seconds float64, server *Cost) float64 {
	m := &r.phase
	if m.busy[0] == 0 || seconds <= 0 || server == nil || server.Source != "pid" {
		return 0
	}
	used := m.busy[1] - m.busy[0] - (m.ownAfter - m.own)
	if r.target.PID != os.Getpid() {
		used -= server.CPUSeconds
	}
	return used / seconds / float64(runtime.NumCPU())
}

func (r *run) costs() *Cost {
	m := &r.phase
	if r.cost.source() == "" || m.ended.IsZero() {
		return nil
	}
	c := &Cost{Source: r.cost.source(), CPUSeconds: max(0, m.after.cpu-m.before.cpu), Seconds: m.paid.Sub(m.began).Seconds(), Per: r.scenario.per, Units: m.unitAfter - m.unit,
		RSS: m.last, RSSPeak: m.peak, RSSBefore: m.idle.rss,
		Goroutines: m.after.goroutines, GCCount: m.after.gcCount - m.before.gcCount, GCSeconds: m.after.gcPause - m.before.gcPause,
		Allocated: m.after.allocated - m.before.allocated, Mallocs: m.after.mallocs - m.before.mallocs}
	if c.Units > 0 {
		c.PerUnit = c.CPUSeconds / float64(c.Units) * 1e6
	}
	full := m.full
	if len(m.heights) > 0 {
		slices.Sort(m.heights)
		full = m.heights[len(m.heights)/2]
	}
	if m.crew > 0 && m.idle.rss > 0 {
		c.PerConnection = max(0, (full-m.idle.rss)/m.crew)
	}
	if m.settled && m.crew > 0 && m.idle.goroutines > 0 && m.after.goroutines > 0 {
		each := float64(m.after.goroutines-m.idle.goroutines) / float64(m.crew)
		c.GoroutinesEach = &each
	}
	return c
}

// When the load test counts as what held the figures back: it was this late,
// or had this little of the machine left.
const (
	lateAt = 10   // ms at p99
	busyAt = 0.9  // of the processors that its threads can use
	fullAt = 0.97 // of the machine, together with a server on it; or of one thread's time
)

func (r *run) generator(seconds float64, server *Cost) Generator {
	m := &r.phase
	g := Generator{Cores: runtime.NumCPU(), CPUSeconds: m.ownAfter - m.own, LagP99: r.lag.quantile(99)}
	if seconds <= 0 {
		return g
	}
	g.Share = g.CPUSeconds / seconds / float64(g.Cores)
	threads := min(g.Cores, r.transport.loops()+1)
	for i := range m.waitedAfter {
		g.Busiest = max(g.Busiest, 1-float64(m.waitedAfter[i]-m.waited[i])/seconds/1e9)
	}
	g.Limited = g.LagP99 > lateAt || g.Busiest > fullAt || g.CPUSeconds/seconds > busyAt*float64(threads)
	if server != nil && server.Source == "pid" && r.target.PID != os.Getpid() {
		both := g.CPUSeconds + server.CPUSeconds
		g.Limited = g.Limited || both/seconds > fullAt*float64(g.Cores) && g.CPUSeconds > server.CPUSeconds
	}
	return g
}
