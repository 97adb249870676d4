package webhook

import (
	"sync"
	"time"

	"usher/room"
	"usher/room/store"
)

const (
	batchMost   = 1000                   // occurrences, or changes, in one commit
	commitBytes = 8 << 20                // of records, about
	doneMost    = 500                    // changes to events that are written without waiting for more
	doneDelay   = 200 * time.Millisecond // how long they wait for company
)

// An intake is what waits to be written to the store: occurrences, and what has
// become of events. Its methods never block.
type intake struct {
	maxEvents, maxBytes int           // static
	wake                chan struct{} // buffers one, never closed
	later               *time.Timer   // makes done due

	mu       sync.Mutex // guards the following fields
	occurred []occurred
	bytes    int // that occurrences hold, about
	dropped  int // since the last take
	done     []store.Change
	due      bool // done is to be written even if there is nothing else
	closed   bool // nothing more occurs
	ended    bool // nothing more will be done
}

type occurred struct {
	*room.Occurrence
	bytes int
	quiet bool // it is kept in mind, and nobody is told
}

func newIntake(maxEvents, maxBytes int) *intake {
	in := &intake{maxEvents: maxEvents, maxBytes: maxBytes, wake: make(chan struct{}, 1)}
	in.later = time.AfterFunc(time.Hour, in.flush)
	in.later.Stop()
	return in
}

func (in *intake) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// put queues an occurrence and returns those that gave way to it, the oldest.
func (in *intake) put(o *room.Occurrence, quiet bool) (gaveWay []*room.Occurrence) {
	n := bytesOf(o)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.occurred = append(in.occurred, occurred{o, n, quiet})
	in.bytes += n
	for len(in.occurred) > in.maxEvents || in.bytes > in.maxBytes && len(in.occurred) > 1 {
		oldest := in.occurred[0]
		in.occurred[0] = occurred{}
		in.occurred = in.occurred[1:]
		in.bytes -= oldest.bytes
		in.dropped++
		gaveWay = append(gaveWay, oldest.Occurrence)
	}
	in.signal()
	return gaveWay
}

// bytesOf is about what an occurrence keeps in memory. The room's metadata is
// shared by all of the room.
func bytesOf(o *room.Occurrence) int {
	n := 512
	if o.Participant != nil {
		n += len(o.Participant.Metadata) + len(o.Participant.Name)
		for k, v := range o.Participant.Attributes {
			n += len(k) + len(v)
		}
	}
	return n
}

// finish queues the deletion of events. It is not urgent: what is not deleted
// is delivered again after an unclean stop.
func (in *intake) finish(keys ...string) {
	changes := make([]store.Change, len(keys))
	for i, key := range keys {
		changes[i] = store.Change{Bucket: store.Deliveries, Key: key}
	}
	in.revise(changes...)
}

// revise queues changes to events that are stored.
func (in *intake) revise(changes ...store.Change) {
	if len(changes) == 0 {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.done) == 0 {
		in.later.Reset(doneDelay)
	}
	in.done = append(in.done, changes...)
	if len(in.done) >= doneMost {
		in.due = true
		in.signal()
	}
}

func (in *intake) flush() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.due = true
	in.signal()
}

// close refuses further occurrences.
func (in *intake) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.signal()
}

// end says that nothing is queued any more.
func (in *intake) end() {
	in.later.Stop()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed, in.ended, in.due = true, true, true
	in.signal()
}

// A batch is what is written together.
type batch struct {
	occurred []occurred
	done     []store.Change
	dropped  int
	last     bool // no occurrence follows
	end      bool // nothing follows
}

func (b *batch) empty() bool { return len(b.occurred) == 0 && len(b.done) == 0 }

// take returns what is to be written now, which may be nothing.
func (in *intake) take() batch {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := min(len(in.occurred), batchMost)
	b := batch{occurred: in.occurred[:n:n], dropped: in.dropped}
	if in.occurred, in.dropped = in.occurred[n:], 0; len(in.occurred) == 0 {
		in.occurred = nil // which would keep what was taken
	}
	for _, o := range b.occurred {
		in.bytes -= o.bytes
	}
	if n > 0 || in.due {
		b.done, in.done, in.due = in.done, nil, false
		in.later.Stop()
	}
	b.last = in.closed && len(in.occurred) == 0
	b.end = in.ended && len(in.occurred) == 0 && len(in.done) == 0
	return b
}

// waiting returns how many occurrences wait, and since when the oldest does.
func (in *intake) waiting() (n int, oldest time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.occurred) > 0 {
		oldest = in.occurred[0].At
	}
	return len(in.occurred), oldest
}
