package webhook

import "time"

// A Status is how one target stands.
type Status struct {
	ID      string // of one that was added while it runs
	URL     string // without user, password and query, which may be secret, and with an ID without the path
	Health         // of one with a [Policy]
	Pending int    // events that wait for it
	Oldest  time.Time
	// Next is the time of the next attempt. Zero: there is one now, or nothing
	// waits.
	Next time.Time
	Last Round // zero when there was none since the start
	// Outcomes counts how it ended with events since the start, by the names
	// of usher_webhook_deliveries_total.
	Outcomes map[string]int
}

// A Round is how the last attempts to deliver one event ended.
type Round struct {
	At      time.Time
	Event   string // its name
	Room    string
	Outcome string // as in [Status]; empty: it is tried again
	Problem string // what went wrong; empty: nothing
}

// Outbox tells how the project's targets stand, in the order of the
// configuration and those that were added after them, and how many occurrences are
// not even written to the store.
func (s *Sender) Outbox(project string) (targets []Status, unwritten int) {
	for _, t := range s.targets.Load().projects[project] {
		targets = append(targets, t.status())
	}
	return targets, s.intake.of(project)
}

func (t *target) status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	conf := t.conf.Load()
	st := Status{ID: conf.ID, URL: conf.shown, Health: t.health, Pending: t.count, Last: t.last, Outcomes: make(map[string]int, endOfOutcomes)}
	for o, n := range t.outcomes {
		if outcome(o) != tripped || !conf.Policy.none() {
			st.Outcomes[outcomeNames[o]] = n
		}
	}
	allRest := true
	for _, l := range t.lanes {
		if at := l.events[0].at; st.Oldest.IsZero() || at.Before(st.Oldest) {
			st.Oldest = at
		}
		switch {
		case l.state != resting:
			allRest = false
		case st.Next.IsZero() || l.until.Before(st.Next):
			st.Next = l.until
		}
	}
	if !allRest {
		st.Next = time.Time{}
	}
	return st
}

// gone counts events that the target is done with.
func (t *target) gone(o outcome, n int) {
	t.sender.metrics.deliveries[o].Add(float64(n))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outcomes[o] += n
}

func roundOf(d *delivery, v verdict) Round {
	r := Round{At: time.Now(), Event: d.name, Room: d.room, Problem: v.problem}
	if !v.again {
		r.Outcome = outcomeNames[v.outcome]
	}
	return r
}

// of returns how many occurrences of the project wait to be written.
func (in *intake) of(project string) (n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, o := range in.occurred {
		if o.Project == project {
			n++
		}
	}
	return n
}
