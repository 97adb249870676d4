package room

import (
	"sync"
	"time"
)

// A Conn is the writing side of one connection, as an outbox needs it.
type Conn interface {
	// TryWrite writes what the connection takes at once. n may be short; an
	// error means that the connection is dead.
	TryWrite(frames [][]byte) (n int, err error)
	// WriteSome waits until the connection has taken at least one byte.
	WriteSome(frames [][]byte) (n int, err error)
	// Farewell writes rest, then the close frame for the cause, and ends the
	// connection when the peer has answered or after a few seconds. It returns
	// at once. Nothing is written after it. The detail is [Final]'s, mostly empty.
	Farewell(rest []byte, cause Cause, detail string)
	// Hurry makes a waiting WriteSome return, so that the connection can be
	// ended. It only notes a deadline.
	Hurry()
	// Abort ends the connection at once; its read side fails.
	Abort()
}

// OutboxLimits bound what is queued for one session.
type OutboxLimits struct {
	ReliableBytes int           // waiting to be sent; past it the connection is closed as slow
	LossyBytes    int           // waiting to be sent; past it the oldest are dropped
	ReplayFrames  int           // kept until acknowledged, for a resume
	ReplayBytes   int           // the same, in bytes
	LossyAge      time.Duration // lossy frames that waited longer are dropped
	SlowAge       time.Duration // a connection whose oldest frame waited longer is closed as slow
	TotalBytes    int64         // waiting in all outboxes of the process together
}

// DefaultOutboxLimits are the figures of docs/protocol.md.
var DefaultOutboxLimits = OutboxLimits{
	ReliableBytes: 4 << 20,
	LossyBytes:    256 << 10,
	ReplayFrames:  512,
	ReplayBytes:   256 << 10,
	LossyAge:      time.Second,
	SlowAge:       5 * time.Second,
	TotalBytes:    2 << 30,
}

const (
	gatherBytes      = 64 << 10 // written at most in one call
	gatherWhenSlow   = 4 << 10  // the same for a connection that is draining, so that what waits can still be dropped
	gatherFrames     = 256      // well below IOV_MAX
	copyBelow        = 4 << 10  // smaller frames are gathered into one buffer, larger ones referenced
	flushRounds      = 16       // after that a busy outbox is left to the flushers
	burstFactor      = 8        // how much more may wait for a moment
	burstTime        = time.Second
	farewellMaxBytes = 64 << 10 // reliable frames that go out before a close frame
)

// An outbox is the bounded queue of frames to one session. It outlives
// connections: what was sent and not acknowledged is kept for a resume.
//
// Frames are appended under the room's mutex and written outside of it. Whoever
// appended to an idle outbox has to flush it, through a [Batch]; while one
// goroutine writes, others only append.
type outbox struct {
	shared  *outboxes // static
	encoder Encoder   // static
	replay  bool      // static: keep frames for a resume

	mu         sync.Mutex // guards the following fields
	conn       Conn       // nil: no connection now
	attached   time.Time  // when conn came
	attachment uint64     // counts the connections; a writer that finds another one stops
	state      outboxState
	departures []departure // connections that end, and whom nobody writes to

	unsent    ring[entry]
	flightEnd uint64  // entries before it are being written and stay where they are
	partial   partial // a frame of which only a part has been written

	reliableBytes, lossyBytes int // of unsent
	latestCount, latestSwept  int // latest frames in unsent, now and after the last sweep
	gaps, gapsKept            int // frames dropped out of unsent; those that the last compacting left

	unacked      ring[*frame] // sent, in order
	unackedBytes int
	acked        uint64 // reliable frames acknowledged, or no longer kept
	ackedAhead   uint64 // acknowledged before their writer has noted that they are sent
	count        uint32 // numbers the counts of frames: each fresh start has its own
	lost         bool   // a frame was given up: the session cannot be recovered
}

type outboxState uint8

const (
	idle     outboxState = iota
	queued               // in a batch, about to be written
	flushing             // being written by a flusher
	blocked              // the connection is full; a goroutine waits for it
)

type entry struct {
	frame *frame // nil: dropped
	sub   *subscription
}

// partial is a frame of which the connection has taken the first bytes.
type partial struct {
	frame *frame
	rest  []byte
}

// departure is a connection that is to be ended.
type departure struct {
	attachment uint64
	conn       Conn
	cause      Cause
	detail     string
	rest       []byte   // of a frame that was half-written
	frames     []*frame // that still go out before the close frame
	unattended bool     // no writer is at work that would see to it
}

// putLocked appends. It reports whether the caller has to flush the outbox.
//
// o.mu must be held.
func (o *outbox) putLocked(f *frame, sub *subscription) (dirty bool) {
	if o.conn == nil {
		if f.class == counted {
			o.keepLocked(f)
		}
		return false
	}
	limits := &o.shared.limits
	// What counts is what waits already: one frame may be larger than the bound
	// and is no fault of the receiver's. Nor is what one call or one run of
	// messages leaves for a connection before it can have taken it.
	before := o.reliableBytes
	slow := before > burstFactor*limits.ReliableBytes ||
		before > limits.ReliableBytes && o.state == blocked && f.at.Sub(o.oldestLocked()) > burstTime
	o.accountLocked(f, 1)
	o.unsent.push(entry{f, sub})

	crowded := o.shared.total.Load() > limits.TotalBytes
	if o.lossyBytes > limits.LossyBytes || crowded && o.lossyBytes > limits.LossyBytes/8 {
		o.shedLocked(crowded)
	}
	if o.latestCount > 2*o.latestSwept+64 {
		o.sweepLatestLocked()
	}
	if n := o.gaps - o.gapsKept; n > 32 && n > o.unsent.len()/2 {
		o.compactLocked()
	}
	if slow || crowded && o.state == blocked && o.reliableBytes > 16<<10 {
		o.shared.metrics.overflows.Inc()
		return o.detachLocked(CauseSlow, false)
	}
	if o.state == idle {
		o.state = queued
		return true
	}
	return false
}

// lossyAge is how long lossy frames may wait. While the connection is full the
// kernel and the network delay them as well: a receiver at 40 kB/s is to see
// nothing that is older than 2 s.
func (o *outbox) lossyAge() time.Duration {
	if o.state == blocked {
		return o.shared.limits.LossyAge / 3
	}
	return o.shared.limits.LossyAge
}

// oldestLocked is since when the oldest frame has waited. There is one.
func (o *outbox) oldestLocked() time.Time {
	at := time.Time{}
	if o.partial.frame != nil {
		at = o.partial.frame.at
	} else {
		for i := o.unsent.head; i != o.unsent.tail; i++ {
			if f := o.unsent.at(i).frame; f != nil {
				at = f.at
				break
			}
		}
	}
	if at.Before(o.attached) {
		return o.attached // it is replayed
	}
	return at
}

// keepLocked keeps a frame for a session that has no connection at the moment.
func (o *outbox) keepLocked(f *frame) {
	switch {
	case o.lost:
	case !o.replay:
		o.forgetLocked()
	default:
		o.rememberLocked(f)
	}
}

// rememberLocked adds a frame to those that can be replayed. The oldest give
// way: the client may well have them.
func (o *outbox) rememberLocked(f *frame) {
	o.unacked.push(f)
	o.unackedBytes += f.size
	for o.unacked.len() > o.shared.limits.ReplayFrames || o.unackedBytes > o.shared.limits.ReplayBytes {
		o.dropUnackedLocked()
	}
}

// dropUnackedLocked drops the oldest frame that could be replayed.
func (o *outbox) dropUnackedLocked() {
	o.unackedBytes -= (*o.unacked.at(o.unacked.head)).size
	o.unacked.pop(o.unacked.head + 1)
	o.acked++
}

// forgetLocked gives up the means to recover the session.
func (o *outbox) forgetLocked() {
	o.lost = true
	o.unacked = ring[*frame]{}
	o.unackedBytes = 0
}

// accountLocked adds a frame to the accounts of unsent, or with -1 takes it out.
func (o *outbox) accountLocked(f *frame, sign int) {
	size := sign * f.size
	switch f.class {
	case counted, control:
		o.reliableBytes += size
	case latest:
		o.reliableBytes += size
		o.latestCount += sign
	case lossy:
		o.lossyBytes += size
	}
	// Frames are shared, so each counts once, however many wait for it.
	if refs := f.waiting.Add(int32(sign)); refs == 0 || refs == 1 && sign == 1 {
		o.shared.total.Add(int64(size))
	}
}

// removeLocked takes the entry out of the accounts. It stays in its place, empty.
func (o *outbox) removeLocked(e *entry) {
	o.accountLocked(e.frame, -1)
	*e = entry{}
}

// shedLocked drops the oldest lossy frames until the rest is within half the
// bound, or an eighth when the whole process has too much waiting.
func (o *outbox) shedLocked(crowded bool) {
	keep := o.shared.limits.LossyBytes / 2
	if crowded {
		keep /= 4
	}
	for i := max(o.unsent.head, o.flightEnd); i != o.unsent.tail && o.lossyBytes > keep; i++ {
		if e := o.unsent.at(i); e.frame != nil && e.frame.class == lossy {
			o.dropLocked(i, dropFull)
		}
	}
}

// dropLocked drops the lossy frame at index i. Of a track, the other fragments
// of the same frame go with it, and of a video track whatever cannot be decoded
// without it.
func (o *outbox) dropLocked(i uint64, why dropReason) {
	e := o.unsent.at(i)
	lost, sub := e.frame, e.sub
	o.removeLocked(e)
	o.gaps++
	o.shared.metrics.drops[why].Inc()
	if sub == nil {
		return
	}
	for i++; i != o.unsent.tail; i++ {
		e := o.unsent.at(i)
		if e.frame == nil || e.sub != sub {
			continue
		}
		if sub.recovers(e.frame, lost) {
			return
		}
		o.removeLocked(e)
		o.gaps++
		o.shared.metrics.drops[dropDependent].Inc()
	}
	sub.lose(lost)
}

// compactLocked closes the gaps that dropped frames have left: while a
// connection is jammed nothing else would, and the queue would grow for ever.
func (o *outbox) compactLocked() {
	u := &o.unsent
	to := max(u.head, o.flightEnd)
	o.gaps = 0
	for i := u.head; i != to; i++ { // what is in flight stays where it is
		if u.at(i).frame == nil {
			o.gaps++
		}
	}
	for i := to; i != u.tail; i++ {
		if e := *u.at(i); e.frame != nil {
			*u.at(i) = entry{}
			*u.at(to) = e
			to++
		}
	}
	u.tail = to
	o.gapsKept = o.gaps
}

// sweepLatestLocked drops latest frames that were overtaken.
func (o *outbox) sweepLatestLocked() {
	for i := max(o.unsent.head, o.flightEnd); i != o.unsent.tail; i++ {
		if e := o.unsent.at(i); e.frame != nil && e.frame.overtaken() {
			o.removeLocked(e)
			o.gaps++
			o.shared.metrics.drops[dropOvertaken].Inc()
		}
	}
	o.latestSwept = o.latestCount
}

// detachLocked ends the present connection, if there is one, with the cause.
// What is reliable is kept for the next one. It reports whether the caller has
// to flush the outbox, which is what says farewell. With drain, reliable frames
// that wait go out before the close frame, unless the connection is jammed.
func (o *outbox) detachLocked(cause Cause, drain bool) (dirty bool) {
	return o.detachForLocked(Final{Cause: cause}, drain)
}

// detachForLocked is detachLocked with all that a final word has to say.
func (o *outbox) detachForLocked(final Final, drain bool) (dirty bool) {
	if o.conn == nil {
		return false
	}
	d := departure{attachment: o.attachment, conn: o.conn, cause: final.Cause, detail: final.Detail, rest: o.partial.rest}
	d.unattended = o.state == idle || o.state == queued
	o.conn = nil
	o.attachment++
	wasIdle, jammed := o.state == idle, o.partial.frame != nil

	// A half-written frame was not received. It comes first again.
	if f := o.partial.frame; f != nil && f.class == counted {
		o.keepLocked(f)
	}
	o.partial = partial{}
	size := 0
	for i := o.unsent.head; i != o.unsent.tail; i++ {
		e := o.unsent.at(i)
		if e.frame == nil {
			continue
		}
		if e.frame.class == opening && i >= o.flightEnd {
			drain = false // nothing comes before it
		}
		if e.frame.class == counted {
			o.keepLocked(e.frame)
			if size += e.frame.size; drain && !jammed && i >= o.flightEnd && size <= farewellMaxBytes {
				d.frames = append(d.frames, e.frame)
			}
		}
		o.removeLocked(e)
	}
	o.unsent = ring[entry]{head: o.unsent.tail, tail: o.unsent.tail}
	o.flightEnd, o.gaps, o.gapsKept, o.ackedAhead = o.unsent.tail, 0, 0, 0
	o.departures = append(o.departures, d)
	o.state = idle
	if !d.unattended {
		d.conn.Hurry()
		return false
	}
	o.state = queued
	return wasIdle
}

// attachLocked gives the session a connection whose client has received so many
// reliable frames by that count. It reports whether everything after them can be
// sent again, and queues it; if not, the outbox starts anew, with a new count:
// should the client never hear of that, its old number must not be taken for
// one of the new count. opening is sent first.
//
// There must be no connection now.
func (o *outbox) attachLocked(c Conn, count uint32, received uint64, opening func(recovered bool) *frame) (recovered, dirty bool) {
	recovered = o.replay && !o.lost && count == o.count && received >= o.acked && received-o.acked <= uint64(o.unacked.len())
	if recovered {
		o.ackLocked(received)
	} else {
		o.unacked, o.unackedBytes, o.acked, o.lost = ring[*frame]{}, 0, 0, false
		o.count++
	}
	again := o.unacked
	o.unacked, o.unackedBytes = ring[*frame]{}, 0
	o.conn, o.attached = c, time.Now()
	dirty = o.putLocked(opening(recovered), nil)
	for i := again.head; i != again.tail; i++ {
		dirty = o.putLocked(*again.at(i), nil) || dirty
	}
	return recovered, dirty
}

// ackLocked takes the client's count of reliable frames received. It reports
// whether so many were sent.
func (o *outbox) ackLocked(received uint64) bool {
	if received <= o.acked || o.lost {
		return true
	}
	n, kept := received-o.acked, uint64(o.unacked.len())
	if n > kept {
		// The client may have read what is being written at this moment.
		if n-kept > o.flyingLocked() {
			return false
		}
		o.ackedAhead = received
		n = kept
	}
	for range n {
		o.dropUnackedLocked()
	}
	return true
}

// flyingLocked is how many reliable frames a writer is at, right now.
func (o *outbox) flyingLocked() (n uint64) {
	if o.state != flushing && o.state != blocked {
		return 0
	}
	if f := o.partial.frame; f != nil && f.class == counted {
		n++
	}
	for i := o.unsent.head; i < o.flightEnd; i++ {
		if e := o.unsent.at(i); e.frame != nil && e.frame.class == counted {
			n++
		}
	}
	return n
}

// countedLocked is how many reliable frames the client will have received when
// it has all that are queued.
func (o *outbox) countedLocked() uint64 {
	n := o.acked + uint64(o.unacked.len())
	if f := o.partial.frame; f != nil && f.class == counted {
		n++
	}
	for i := o.unsent.head; i != o.unsent.tail; i++ {
		if e := o.unsent.at(i); e.frame != nil && e.frame.class == counted {
			n++
		}
	}
	return n
}

// sentLocked notes that a frame has been written whole.
func (o *outbox) sentLocked(f *frame) {
	if f.class != counted || !o.replay {
		return
	}
	if o.acked < o.ackedAhead {
		o.acked++ // nothing before it is kept
		return
	}
	o.rememberLocked(f)
}

// overdueLocked reports whether the oldest frame that can no longer be dropped
// has waited for too long.
func (o *outbox) overdueLocked(now time.Time) bool {
	if o.conn == nil || o.state != blocked || now.Sub(o.attached) <= o.shared.limits.SlowAge {
		return false // what is replayed may be older than the connection
	}
	if f := o.partial.frame; f != nil && now.Sub(f.at) > o.shared.limits.SlowAge {
		return true
	}
	for i := o.unsent.head; i != o.unsent.tail; i++ {
		// What is in flight will not be dropped any more, whatever it is.
		if e := o.unsent.at(i); e.frame != nil && (i < o.flightEnd || e.frame.class != lossy) {
			return now.Sub(e.frame.at) > o.shared.limits.SlowAge
		}
	}
	return false
}
