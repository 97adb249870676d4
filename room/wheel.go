package room

import (
	"sync"
	"time"
)

// firedAtOnce is how many alarms go off before what they have done is written.
const firedAtOnce = 64

// farthest is how far ahead an alarm is due at most. One that is set for later finds
// that it is early, and waits on: a token may say any year, and the time until then
// need not fit in a duration.
const farthest = 365 * 24 * time.Hour

// A wheel has participants' alarms go off: when their time in the room is over,
// when they have not come back, when a lease has lapsed. All alarms of a process
// share one timer, and one goroutine while some go off: many at one moment cost no
// more than one after the other.
//
// Its mutex is below a room's, and is not held while an alarm goes off. So an alarm
// may have been set anew or stopped when it does: it looks at what it is set for,
// under its room's mutex.
type wheel struct {
	rooms *Rooms    // static
	began time.Time // static

	mu      sync.Mutex // guards the following fields, and the place of each alarm
	alarms  []*alarm   // a heap: each is due no later than the two below it
	timer   *time.Timer
	armed   bool          // the timer runs
	due     time.Duration // what it is set for
	firing  bool
	stopped bool
	work    sync.WaitGroup // the timer, or what it began
}

// An alarm goes off once, at its moment or right after it, if it is still set then.
type alarm struct {
	p  *Participant               // static
	do func(*Batch, *Participant) // static; called with the room locked

	at time.Time // what it is set for, zero: nothing; guarded by the room's mutex

	due   time.Duration // the same, since the wheel began
	place int           // in the heap, from 1 on; 0: it is not there
}

func (w *wheel) init(rs *Rooms) { w.rooms, w.began = rs, time.Now() }

// set has an alarm go off at that time, instead of when it was set for before.
func (w *wheel) set(a *alarm, at time.Time) {
	a.at = at
	// The heap goes by one clock, though some times are the wall's and others are not.
	due := time.Since(w.began) + min(time.Until(at), farthest)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if a.place == 0 {
		w.alarms = append(w.alarms, a)
		a.place = len(w.alarms)
	}
	a.due = due
	w.settle(a)
	w.arm()
}

// stop has an alarm not go off. It may be nil.
func (w *wheel) stop(a *alarm) {
	if a == nil || a.at.IsZero() {
		return
	}
	a.at = time.Time{}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(a)
}

// close has no alarm go off any more, and waits for those that do.
func (w *wheel) close() {
	w.mu.Lock()
	w.stopped = true
	if w.armed && w.timer.Stop() {
		w.armed = false
		w.work.Done()
	}
	w.mu.Unlock()
	w.work.Wait()
}

// arm sets the timer for the first alarm, unless it goes off by then.
//
// w.mu must be held, here and in what follows.
func (w *wheel) arm() {
	if w.firing || w.stopped || len(w.alarms) == 0 {
		return
	}
	first := w.alarms[0].due
	if w.armed {
		if w.due <= first || !w.timer.Stop() {
			return // it looks for itself what is first
		}
	} else {
		w.work.Add(1) // until it has gone off and finds nothing more to do
		w.armed = true
	}
	w.due = first
	wait := first - time.Since(w.began)
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.fire)
	} else {
		w.timer.Reset(wait)
	}
}

// fire has all alarms go off that are due.
func (w *wheel) fire() {
	b := w.rooms.Batch()
	var due []*alarm
	for {
		w.mu.Lock()
		w.firing, w.armed = true, false
		now := time.Since(w.began)
		due = due[:0]
		for len(due) < firedAtOnce && len(w.alarms) > 0 && w.alarms[0].due <= now {
			a := w.alarms[0]
			w.remove(a)
			due = append(due, a)
		}
		if len(due) == 0 || w.stopped {
			w.firing = false
			w.arm()
			w.mu.Unlock()
			w.work.Done()
			return
		}
		w.mu.Unlock()
		for _, a := range due {
			a.fire(b)
		}
		b.Flush()
	}
}

// fire has one alarm go off, if it is still set for a time that has come.
func (a *alarm) fire(b *Batch) {
	r := a.p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case a.p.final != nil || a.at.IsZero():
	case time.Now().Before(a.at):
		r.rooms.wheel.set(a, a.at) // the wall's clock was put back, or it was set anew
	default:
		a.at = time.Time{}
		a.do(b, a.p)
	}
}

// remove takes an alarm out of the heap, if it is there.
func (w *wheel) remove(a *alarm) {
	if a.place == 0 {
		return
	}
	last := w.alarms[len(w.alarms)-1]
	w.put(last, a.place)
	w.alarms[len(w.alarms)-1] = nil
	w.alarms = w.alarms[:len(w.alarms)-1]
	a.place = 0
	if last != a {
		w.settle(last)
	}
	if n := len(w.alarms); cap(w.alarms) > 1024 && n < cap(w.alarms)/4 {
		w.alarms = append(make([]*alarm, 0, 2*n), w.alarms...) // a burst is not paid for ever
	}
}

func (w *wheel) put(a *alarm, place int) {
	w.alarms[place-1] = a
	a.place = place
}

// settle moves an alarm up or down to where it belongs.
func (w *wheel) settle(a *alarm) {
	for a.place > 1 {
		above := w.alarms[a.place/2-1]
		if above.due <= a.due {
			break
		}
		place := a.place
		w.put(a, above.place)
		w.put(above, place)
	}
	for {
		child := 2 * a.place
		if child > len(w.alarms) {
			return
		}
		if child < len(w.alarms) && w.alarms[child].due < w.alarms[child-1].due {
			child++
		}
		below := w.alarms[child-1]
		if a.due <= below.due {
			return
		}
		place := a.place
		w.put(a, child)
		w.put(below, place)
	}
}
