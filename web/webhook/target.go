package webhook

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"usher/auth"
)

// A delivery is one event on its way to one target. It is not changed, but for
// its tries, which belong to the worker that has its lane.
type delivery struct {
	key  string // in the store
	id   string // the event's
	name string
	room string
	at   time.Time // when it occurred
	body []byte

	tries int       // that failed, of a target with a policy
	first time.Time // when the first of them was
	begun time.Time // when the last attempt was begun
}

// size is what a delivery counts for in memory.
func (d *delivery) size() int { return len(d.body) + 256 }

// settings is what a target is told to be. It is not changed.
type settings struct {
	Target
	shown       string      // the URL without what may be secret
	attr        slog.Attr   // how logs call it
	standardKey auth.Secret // none: no Standard Webhooks headers
}

// A target delivers events, one after another in each room. Workers run while a
// room is ready.
type target struct {
	id         string  // of Project and ID or URL; static
	sender     *Sender // static
	pool       *pool   // what those of a project have together; static; nil: it has bounds of its own
	ctx        context.Context
	cancel     context.CancelFunc // ends the attempts of a target that is removed
	conf       atomic.Pointer[settings]
	complaints rate.Sometimes
	rejections rate.Sometimes
	expiries   rate.Sometimes

	mu           sync.Mutex       // guards the following fields
	lanes        map[string]*lane // by the name of the room; those with events
	ready        []*lane
	workers      int
	count, bytes int
	stopped      bool
	gaveAway     bool          // it is removed
	drained      chan struct{} // nil, or closed as soon as nothing waits: usher stops
	quiet        bool          // drained is closed
	outcomes     [endOfOutcomes]int
	last         Round
	health       Health
	counted      time.Time // when the last of its failures was counted; zero: none since the start
	since        time.Time // it is told of what occurred from then on
}

func newTarget(s *Sender, conf *settings) *target {
	t := &target{id: conf.name(), sender: s, lanes: map[string]*lane{}, health: conf.Health}
	t.ctx, t.cancel = context.WithCancel(s.ctx)
	t.conf.Store(conf)
	t.complaints.Interval, t.rejections.Interval, t.expiries.Interval = time.Minute, time.Minute, time.Minute
	return t
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
	gone, why := t.append(ds)
	for room, keys := range gone {
		t.giveUp(room, why, keys)
	}
	if t.pool != nil {
		t.sender.relieve(t.pool)
	}
}

// giveUp counts, deletes and logs events of a room that are not delivered.
func (t *target) giveUp(room string, why outcome, keys []string) {
	t.gone(why, len(keys))
	t.sender.intake.finish(keys...)
	t.sender.gaveUp(t.conf.Load().attr, room, why, len(keys))
}

// append returns the keys of what was given up, by room, and why.
func (t *target) append(ds []*delivery) (gone map[string][]string, why outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gaveAway || t.health.Failed {
		gone = map[string][]string{}
		for _, d := range ds {
			gone[d.room] = append(gone[d.room], d.key)
		}
		return gone, t.endLocked()
	}
	for _, d := range ds {
		l := t.lanes[d.room]
		if l == nil {
			l = &lane{}
			t.lanes[d.room] = l
		}
		l.events = append(l.events, d)
		l.bytes += d.size()
		t.grewLocked(1, d.size())
		if l.state == idle {
			t.readyLocked(l)
		}
	}
	if c := &t.sender.cfg; t.pool == nil && (t.count > c.MaxEvents || t.bytes > c.MaxBytes) {
		return t.relieveLocked(c.excess(t.count, t.bytes)), overflow
	}
	return nil, overflow
}

// grewLocked takes note that more waits, or less.
func (t *target) grewLocked(events, bytes int) {
	t.count += events
	t.bytes += bytes
	if t.pool != nil {
		t.pool.events.Add(int64(events))
		t.pool.bytes.Add(int64(bytes))
	}
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
		if conf := t.conf.Load(); time.Since(d.at) >= conf.MaxAge || conf.Policy.over(d) {
			v = verdict{outcome: expired}
		} else {
			d.begun = time.Now()
			v = t.deliver(t.ctx, d)
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
	t.drainedLocked()
	return nil, nil
}

// settle takes note of how a round of attempts ended.
func (t *target) settle(l *lane, d *delivery, v verdict) {
	var (
		interrupted = v.again && t.ctx.Err() != nil
		conf        = t.conf.Load()
		log         = t.sender.cfg.Log
	)
	if !conf.Policy.none() && !interrupted {
		v = t.judged(conf, d, v)
	}
	v = t.ended(v)
	switch {
	case interrupted:
	case v.again:
		t.complaints.Do(func() {
			log.Warn("a webhook event is not delivered yet", conf.attr, "event", d.name, "id", d.id,
				"room", d.room, "problem", v.problem)
		})
	case v.outcome == rejected:
		t.rejections.Do(func() {
			log.Warn("a webhook event was rejected", conf.attr, "event", d.name, "id", d.id,
				"room", d.room, "problem", v.problem)
		})
	case v.outcome == expired:
		t.expiries.Do(func() { t.sender.gaveUp(conf.attr, d.room, expired, 1) })
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
		if !conf.Policy.none() {
			wait = conf.Policy.pause(d.tries)
		} else if t.drained == nil { // there is no time left for what the target asks
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
	wait = max(0, min(wait, time.Until(at.Add(t.conf.Load().MaxAge))))
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
	bytes := 0
	for _, d := range l.events[from:to] {
		bytes += d.size()
	}
	l.bytes -= bytes
	t.grewLocked(from-to, -bytes)
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
	t.drainedLocked()
}

// drainedLocked tells whoever waits for it that nothing is left to do now. What
// rests of a target with a policy is not hurried: it waits for the next start.
func (t *target) drainedLocked() {
	if t.drained == nil || t.quiet || t.count > 0 && (t.conf.Load().Policy.none() || t.workers > 0 || t.readyLanesLocked()) {
		return
	}
	t.quiet = true
	close(t.drained)
}

func (t *target) readyLanesLocked() bool {
	return slices.ContainsFunc(t.ready, func(l *lane) bool { return l.state == ready })
}

// relieveLocked gives up so much: the oldest events of the room of which most waits.
// It returns their keys by room.
func (t *target) relieveLocked(events, bytes int) map[string][]string {
	gone := map[string][]string{}
	for events > 0 || bytes > 0 {
		worst := ""
		most := 0
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
	t.drained = make(chan struct{})
	if t.conf.Load().Policy.none() {
		for _, l := range t.lanes {
			l.failures = 0
			t.wakeLocked(l)
		}
	}
	t.drainedLocked()
	return t.drained
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
