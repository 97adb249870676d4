package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"usher/room"
)

// read handles messages until the connection ends, or is parked.
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
		err = c.conn.peer.Handle((*Connection)(c), p, typ == websocket.MessageBinary, message)
		for errors.Is(err, room.ErrFenced) { // by another connection, or because it was moved
			q := p.Successor()
			if q == nil {
				break
			}
			p = q
			c.joined.Store(p)
			err = c.conn.peer.Handle((*Connection)(c), p, typ == websocket.MessageBinary, message)
		}
		if err != nil {
			return err
		}
		switch {
		case n >= batchMessages:
		case c.lead == nil && !c.conn.moreBuffered():
		default:
			continue
		}
		c.batch.Flush()
		if c.lead == nil {
			c.server.metrics.batches.Observe(time.Since(began).Seconds())
		}
		n = 0
	}
}

// arrive waits for nothing: it returns when there is a message, or the end of the
// connection, or something that may take waiting, in a goroutine where that hurts
// nobody; else it parks the connection and returns errParked.
func (c *session) arrive() error {
	for {
		var pong func([]byte)
		if c.joined.Load() != nil {
			pong = c.pong
		}
		switch c.conn.arrived(pong) {
		case message:
			return nil
		case partly:
			return c.wait()
		case more:
			c.share()
			if err := c.keep(0); err != nil {
				return err
			}
			c.lead.again = append(c.lead.again, c.conn.polled)
			return errParked
		}
		c.share()
		if err := c.keep(0); err != nil {
			return err
		}
		if c.conn.polled.park() {
			return errParked // another turn may have begun: nothing here is ours any more
		}
		c.conn.borrow(c.lead.buffer())
		c.conn.hasRead = true
	}
}

// pong answers a ping.
func (c *session) pong(payload []byte) {
	c.joined.Load().Control(c.batch, c.conn, append(appendHeader(nil, opPong, len(payload)), payload...))
}

// next reads one message of at most limit bytes. What it returns is good until
// the next call.
func (c *session) next(limit int) (websocket.MessageType, []byte, error) {
	c.giveBuffer() // nothing is held while waiting
	if c.lead != nil {
		if err := c.arrive(); err != nil {
			return 0, nil, err
		}
	}
	if typ, payload, ok := c.conn.takeMessage(); ok {
		switch {
		case len(payload) > limit:
			return 0, nil, errTooBig
		case typ == websocket.MessageText && !utf8.Valid(payload):
			return 0, nil, errUTF8
		}
		return typ, payload, nil
	}
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
