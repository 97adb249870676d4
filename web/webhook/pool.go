package webhook

import "sync/atomic"

// A pool is what waits for the targets that were added to a project, all of them
// together: however many there are, they hold no more than one of [Config].
type pool struct {
	project       string // static
	events, bytes atomic.Int64
}

// excess returns how much is given up of what waits, until there is room for a
// hundredth of the bound again: who is the worst is not looked for at every event.
func (c *Config) excess(events, bytes int) (_, _ int) {
	return events - c.MaxEvents + c.MaxEvents/100, bytes - c.MaxBytes + c.MaxBytes/100
}

// relieve has targets of a pool give up events while more waits than may, of those
// that have most to lose.
func (s *Sender) relieve(p *pool) {
	c := &s.cfg
	for {
		events, bytes := int(p.events.Load()), int(p.bytes.Load())
		if events <= c.MaxEvents && bytes <= c.MaxBytes {
			return
		}
		var worst *target
		most := 0
		for _, t := range s.targets.Load().projects[p.project] {
			if t.pool != p {
				continue
			}
			if n := t.spare(events > c.MaxEvents); n > most {
				worst, most = t, n
			}
		}
		if worst == nil {
			return // all that waits is being sent
		}
		worst.mu.Lock()
		gone := worst.relieveLocked(c.excess(events, bytes))
		worst.mu.Unlock()
		for room, keys := range gone {
			worst.giveUp(room, overflow, keys)
		}
	}
}

// spare is how many events, or bytes, a target could give up.
func (t *target) spare(events bool) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lanes {
		from := l.first()
		if events {
			n += len(l.events) - from
			continue
		}
		n += l.bytes
		for _, d := range l.events[:from] {
			n -= d.size()
		}
	}
	return n
}
