package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"usher/auth"
	"usher/room"
	"usher/session/wire"
)

const (
	// batchMessages is how many messages are handled at most before what they
	// left to be written is written.
	batchMessages = 64
	// writeAtOnce is how many outboxes one turn may leave to be written with
	// those of others.
	writeAtOnce = 64
	// bufferBytes is how large a message's buffer is at first, and
	// keepBufferBytes the largest that is used again.
	bufferBytes     = 4 << 10
	keepBufferBytes = 64 << 10
	// refusalTime is how long a connection that was refused at once may take to
	// hear of it.
	refusalTime = 2 * time.Second
)

// A session is one connection: its read loop, and the participant it speaks for.
type session struct {
	server *Server // static
	conn   *conn   // static
	ws     *websocket.Conn
	remote string // static

	joined atomic.Pointer[room.Participant] // set by the join, and when it is moved

	// Owned by the read loop.
	lead       *lead     // whose turn it is; nil when it has a goroutine of its own
	dirty      int       // outboxes to be written when the turn began
	began      time.Time // when it connected
	err        error     // that reading has ended with
	token      string    // that came with the handshake
	unjoined   bool      // counts among the sockets that have not joined
	taken      int64     // of the budget for those
	partial    int64     // of that, for what is kept between turns
	buf        *[]byte
	unread     io.Reader // a message that was not read to its end
	generation uint32
	batch      *room.Batch
	rate       *rate.Limiter // nil: no limit
	refused    int           // messages over the limit, less those within it since

	// Owned by the sweeper.
	nextPing time.Time
}

// refuse ends a connection that is not to join.
func (c *session) refuse(code wire.CloseCode) {
	c.release()
	c.server.refusing.Add(1)
	defer c.server.refusing.Add(-1)
	c.conn.farewell(nil, code, "")
	_ = c.conn.SetDeadline(time.Now().Add(refusalTime))
	c.discard(nil)
}

// run is the read loop of a connection with a goroutine of its own. When it
// returns, everything of the connection has ended.
func (c *session) run() {
	c.batch = c.server.cfg.Rooms.Batch()
	c.work()
	c.part()
}

// turn is the read loop of a polled connection, for as long as there is
// something to read. It runs in l's goroutine.
func (c *session) turn(l *lead) {
	c.lead, c.batch, c.dirty = l, l.batch, l.batch.Len()
	c.conn.borrow(l.buffer())
	ended := true
	func() {
		defer c.contain()
		ended = c.work()
	}()
	if !ended {
		return
	}
	c.conn.giveBack()
	c.lead = nil
	// Its end takes until the peer has heard of it.
	go func() { // ends with the connection
		defer c.server.forget(c)
		defer c.contain()
		c.batch = c.server.cfg.Rooms.Batch()
		c.part()
	}()
}

// work handles what there is to read. It reports whether the connection has
// ended; if not, nobody reads any more until its next turn.
func (c *session) work() (ended bool) {
	p := c.joined.Load()
	if p == nil {
		var err error
		c.generation = 1
		if p, err = c.conn.peer.Open((*Connection)(c)); errors.Is(err, errParked) {
			return false
		}
		c.token = ""
		if err != nil {
			c.batch.Flush()
			// At debug, so that strangers cannot fill a disk.
			c.server.cfg.Log.Debug("join refused", "remote", c.remote, "error", err)
			c.err = err
			return true
		}
		c.begin(p)
	}
	err := c.read(p)
	if errors.Is(err, errParked) {
		return false
	}
	c.batch.Flush()
	c.err = err
	if !errors.Is(err, room.ErrFenced) {
		c.conn.note(err)
		c.joined.Load().Disconnected(c.batch, c.generation, isCut(err))
		c.batch.Flush()
	}
	return true
}

// begin goes on as a participant's connection.
func (c *session) begin(p *room.Participant) {
	c.release()
	c.conn.readUntil(time.Time{})
	if r := c.server.cfg.MessagesPerSecond; r > 0 {
		c.rate = rate.NewLimiter(rate.Limit(r), max(int(2*r), 1))
	}
	c.conn.control = func(frame []byte) {
		c.joined.Load().Control(c.batch, c.conn, frame)
		c.batch.Flush() // the library goes on reading
	}
	c.joined.Store(p)
	if c.lead == nil {
		c.batch.Flush()
	}
	c.server.metrics.joins.Observe(time.Since(c.began).Seconds())
}

// part is the end of the connection, after work. It waits for the peer.
func (c *session) part() {
	defer c.release()
	switch {
	case c.joined.Load() == nil:
		c.conn.refuse(c.err)
	case errors.Is(c.err, room.ErrFenced):
		// Whoever fenced the connection says farewell, perhaps in a moment.
		c.conn.readUntil(time.Now().Add(2 * farewellTime))
	}
	c.discard(c.err)
}

// contain keeps a defect in handling one connection from ending the others.
func (c *session) contain() {
	problem := recover()
	if problem == nil {
		return
	}
	c.server.cfg.Log.Error("a connection failed", "panic", fmt.Sprintf("%T", problem), "stack", string(debug.Stack()))
	c.conn.Abort()
	if p := c.joined.Load(); p != nil {
		p.Disconnected(c.batch, c.generation, true)
	}
	if c.batch != nil {
		c.server.flush(c.batch, (*room.Batch).Flush) // with what it had not written yet: nobody else writes that
	}
}

// flush flushes a batch in which things of many sessions are: a defect with one of
// them keeps none of the others.
func (s *Server) flush(b *room.Batch, flush func(*room.Batch)) {
	defer func() {
		if problem := recover(); problem != nil {
			s.cfg.Log.Error("writing failed", "panic", fmt.Sprintf("%T", problem), "stack", string(debug.Stack()))
			s.flush(b, flush) // the rest: what failed is not in the batch any more
		}
	}()
	flush(b)
}

// release gives back what the connection took of the budget for those that
// have not joined.
func (c *session) release() {
	if c.unjoined {
		c.unjoined = false
		c.server.unjoined.Add(-1)
		c.server.waiting.Add(-c.taken)
		c.taken = 0
	}
}

// wait leaves the lead to another goroutine, for the library is about to wait in
// this one, and the large buffer: what waits costs what a connection with a
// goroutine of its own does.
func (c *session) wait() error {
	c.batch.Flush()
	if len(c.conn.buf) > readBufferBytes {
		if err := c.keep(readBufferBytes); err != nil {
			return err
		}
		c.conn.buf = make([]byte, readBufferBytes)
		c.lead.giveBuffer() // what was in it has been kept
	}
	c.lead.handOver()
	return nil
}

// share has much writing shared among the flushers, which holds back its sender. A
// goroutine that does not lead writes at once: the session's next turn may be in
// another one before this has done so, and if it ends the connection, replies that
// still wait are lost.
func (c *session) share() {
	if !c.lead.leading || c.batch.Len()-c.dirty > writeAtOnce {
		c.batch.Flush()
	}
}

// keep gives the turn's buffer back and keeps what has come of a message. That is
// taken from the budget of those that have not joined, with so many bytes more.
func (c *session) keep(more int64) error {
	c.conn.giveBack()
	if !c.unjoined {
		return nil
	}
	grown := int64(len(c.conn.pending)) + more - c.partial
	c.partial += grown
	if !c.take(grown) {
		return errBusy
	}
	return nil
}

// discard reads what still comes until the peer hangs up or the farewell's
// time is over, and closes the socket. With err the read loop has ended.
func (c *session) discard(err error) {
	heard := websocket.CloseStatus(err) != -1
	defer func() { c.server.metrics.closed(c.conn.finish(heard)) }()
	for !heard {
		// The library takes the rest of a message for a frame's beginning.
		r, err := c.unread, error(nil)
		if c.unread = nil; r == nil {
			_, r, err = c.ws.Reader(context.Background())
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			heard = websocket.CloseStatus(err) != -1
			break
		}
	}
	_ = c.ws.CloseNow() // it does not touch the socket
}

// end ends the session's connection from outside of its read loop.
func (c *session) end(b *room.Batch, cause room.Cause) {
	if p := c.joined.Load(); p != nil {
		p.EndOf(b, c.conn, cause)
		return
	}
	c.conn.hasten(causes[cause])
}

// tick is called by the sweeper, about once a second.
func (c *session) tick(b *room.Batch, now time.Time) {
	p := c.joined.Load()
	if p == nil || c.conn.ended() {
		return
	}
	cfg := &c.server.cfg
	if c.nextPing.IsZero() {
		c.nextPing = now.Add(rand.N(cfg.PingInterval) + 1)
		return
	}
	if heard := time.Unix(0, c.conn.heard.Load()); now.Sub(heard) >= 2*cfg.PingInterval {
		p.EndOf(b, c.conn, room.CausePingTimeout)
		return
	}
	if !now.Before(c.nextPing) {
		c.nextPing = now.Add(cfg.PingInterval)
		p.Control(b, c.conn, pingFrame)
	}
}

// Refresher returns the signer of refreshed tokens for [room.Config].
func Refresher(v *auth.Verifier, lifetime time.Duration) func(*auth.Grant, auth.Current) (string, time.Time, error) {
	return func(g *auth.Grant, now auth.Current) (string, time.Time, error) {
		expires := time.Now().Add(lifetime)
		token, err := v.Refresh(g, now, lifetime)
		return token, expires, err
	}
}
