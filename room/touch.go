package room

import (
	"sync"
	"time"
)

// touchEvery is how often it is written when somebody connected to a room last: a
// join writes nothing.
const touchEvery = time.Minute

// touched is the rooms of which that is still to be written. Its mutex is a leaf
// below a room's.
type touched struct {
	mu      sync.Mutex // guards the following fields
	records []*record
	written time.Time
}

// touch notes that somebody has connected to a room.
func (rs *Rooms) touch(rec *record, at time.Time) {
	if !rec.listed() {
		return
	}
	rec.connected.Store(at.UnixNano())
	if rec.touched.Swap(true) {
		return
	}
	t := &rs.touched
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = append(t.records, rec)
}

// sweep writes what has gathered, once in a while.
func (t *touched) sweep(now time.Time) {
	t.mu.Lock()
	due := now.Sub(t.written) >= touchEvery
	t.mu.Unlock()
	if due {
		t.write()
	}
}

// write writes what has gathered; the store does that in groups. Nobody waits for
// it, and what the store cannot take is written with the next join.
func (t *touched) write() {
	t.mu.Lock()
	records := t.records
	t.records, t.written = nil, time.Now()
	t.mu.Unlock()
	for _, rec := range records {
		rec.touched.Store(false) // first: who connects from here on is written again
		rec.mu.Lock()
		if rec.liveblocks.sent != nil {
			rec.commitLocked()
		}
		rec.mu.Unlock()
	}
}
