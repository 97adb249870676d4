package loadtest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// warmUp is how long a steady load runs before it is measured.
const warmUp = 500 * time.Millisecond

// runFanout has one person send to all others of a room, with Window messages
// on their way: the next one goes when everybody has one of them. This is a
// closed loop: a slow server is asked for less.
func runFanout(r *run) error {
	if err := r.invite(r.cfg.People+1, r.cfg.People+1); err != nil {
		return err
	}
	r.follow(1)
	f := &fanout{run: r, receivers: int32(r.cfg.People), got: make([]atomic.Int32, r.cfg.Window)}
	r.hooks.data, r.hooks.readDone = f.data, f.readDone
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.announced()
	r.weigh()
	if f.publisher = r.people[0].socket(); f.publisher == nil {
		return errors.New("the publisher was put out")
	}
	f.publish(r.cfg.Window)
	err := f.keepGoing("warming up", min(warmUp, r.cfg.Duration))
	if err == nil {
		r.begin()
		err = f.keepGoing("measuring", r.cfg.Duration)
		r.end()
	}
	f.stopped.Store(true)
	r.settle(func() int64 { return r.counts.published.Load() * int64(r.cfg.People) })
	return err
}

// settle waits for what is still on its way, and notes how much that is to be
// in all.
func (r *run) settle(expected func() int64) {
	arrived := func() bool { return r.counts.delivered.Load() >= expected() }
	came := r.until("draining", r.cfg.Drain, arrived)
	if !came && r.ctx.Err() != nil {
		// Interrupted: what is on its way is not lost, so it gets a moment.
		for limit := time.Now().Add(min(r.cfg.Drain, 2*time.Second)); !came && time.Now().Before(limit); came = arrived() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if came {
		// What comes twice comes later.
		time.Sleep(50 * time.Millisecond)
	}
	r.expected = expected()
}

// A fanout counts who has which message.
type fanout struct {
	run       *run
	publisher socket
	receivers int32
	stopped   atomic.Bool
	got       []atomic.Int32 // receivers that have message seq, at seq modulo the window
	due       atomic.Int32   // messages to be sent
	completed atomic.Int64
	mu        sync.Mutex    // held while publishing
	given     atomic.Uint32 // messages up to this one are given up
}

// data comes with each delivery.
func (f *fanout) data(p, _ *person, s stamp) {
	f.run.main.record(p.now - s.at)
	f.run.unit.Add(1)
	if s.seq <= f.given.Load() {
		return
	}
	slot := &f.got[int(s.seq)%len(f.got)]
	if slot.Add(1) == f.receivers {
		slot.Store(0)
		f.due.Add(1)
		f.completed.Add(1)
	}
}

// readDone sends what has become due while a chunk was read: all of it in one
// write, so that a server that passes several messages on together is asked for
// several together.
func (f *fanout) readDone(*person) {
	if f.due.Load() > 0 {
		f.publish(int(f.due.Swap(0)))
	}
}

// publish sends n messages. It does not lock the publisher: the receivers call
// it, locked themselves.
func (f *fanout) publish(n int) {
	if n == 0 || f.stopped.Load() {
		return
	}
	r := f.run
	f.mu.Lock() // so that they go out in the order of their numbers
	defer f.mu.Unlock()
	var b []byte
	at := clock()
	for range n {
		seq := r.counts.published.Add(1)
		b = appendPublishData(b, stamp{0, uint32(seq), at}, r.cfg.Size, false)
	}
	f.publisher.send(b)
}

// stuckAfter is how long nothing may be completed before the messages that are
// outstanding are given up: a server that loses one must not end the load.
const stuckAfter = 2 * time.Second

// keepGoing lets the load run for a while.
func (f *fanout) keepGoing(phase string, d time.Duration) error {
	end := time.Now().Add(d)
	last, since := f.completed.Load(), time.Now()
	for left := d; left > 0; left = time.Until(end) {
		if err := f.run.sleep(phase, min(left, stuckAfter/4)); err != nil {
			return err
		}
		if done := f.completed.Load(); done != last {
			last, since = done, time.Now()
		} else if time.Since(since) > stuckAfter {
			f.given.Store(uint32(f.run.counts.published.Load()))
			for i := range f.got {
				f.got[i].Store(0)
			}
			since = time.Now()
			f.publish(len(f.got))
		}
	}
	return nil
}
