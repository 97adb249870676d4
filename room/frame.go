package room

import (
	"sync/atomic"
	"time"
)

// class says how a frame may be treated on its way.
type class uint8

const (
	// counted frames are never dropped; they are counted by both ends and kept
	// until the peer has acknowledged them, for a resume.
	counted class = iota
	// control frames are never dropped while the connection lives, and mean
	// nothing to the next one.
	control
	// opening is the frame that begins a connection. It is like a control frame,
	// but as large as the room makes it: it is not held against the receiver.
	opening
	// latest frames are overtaken by the next one of the same source.
	latest
	// lossy frames are dropped oldest first when there are too many or when
	// they have waited for too long.
	lossy
)

// A frame is an immutable message on its way to any number of sessions. It is
// encoded once for each dialect, by whoever first writes it, outside all locks.
type frame struct {
	class class
	size  int // bytes, estimated before it is encoded
	at    time.Time

	waiting atomic.Int32 // outboxes it waits in

	event   Event  // nil when raw is set
	raw     []byte // the same in every dialect
	encoded memo

	// Of latest frames: the version, and which is the present one.
	current *atomic.Uint64
	version uint64

	// Of frames of a track.
	key     bool
	layer   uint8
	counter uint16
}

func newFrame(c class, ev Event, size int) *frame {
	return &frame{class: c, event: ev, size: size + frameOverhead, at: time.Now()}
}

// frameOverhead stands for the keys, quotes and header around a message's own bytes.
const frameOverhead = 128

// bytes returns the frame in the encoder's dialect.
func (f *frame) bytes(e Encoder) []byte {
	if f.raw != nil || f.event == nil {
		return f.raw
	}
	return f.encoded.get(e.Dialect(), func() []byte { return e.Encode(f.event) })
}

// overtaken reports whether a later frame of the same source exists. It is
// in the same outbox, or about to be: both are placed under the room's mutex.
func (f *frame) overtaken() bool {
	return f.class == latest && f.current.Load() != f.version
}

// size of a snapshot's own bytes, for the bounds of an outbox.
func (i *Info) size() int {
	n := 256 + len(i.SID) + len(i.Identity) + len(i.Name) + len(i.Metadata)
	for k, v := range i.Attributes {
		n += len(k) + len(v) + 8
	}
	for _, t := range i.Tracks {
		n += 128 + len(t.Codec) + len(t.Name)
	}
	return n
}

func (p Presence) size() int {
	n := 0
	for k, v := range p {
		n += len(k) + len(v) + 4
	}
	return n
}

// ring is a queue whose elements keep their absolute index, from head to tail.
type ring[T any] struct {
	buf        []T // its length is a power of two
	head, tail uint64
}

func (r *ring[T]) len() int       { return int(r.tail - r.head) }
func (r *ring[T]) at(i uint64) *T { return &r.buf[i&uint64(len(r.buf)-1)] }
func (r *ring[T]) push(v T) (i uint64) {
	if r.len() == len(r.buf) {
		grown := make([]T, max(8, 2*len(r.buf)))
		for i := r.head; i != r.tail; i++ {
			grown[i&uint64(len(grown)-1)] = *r.at(i)
		}
		r.buf = grown
	}
	i = r.tail
	r.tail++
	*r.at(i) = v
	return i
}

// pop drops the elements before index end. An emptied ring that had grown
// gives its memory back, so that a burst is not paid for ever.
func (r *ring[T]) pop(end uint64) {
	var zero T
	for ; r.head != end; r.head++ {
		*r.at(r.head) = zero
	}
	if r.head == r.tail && len(r.buf) > 64 {
		r.buf = nil
	}
}
