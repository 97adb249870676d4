package room

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	flushInline = 64  // outboxes that whoever filled them writes itself
	flushChunk  = 256 // outboxes that a flusher takes at once
	signedFirst = 64  // tokens that are signed before anything is written, so that one write takes both
)

// A Batch collects what operations on rooms leave to be done outside of the
// locks: outboxes to write, tokens to sign. Its owner calls Flush after a run
// of operations, so that many messages to one receiver become one write.
//
// A Batch is used by one goroutine. The zero value is not usable; see [Rooms.Batch].
type Batch struct {
	rooms   *Rooms
	dirty   []*outbox
	refresh []*Participant
	work    []func()
	fanouts [2]*fanout // handed to the flushers and perhaps not done
	waiting func()     // see BeforeWait
}

// BeforeWait has f called before an operation on this batch waits for the store
// or for the flushers.
func (b *Batch) BeforeWait(f func()) { b.waiting = f }

func (b *Batch) willWait() {
	if b.waiting != nil {
		b.waiting()
	}
}

// Batch returns an empty batch.
func (rs *Rooms) Batch() *Batch { return &Batch{rooms: rs} }

func (b *Batch) add(o *outbox) { b.dirty = append(b.dirty, o) }

// later runs f in Flush, outside of all locks.
func (b *Batch) later(f func()) { b.work = append(b.work, f) }

// watched reports whether somebody looks closely: a line of log for each of many
// people would be most of a large server's log, and of the cost of a join.
func (rs *Rooms) watched() bool { return rs.cfg.Log.Enabled(context.Background(), slog.LevelDebug) }

// Len is the number of outboxes waiting to be written.
func (b *Batch) Len() int { return len(b.dirty) }

// Flush writes what the operations queued. It never waits for a connection;
// when many outboxes are to be written it hands them to the flushers and
// returns, but waits when two fan-outs of this batch are still unwritten: that
// holds back the sender, not the receivers.
func (b *Batch) Flush() { b.flush(flushInline) }

// FlushHere is Flush for what many senders left: it writes everything itself.
func (b *Batch) FlushHere() { b.flush(math.MaxInt) }

// flush writes up to so many outboxes itself. Should something in it panic, it can
// be called again, for the rest.
func (b *Batch) flush(inline int) {
	for len(b.refresh) > 0 || len(b.work) > 0 {
		if len(b.refresh) > signedFirst {
			b.write(inline) // it should not wait for many signatures
		}
		for len(b.work) > 0 {
			f := b.work[0]
			b.work[0] = nil
			b.work = b.work[1:]
			f()
		}
		for len(b.refresh) > 0 {
			p := b.refresh[0]
			b.refresh[0] = nil
			b.refresh = b.refresh[1:]
			p.refreshToken(b)
		}
	}
	b.write(inline)
}

// write writes the outboxes that are waiting for it, or hands them to the flushers.
func (b *Batch) write(inline int) {
	if len(b.dirty) == 0 {
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if len(b.dirty) <= inline {
		for i, o := range b.dirty {
			if o != nil { // else it was at this one that an earlier flush failed
				b.dirty[i] = nil
				o.flush(s)
			}
		}
		b.dirty = b.dirty[:0]
		return
	}
	if b.fanouts[0] != nil {
		b.fanouts[0].wait(b)
	}
	f := &fanout{done: make(chan struct{})}
	f.left.Store(int32((len(b.dirty) + flushChunk - 1) / flushChunk))
	for rest := b.dirty; len(rest) > 0; {
		n := min(flushChunk, len(rest))
		b.rooms.flushers.give(b, chunk{rest[:n:n], f}, s)
		rest = rest[n:]
	}
	b.dirty = nil // the flushers own it now
	b.fanouts[0], b.fanouts[1] = b.fanouts[1], f
}

// Wait blocks until everything flushed so far has been handed to the connections.
func (b *Batch) Wait() {
	for i, f := range b.fanouts {
		if f != nil {
			f.wait(b)
			b.fanouts[i] = nil
		}
	}
}

// scratch is a writer's working memory. It holds no frames between two writes.
type scratch struct {
	items  []item
	gather []byte
	bufs   [][]byte
}

// scratches are shared by all who write now and then, so that a connection that
// does not write costs none.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// clear lets go of the frames.
func (s *scratch) clear() {
	clear(s.items)
	clear(s.bufs)
	s.items, s.bufs = s.items[:0], s.bufs[:0]
}

// item is a frame in flight: what is left of it to write.
type item struct {
	frame *frame
	rest  []byte
	index uint64 // in unsent
	begun bool   // a part has been written before; it is no longer in unsent
}

// flush writes what waits, and says farewell to connections that end.
func (o *outbox) flush(s *scratch) {
	o.mu.Lock()
	if o.state != queued {
		o.mu.Unlock()
		return
	}
	var leaving []departure
	if len(o.departures) > 0 {
		kept := o.departures[:0]
		for _, d := range o.departures {
			if d.unattended {
				leaving = append(leaving, d)
			} else {
				kept = append(kept, d)
			}
		}
		o.departures = kept
	}
	if conn := o.conn; conn != nil {
		o.state = flushing
		o.pump(s, conn, o.attachment, Conn.TryWrite, gatherBytes) // unlocks
	} else {
		o.state = idle
		o.mu.Unlock()
	}
	for _, d := range leaving {
		o.depart(d)
	}
}

// drain writes for a connection that was full. It ends when everything is
// written or the connection has ended.
func (o *outbox) drain(conn Conn, attachment uint64) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	o.mu.Lock()
	o.pump(s, conn, attachment, Conn.WriteSome, gatherWhenSlow) // unlocks
}

// pump writes through the connection until nothing is left or it takes no more.
// Its caller has set the state. It is called with o.mu held, and returns without.
func (o *outbox) pump(s *scratch, conn Conn, attachment uint64, write func(Conn, [][]byte) (int, error), most int) {
	defer s.clear()
	for round := 0; ; round++ {
		if o.attachment != attachment {
			d := o.departureLocked(attachment)
			o.mu.Unlock()
			o.depart(d)
			return
		}
		if round == flushRounds && o.state == flushing {
			// Others go on filling it. A goroutine of its own takes over, so
			// that this one can return to its own connection.
			o.state = blocked
			go o.drain(conn, attachment) // ends when all is written
			o.mu.Unlock()
			return
		}
		o.collectLocked(s, most)
		if len(s.items) == 0 {
			o.state = idle
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()

		var n int
		var err error
		total := s.encode(o.encoder)
		if total > 0 {
			n, err = write(conn, s.bufs)
		}

		o.mu.Lock()
		if o.attachment != attachment {
			d := o.departureLocked(attachment)
			o.mu.Unlock()
			if d.rest = s.rest(n); n < total {
				d.frames = nil // they would follow a gap
			}
			o.depart(d)
			return
		}
		o.wroteLocked(s, n)
		if err != nil {
			// The session's own read loop sees the end and takes leave.
			o.detachLocked(CauseLeft, false)
			o.departureLocked(attachment)
			o.mu.Unlock()
			conn.Abort()
			return
		}
		if n < total && o.state == flushing {
			o.state = blocked
			go o.drain(conn, attachment) // ends when all is written, or by the connection's end
			o.mu.Unlock()
			return
		}
	}
}

// collectLocked gathers what to write next, dropping what need not be.
func (o *outbox) collectLocked(s *scratch, most int) {
	s.clear()
	size := 0
	if o.partial.frame != nil {
		s.items = append(s.items, item{frame: o.partial.frame, rest: o.partial.rest, begun: true})
		size = len(o.partial.rest)
	}
	var oldest time.Time
	i := o.unsent.head
	for ; i != o.unsent.tail && size < most && len(s.items) < gatherFrames; i++ {
		e := o.unsent.at(i)
		f := e.frame
		if f == nil {
			continue
		}
		switch {
		case f.class == latest && f.overtaken():
			o.removeLocked(e)
			o.gaps++
			o.shared.metrics.drops[dropOvertaken].Inc()
			continue
		case f.class == lossy && e.sub != nil && e.sub.ended.Load():
			o.removeLocked(e)
			o.gaps++
			o.shared.metrics.drops[dropEnded].Inc()
			continue
		case f.class == lossy:
			if oldest.IsZero() {
				oldest = time.Now().Add(-o.lossyAge())
			}
			if f.at.Before(oldest) {
				o.dropLocked(i, dropStale)
				continue
			}
		}
		s.items = append(s.items, item{frame: f, index: i})
		size += f.size
	}
	o.flightEnd = i
	if len(s.items) == 0 {
		o.unsent.pop(i)
	}
}

// encode fills bufs with the bytes of the items and returns how many there
// are. Small frames are gathered into one buffer, large ones referenced.
func (s *scratch) encode(e Encoder) (total int) {
	need := 0
	for i := range s.items {
		it := &s.items[i]
		if !it.begun {
			it.rest = it.frame.bytes(e)
		}
		total += len(it.rest)
		if len(it.rest) < copyBelow {
			need += len(it.rest)
		}
	}
	s.gather = s.gather[:0]
	if cap(s.gather) < need {
		s.gather = make([]byte, 0, max(need, 4<<10)) // in one go: bufs point into it
	}
	start := 0
	for _, it := range s.items {
		if len(it.rest) < copyBelow {
			s.gather = append(s.gather, it.rest...)
			continue
		}
		if start < len(s.gather) {
			s.bufs = append(s.bufs, s.gather[start:])
			start = len(s.gather)
		}
		s.bufs = append(s.bufs, it.rest)
	}
	if start < len(s.gather) {
		s.bufs = append(s.bufs, s.gather[start:])
	}
	return total
}

// rest is what is left of the frame that n written bytes end in.
func (s *scratch) rest(n int) []byte {
	for _, it := range s.items {
		if n < len(it.rest) {
			if n > 0 || it.begun {
				return it.rest[n:]
			}
			return nil
		}
		n -= len(it.rest)
	}
	return nil
}

// wroteLocked moves past what n written bytes have finished.
func (o *outbox) wroteLocked(s *scratch, n int) {
	for _, it := range s.items {
		if n < len(it.rest) {
			if n > 0 || it.begun {
				o.takeLocked(it)
				o.partial = partial{it.frame, it.rest[n:]}
			}
			o.flightEnd = o.unsent.head
			return
		}
		n -= len(it.rest)
		o.takeLocked(it)
		o.sentLocked(it.frame)
	}
	o.unsent.pop(o.flightEnd)
}

// takeLocked takes an item out of unsent, with the gaps before it.
func (o *outbox) takeLocked(it item) {
	if it.begun {
		o.partial = partial{}
		return
	}
	o.removeLocked(o.unsent.at(it.index))
	o.unsent.pop(it.index + 1)
}

// departureLocked takes the departure of a connection out of the list. There
// is one when the connection was detached.
func (o *outbox) departureLocked(attachment uint64) (d departure) {
	for i := range o.departures {
		if o.departures[i].attachment == attachment {
			d = o.departures[i]
			o.departures = append(o.departures[:i], o.departures[i+1:]...)
			break
		}
	}
	return d
}

// depart says farewell, outside of all locks.
func (o *outbox) depart(d departure) {
	rest := d.rest
	if len(d.frames) > 0 {
		rest = append([]byte(nil), rest...)
		for _, f := range d.frames {
			rest = append(rest, f.bytes(o.encoder)...)
		}
	}
	d.conn.Farewell(rest, d.cause, d.detail)
}

// outboxes is what all outboxes share.
type outboxes struct {
	limits  OutboxLimits
	total   atomic.Int64 // bytes waiting in all of them
	metrics *metrics
}
