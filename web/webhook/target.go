package webhook

import (
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"usher/auth"
)

// A delivery is one event on its way to one target. It is not changed.
type delivery struct {
	key  string // in the store
	id   string // the event's
	name string
	room string
	at   time.Time // when it occurred
	body []byte
}

// size is what a delivery counts for in memory.
func (d *delivery) size() int { return len(d.body) + 256 }

// A target delivers events, one after another in each room. Workers run while a
// room is ready.
type target struct {
	Target                  // static
	id          string      // of Project and URL; static
	shown       string      // the URL without what may be secret; static
	standardKey auth.Secret // static; none: no Standard Webhooks headers
	sender      *Sender     // static
	complaints  rate.Sometimes
	rejections  rate.Sometimes
	expiries    rate.Sometimes

	mu           sync.Mutex       // guards the following fields
	lanes        map[string]*lane // by the name of the room; those with events
	ready        []*lane
	workers      int
	count, bytes int
	stopped      bool
	drained      chan struct{} // nil, or closed as soon as nothing waits: usher stops
	outcomes     [endOfOutcomes]int
	last         Round
}

// A lane is what waits for a target in one room.
type lane struct {
	events   []*delivery // the first is sent, or is the next to be
	bytes    int
	state    laneState
	failures int         // rounds in a row
	timer    *time.Timer // ends the rest
	until    time.Time   // when it ends
}

type laneState int

const (
	idle    laneState = iota
	ready             // in the target's list
	busy              // a worker has it
	resting           // between two rounds of attempts
)

// add appends deliveries, in the order of each room. Where that is too much
// others give way.
func (t *target) add(ds []*delivery) {
	for room, keys := range t.append(ds) {
		t.gone(overflow, len(keys))
		t.sender.intake.finish(keys...)
		t.sender.gaveUp(t.shown, room, overflow, len(keys))
	}
}

// append returns the keys of what was given up, by room.
func (t *target) append(ds []*delivery) map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range ds {
		l := t.lanes[d.room]
		if l == nil {
			l = &lane{}
			t.lanes[d.room] = l
		}
		l.events = append(l.events, d)
		l.bytes += d.size()
		t.count++
		t.bytes += d.size()
		if l.state == idle {
			t.readyLocked(l)
		}
	}
	if t.overfullLocked(0) {
		return t.relieveLocked()
	}
	return nil
}

// readyLocked gives the lane to the workers.
func (t *target) readyLocked(l *lane) {
	l.state = ready
	t.ready = append(t.ready, l)
	if t.workers < t.sender.cfg.Workers && !t.stopped {
		t.workers++
		t.sender.workers.Go(t.work) // until nothing is ready, or stop
	}
}

// work delivers until no lane is ready.
func (t *target) work() {
	for {
		l, d := t.next()
		if d == nil {
			return
		}
		var v verdict
		if time.Since(d.at) >= t.MaxAge {
			v = verdict{outcome: expired}
		} else {
			v = t.deliver(t.sender.ctx, d)
		}
		t.settle(l, d, v)
	}
}

func (t *target) next() (*lane, *delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.ready) > 0 && !t.stopped {
		l := t.ready[0]
		t.ready[0] = nil
		t.ready = t.ready[1:]
		if l.state == ready { // not emptied in the meantime
			l.state = busy
			return l, l.events[0]
		}
	}
	t.workers--
	return nil, nil
}

// settle takes note of how a round of attempts ended.
func (t *target) settle(l *lane, d *delivery, v verdict) {
	switch {
	case v.again && t.sender.ctx.Err() != nil: // interrupted
	case v.again:
		t.complaints.Do(func() {
			t.sender.cfg.Log.Warn("a webhook event is not delivered yet", "url", t.shown, "event", d.name, "id", d.id,
				"room", d.room, "problem", v.problem)
		})
	case v.outcome == rejected:
		t.rejections.Do(func() {
			t.sender.cfg.Log.Warn("a webhook event was rejected", "url", t.shown, "event", d.name, "id", d.id,
				"room", d.room, "problem", v.problem)
		})
	case v.outcome == expired:
		t.expiries.Do(func() { t.sender.gaveUp(t.shown, d.room, expired, 1) })
	}
	if !v.again {
		t.gone(v.outcome, 1)
		t.sender.intake.finish(d.key)
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = roundOf(d, v)
	if v.again {
		l.failures++
		wait := t.sender.pause(l.failures)
		if t.drained == nil { // there is no time left for what the target asks
			wait = max(wait, v.wait)
		}
		t.restLocked(l, wait, d.at)
		return
	}
	l.failures = 0
	t.dropLocked(d.room, l, 0, 1)
	if l.state != idle {
		t.readyLocked(l)
	}
}

// restLocked makes the lane wait, but no longer than its first event lasts.
func (t *target) restLocked(l *lane, wait time.Duration, at time.Time) {
	l.state = resting
	if t.stopped {
		return
	}
	wait = max(0, min(wait, time.Until(at.Add(t.MaxAge))))
	l.until = time.Now().Add(wait)
	l.timer = time.AfterFunc(wait, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.wakeLocked(l)
	})
}

func (t *target) wakeLocked(l *lane) {
	if l.state == resting && !t.stopped {
		l.timer.Stop()
		t.readyLocked(l)
	}
}

// dropLocked takes events out of a lane. One that has none left is forgotten.
func (t *target) dropLocked(room string, l *lane, from, to int) {
	for _, d := range l.events[from:to] {
		l.bytes -= d.size()
		t.bytes -= d.size()
	}
	t.count -= to - from
	if from == 0 { // in constant time
		clear(l.events[:to])
		l.events = l.events[to:]
	} else {
		l.events = append(l.events[:from], l.events[to:]...)
	}
	if len(l.events) == 0 {
		l.state = idle
		if l.timer != nil {
			l.timer.Stop()
		}
		delete(t.lanes, room)
	}
	if t.count == 0 && t.drained != nil {
		close(t.drained)
	}
}

// overfullLocked reports whether more waits than may, less a margin.
func (t *target) overfullLocked(margin int) bool {
	c := &t.sender.cfg
	return t.count > c.MaxEvents-margin*c.MaxEvents/100 || t.bytes > c.MaxBytes-margin*c.MaxBytes/100
}

// relieveLocked gives up the oldest events of the room of which most waits,
// until there is room for a hundredth of the bound again: who is the worst is
// not looked for at every event. It returns their keys by room.
func (t *target) relieveLocked() map[string][]string {
	c := &t.sender.cfg
	gone := map[string][]string{}
	for t.overfullLocked(1) {
		worst := ""
		most := 0
		events, bytes := t.count-c.MaxEvents+c.MaxEvents/100, t.bytes-c.MaxBytes+c.MaxBytes/100 // to be given up
		for room, l := range t.lanes {
			n := l.bytes
			if events > 0 {
				n = len(l.events)
			}
			if len(l.events) > l.first() && n > most {
				worst, most = room, n
			}
		}
		if most == 0 {
			break // all that waits is being sent
		}
		l := t.lanes[worst]
		from := l.first()
		to := from
		for ; to < len(l.events) && (events > 0 || bytes > 0); to++ {
			gone[worst] = append(gone[worst], l.events[to].key)
			events, bytes = events-1, bytes-l.events[to].size()
		}
		t.dropLocked(worst, l, from, to)
	}
	return gone
}

// first is the index of the first event that can be given up: not one that is
// being sent.
func (l *lane) first() int {
	if l.state == busy {
		return 1
	}
	return 0
}

// drain wakes what rests, and returns a channel that is closed when nothing
// waits any more. Nothing may be added after it.
func (t *target) drain() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	drained := make(chan struct{})
	if t.count == 0 {
		close(drained)
		return drained
	}
	t.drained = drained
	for _, l := range t.lanes {
		l.failures = 0
		t.wakeLocked(l)
	}
	return drained
}

// stop keeps workers from taking anything more.
func (t *target) stop() (left int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for _, l := range t.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	return t.count
}

func (t *target) waiting() (n int, oldest time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lanes {
		if at := l.events[0].at; oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return t.count, oldest
}

// pause is how long to wait after some failures in a row: twice as long each
// time, and some of it random, so that rooms do not come together.
func (s *Sender) pause(failures int) time.Duration {
	d := s.cfg.RetryMax
	if failures < 20 {
		d = min(d, s.cfg.RetryMin<<failures)
	}
	return d/2 + rand.N(d/2+1)
}
