package webhook

import "time"

// A Policy says how often a target that has one is tried. Every answer but 2xx is
// a failure, none is told from another, and no event is tried more often than
// said. The zero Policy is none: that of the package doc.
type Policy struct {
	// Pause is how long an event waits after it has failed so many times, and
	// the events of its room with it.
	Pause func(tries int) time.Duration
	// Tries is how often an event is sent at most; 0: as often as there is time.
	// What has been tried is kept in the store.
	Tries int
	// Within is how long an event is tried after the first time; 0: MaxAge.
	Within time.Duration
	// Trip is how many failures in a row, of whatever event, make the target
	// [Health.Failed]; 0: none do. One counts if it was begun when the pause after
	// the one before it was over: rooms that fail side by side, or at the same
	// short outage, are one failure.
	Trip int
}

func (p *Policy) none() bool { return p.Pause == nil }

func (p *Policy) pause(tries int) time.Duration { return p.Pause(tries) }

// over reports whether an event that has failed is not tried any more.
func (p *Policy) over(d *delivery) bool {
	return !p.none() && d.tries > 0 && (p.Tries > 0 && d.tries >= p.Tries || p.Within > 0 && time.Since(d.first) >= p.Within)
}

// Health is how a target with a [Policy] stands.
type Health struct {
	// Failed says that its policy has had enough: what waited was given up, and
	// it is told of nothing until it is set again.
	Failed   bool
	Failures int       // in a row
	Pushed   time.Time // when it last took an event; zero: never
}

// judged takes note of an attempt, as the policy says, and returns what is done
// with the event.
func (t *target) judged(conf *settings, d *delivery, v verdict) verdict {
	if v.again {
		if d.tries++; d.tries == 1 {
			d.first = time.Now()
		}
		if conf.Policy.over(d) || conf.Policy.Within > 0 && time.Since(d.first)+conf.Policy.pause(d.tries) >= conf.Policy.Within {
			v.again, v.outcome = false, expired
		} else {
			t.sender.intake.revise(d.put(t.id))
		}
	} else if v.outcome != delivered {
		return v // it was not sent
	}
	gone, opened := t.note(conf, d, v)
	for room, keys := range gone {
		t.giveUp(room, tripped, keys)
	}
	if opened {
		t.sender.cfg.Log.Warn("a webhook has failed too often and is told of nothing more", conf.attr, "problem", v.problem)
	}
	if conf.Changed != nil {
		conf.Changed()
	}
	return v
}

// note counts an attempt. It returns what is given up because there were too
// many failures, by room.
func (t *target) note(conf *settings, d *delivery, v verdict) (gone map[string][]string, opened bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := &t.health
	if v.problem == "" {
		h.Pushed = time.Now()
		if !h.Failed {
			h.Failures = 0
		}
		return nil, false
	}
	if h.Failed {
		return nil, false // it was on its way when others failed
	}
	if conf.Policy.Trip > 0 && h.Failures > 0 && !t.counted.IsZero() && d.begun.Before(t.counted.Add(conf.Policy.pause(h.Failures))) {
		return nil, false
	}
	t.counted = time.Now()
	if h.Failures++; conf.Policy.Trip == 0 || h.Failures < conf.Policy.Trip {
		return nil, false
	}
	h.Failed = true
	return t.clearLocked(), true
}

// clearLocked takes out all that waits, but what is being sent.
func (t *target) clearLocked() map[string][]string {
	gone := map[string][]string{}
	for room, l := range t.lanes {
		from := l.first()
		for _, d := range l.events[from:] {
			gone[room] = append(gone[room], d.key)
		}
		if from < len(l.events) {
			t.dropLocked(room, l, from, len(l.events))
		}
	}
	return gone
}

// ended returns what becomes of an event whose target has come to its end while
// it was sent.
func (t *target) ended(v verdict) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v.again && (t.gaveAway || t.health.Failed) {
		v.again, v.outcome = false, t.endLocked()
	}
	return v
}

// endLocked is the outcome of what a target that is gone, or has failed, does not
// get.
func (t *target) endLocked() outcome {
	if t.gaveAway {
		return removed
	}
	return tripped
}

// end takes a target out of service. What is being sent is interrupted.
func (t *target) end() {
	t.mu.Lock()
	t.gaveAway = true
	gone := t.clearLocked()
	t.mu.Unlock()
	t.cancel()
	for room, keys := range gone {
		t.giveUp(room, removed, keys)
	}
}
