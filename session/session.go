package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

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

	joined atomic.Pointer[room.Participant] // set once

	// Owned by the read loop.
	token      string // that came with the handshake
	unjoined   bool   // counts among the sockets that have not joined
	taken      int64  // of the budget for those
	buf        *[]byte
	unread     io.Reader // a message that was not read to its end
	generation uint32
	batch      *room.Batch
	rate       *rate.Limiter // nil: no limit
	refused    int           // messages over the limit, less those within it since

	// Owned by the sweeper.
	nextPing    time.Time
	nextRefresh time.Time
}

// refuse ends a connection that is not to join.
func (c *session) refuse(code wire.CloseCode) {
	c.release()
	c.server.refusing.Add(1)
	defer c.server.refusing.Add(-1)
	c.conn.farewell(nil, code)
	_ = c.conn.SetDeadline(time.Now().Add(refusalTime))
	c.discard(nil)
}

// run is the read loop. When it returns, everything of the connection has ended.
func (c *session) run() {
	defer c.release()
	began := time.Now()
	c.conn.readUntil(began.Add(c.server.cfg.JoinTimeout))
	c.batch = c.server.cfg.Rooms.Batch()
	p, err := c.open()
	c.token = ""
	if err != nil {
		c.batch.Flush()
		// At debug, so that strangers cannot fill a disk.
		c.server.cfg.Log.Debug("join refused", "remote", c.remote, "error", err)
		c.conn.refuse(err)
		c.discard(err)
		return
	}
	c.release()
	c.conn.readUntil(time.Time{})
	if r := c.server.cfg.MessagesPerSecond; r > 0 {
		c.rate = rate.NewLimiter(rate.Limit(r), max(int(2*r), 1))
	}
	c.conn.control = func(frame []byte) {
		p.Control(c.batch, c.conn, frame)
		c.batch.Flush() // the library goes on reading
	}
	c.joined.Store(p)
	c.batch.Flush()
	c.server.metrics.joins.Observe(time.Since(began).Seconds())

	err = c.read(p)
	c.batch.Flush()
	if errors.Is(err, room.ErrFenced) {
		// Whoever fenced the connection says farewell, perhaps in a moment.
		c.conn.readUntil(time.Now().Add(2 * farewellTime))
	} else {
		c.conn.note(err)
		p.Disconnected(c.batch, c.generation, isCut(err))
		c.batch.Flush()
	}
	c.discard(err)
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
		c.batch.Flush() // with what it had not written yet: nobody else writes that
	}
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

// open reads the first message and joins or resumes.
func (c *session) open() (*room.Participant, error) {
	typ, text, err := c.next(c.server.cfg.Verifier.MaxTokenBytes() + 64<<10)
	if err != nil {
		return nil, err
	}
	if typ != websocket.MessageText {
		return nil, errNotAJoin
	}
	var m wire.Message
	if err := wire.Decode(text, &m); err != nil {
		return nil, errNotAJoin
	}
	switch m.Type {
	case "join":
		return c.join(&m)
	case "resume":
		return c.resume(&m)
	}
	return nil, errNotAJoin
}

func (c *session) join(m *wire.Message) (*room.Participant, error) {
	s := c.server
	token := m.Token
	if token == "" {
		token = c.token
	}
	if token == "" {
		return nil, fmt.Errorf("%w: no token came with the handshake or in the join", auth.ErrMalformed)
	}
	g, err := s.cfg.Verifier.Verify(token)
	if err != nil {
		s.cfg.Rooms.Refuse(err)
		return nil, err
	}
	name := g.Room
	if name == "" && g.Format.Name() != "livekit" {
		name = m.Room
	}
	if err := s.refreshable(g, name, len(token)); err != nil {
		s.cfg.Rooms.Refuse(err)
		return nil, err
	}
	c.generation = 1
	return s.cfg.Rooms.Join(c.batch, room.Join{
		Grant: g, Room: name, Conn: c.conn, Encoder: native{}, Replay: true,
		AutoSubscribe: m.AutoSubscribe == nil || *m.AutoSubscribe,
		Admit:         func() error { return s.admit(g) },
	})
}

// refreshable refuses a token so close to the limit that no refreshed one would
// fit: its holder could join, and not join again. Only signing tells for sure;
// with all that is added and escaped a refreshed token is less than eight times
// as long, and a few hundred bytes, so that few have to be tried.
func (s *Server) refreshable(g *auth.Grant, room string, size int) error {
	if 8*size+4<<10 <= s.cfg.Verifier.MaxTokenBytes() && len(g.KeyIDs()) < auth.MaxKeyIDs {
		return nil
	}
	_, err := s.cfg.Verifier.Refresh(g, auth.Current{
		Session: "PA_123412345678901234", Room: room, Identity: g.Identity, Name: g.Name,
		Metadata: g.Metadata, Attributes: g.Attributes, Permission: auth.Resolve(g.Base...),
	}, time.Minute)
	if errors.Is(err, auth.ErrTooLarge) {
		return err
	}
	return nil // whatever else is wrong is not the token's fault
}

// admit checks that the keys a grant descends from are not revoked.
func (s *Server) admit(g *auth.Grant) error {
	if s.cfg.Verifier.Keys().Revoked(g.KeyIDs()...) {
		return auth.ErrRevokedKey
	}
	return nil
}

func (c *session) resume(m *wire.Message) (*room.Participant, error) {
	secret, ok := room.ParseSecret(m.Secret)
	if !ok {
		return nil, room.ErrNoSession
	}
	p, generation, final, err := c.server.cfg.Rooms.Resume(c.batch, room.Resumption{
		Session: m.Session, Secret: secret, Received: m.Received, Attempt: m.Attempt, Conn: c.conn, Admit: c.server.admit,
	})
	if err != nil {
		return nil, err
	}
	if final != nil {
		return nil, &finalError{*final}
	}
	c.generation = generation
	return p, nil
}

// read handles messages until the connection ends.
func (c *session) read(p *room.Participant) error {
	var began time.Time
	for n := 1; ; n++ {
		typ, message, err := c.next(c.server.cfg.MessageBytes)
		if err != nil {
			return err
		}
		if n == 1 {
			began = time.Now()
		}
		err = c.handle(p, typ, message)
		for errors.Is(err, room.ErrFenced) { // by another connection, or because it was moved
			q := p.Successor()
			if q == nil {
				break
			}
			p = q
			c.joined.Store(p)
			err = c.handle(p, typ, message)
		}
		if err != nil {
			return err
		}
		if n >= batchMessages || !c.conn.moreBuffered() {
			c.batch.Flush()
			c.server.metrics.batches.Observe(time.Since(began).Seconds())
			n = 0
		}
	}
}

// next reads one message of at most limit bytes. What it returns is good until
// the next call.
func (c *session) next(limit int) (websocket.MessageType, []byte, error) {
	c.giveBuffer() // nothing is held while waiting
	typ, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errFraming, err) // unless it says otherwise, see codeOf
	}
	c.unread = r // until the whole message is
	c.buf = buffers.Get().(*[]byte)
	buf := (*c.buf)[:0]
	for {
		if len(buf) == cap(buf) {
			if c.unjoined && !c.take(int64(cap(buf))) {
				return 0, nil, errBusy
			}
			buf = slices.Grow(buf, cap(buf))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		*c.buf = buf
		if len(buf) > limit {
			return 0, nil, errTooBig
		}
		if errors.Is(err, io.EOF) {
			if c.conn.readErr != nil {
				// The library takes the end of the connection for the end of
				// the message, too.
				return 0, nil, fmt.Errorf("%w: %w", errFraming, c.conn.readErr)
			}
			break
		}
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %w", errFraming, err)
		}
	}
	c.unread = nil
	if typ == websocket.MessageText && !utf8.Valid(buf) {
		return 0, nil, errUTF8
	}
	return typ, buf, nil
}

// buffers are what messages are read into. A connection has one only while it
// handles a message.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, bufferBytes)
	return &b
}}

// giveBuffer gives the buffer back, unless a large message has made it large.
func (c *session) giveBuffer() {
	if c.buf != nil && cap(*c.buf) <= keepBufferBytes {
		buffers.Put(c.buf)
	}
	c.buf = nil
}

// take takes from the budget that connections share until they have joined.
func (c *session) take(n int64) bool {
	c.taken += n
	return c.server.waiting.Add(n) <= c.server.cfg.UnjoinedBytes
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
		c.nextRefresh = now.Add(jittered(cfg.RefreshInterval))
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
	if !now.Before(c.nextRefresh) {
		c.nextRefresh = now.Add(jittered(cfg.RefreshInterval))
		p.Refresh(b)
	}
}

// jittered spreads refreshes, so that those who joined together do not refresh
// together. With the sweeper's seconds before and after it does not exceed d.
func jittered(d time.Duration) time.Duration {
	return d - min(d/10, 2*time.Second) - rand.N(d/10+1)
}

// Errors of a connection that its peer is told by a close code.
var (
	errNotAJoin = errors.New("session: the first message is not a join or resume")
	errTooBig   = errors.New("session: message too big")
	errBusy     = errors.New("session: too many sockets that have not joined")
	errUTF8     = errors.New("session: text is not UTF-8")
	errFlood    = errors.New("session: too many messages")
	errFraming  = errors.New("session: broken framing")
)

// finalError is a resume of a session that has ended.
type finalError struct{ room.Final }

func (e *finalError) Error() string { return "session: the session has ended" }

// isCut reports whether a connection that ended with err was cut rather than left.
func isCut(err error) bool {
	switch code := websocket.CloseStatus(err); {
	case code == -1:
		return codeOf(err).Reconnect()
	case code >= 4000 && code < 4500:
		return true // the client means to resume
	}
	return false
}

// codeOf is the close code for what ended a read loop.
func codeOf(err error) wire.CloseCode {
	var final *finalError
	var cut *net.OpError
	switch {
	case errors.As(err, &final) && final.Reason == room.ConnectionTimeout:
		// The grace period is over: to join again is all that helps, and no
		// other code says so.
		return wire.SessionNotFound
	case errors.As(err, &final):
		return causes[final.Cause]
	case errors.Is(err, errNotAJoin):
		return wire.ProtocolError
	case errors.Is(err, errTooBig):
		return wire.MessageTooBig
	case errors.Is(err, errBusy):
		return wire.Busy
	case errors.Is(err, errUTF8):
		return wire.InvalidUTF8
	case errors.Is(err, errFlood):
		return wire.RateLimited
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wire.JoinTimeout
	case websocket.CloseStatus(err) != -1:
		return wire.Left
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &cut):
		return noCode
	case errors.Is(err, errFraming):
		return wire.ProtocolBroken
	}
	return refusalOf(err)
}

// Refresher returns the signer of refreshed tokens for [room.Config].
func Refresher(v *auth.Verifier, lifetime time.Duration) func(*auth.Grant, auth.Current) (string, time.Time, error) {
	return func(g *auth.Grant, now auth.Current) (string, time.Time, error) {
		expires := time.Now().Add(lifetime)
		token, err := v.Refresh(g, now, lifetime)
		return token, expires, err
	}
}
