package yardstick

import (
	"golang.org/x/sys/unix"

	"usher/session/wire"
)

const (
	// maxQueued is what may wait for a connection; one that has more is cut.
	maxQueued = 4 << 20
	// writeAt is how much output a round gathers before it is written all the
	// same: a burst from many senders is not to look like a slow receiver.
	writeAt = 256 << 10

	bufferBytes     = 4 << 10  // of a buffer for output
	keepBufferBytes = 16 << 10 // that is used again
	keepBuffers     = 1024
	keepRestBytes   = 64 << 10
)

// conn is one connection and, once it has joined, the participant. Idle it
// holds what is here and its text: no buffer.
type conn struct {
	fd       int32
	upgraded bool // speaks WebSocket
	closing  bool // has been given its last frame; what it says is not heard
	parted   bool // the last frame is written
	ended    bool // in floor.ended, or removed
	dirty    bool // in floor.dirty
	blocked  bool // waits for EPOLLOUT
	shared   bool // out is a frame that others have, too

	out   []byte // frames to be written
	rest  []byte // of a message that has not come whole
	token string // that came with the handshake
	due   int64  // ends at this time, Unix ms; 0: never

	room      *room // nil: not in one
	at        int32 // in room.members
	announced bool  // others know of it
	listedIn  uint32
	sid       string
	identity  string
	text      []byte // the participant as it is told
	tracksAt  int32  // in text, behind the bracket that opens the tracks
	version   int32
	joinedAt  int64
	tracks    []track
}

type track struct {
	handle uint32
	sid    string
	text   []byte
}

// read takes what has come and handles every whole message in it.
func (f *floor) read(c *conn) {
	if c.ended {
		return
	}
	n, err := unix.Read(int(c.fd), f.in)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil || n <= 0:
		f.end(c)
		return
	case c.closing:
		return
	}
	b := f.in[:n]
	if len(c.rest) > 0 {
		c.rest = append(c.rest, b...)
		b = c.rest
	}
	left := b[f.consume(c, b):]
	switch {
	case len(left) == 0 || c.closing || c.ended:
		c.rest = nil
	case len(c.rest) > 0 && cap(c.rest) <= keepRestBytes:
		c.rest = c.rest[:copy(c.rest, left)]
	case len(left) < len(c.rest) || len(c.rest) == 0:
		c.rest = append([]byte(nil), left...)
	}
}

// consume handles the messages in b and returns how much of it they were. They
// are unmasked in place, once, since only whole ones are.
func (f *floor) consume(c *conn, b []byte) (used int) {
	for used < len(b) && !c.closing && !c.ended {
		n := 0
		if !c.upgraded {
			n = f.upgrade(c, b[used:])
		} else {
			var m message
			var code wire.CloseCode
			if m, n, code = parseFrame(b[used:]); code != 0 {
				f.dismiss(c, code, leftByItself)
				break
			}
			if n > 0 {
				f.handle(c, m)
			}
		}
		if n == 0 {
			break
		}
		used += n
	}
	return used
}

// queue leaves a frame, which nobody changes any more, to be written to c. The
// first one is only referred to: with one for each receiver nothing is copied.
func (f *floor) queue(c *conn, frame []byte) {
	if c.closing || c.ended {
		return
	}
	if len(c.out) == 0 {
		c.out, c.shared = frame, true
		if !c.dirty {
			c.dirty = true
			f.dirty = append(f.dirty, c)
		}
		return
	}
	f.own(c, 0)
	c.out = append(c.out, frame...)
	if !c.blocked && len(c.out) > writeAt {
		f.write(c)
	} else if len(c.out) > maxQueued {
		f.end(c)
	}
}

// own gives c a buffer of its own for its output from the n-th byte on.
func (f *floor) own(c *conn, n int) {
	if !c.shared {
		c.out = c.out[n:]
		return
	}
	var b []byte
	if last := len(f.spare) - 1; last >= 0 {
		b, f.spare = f.spare[last], f.spare[:last]
	} else {
		b = make([]byte, 0, bufferBytes)
	}
	c.out, c.shared = append(b, c.out[n:]...), false
}

// giveBuffer gives the buffer of output that is written back.
func (f *floor) giveBuffer(c *conn) {
	if !c.shared && cap(c.out) >= bufferBytes && cap(c.out) <= keepBufferBytes && len(f.spare) < keepBuffers {
		f.spare = append(f.spare, c.out[:0])
	}
	c.out, c.shared = nil, false
}

// write writes what c's queue holds, as much as the socket takes at once. What
// is left is c's own: the round's frames are gone when the round is.
func (f *floor) write(c *conn) {
	if c.ended || len(c.out) == 0 {
		return
	}
	n, err := unix.Write(int(c.fd), c.out)
	for err == unix.EINTR {
		n, err = unix.Write(int(c.fd), c.out)
	}
	if err == unix.EAGAIN {
		n = 0
	} else if err != nil {
		f.end(c)
		return
	}
	if n == len(c.out) {
		f.giveBuffer(c)
		if c.blocked {
			c.blocked = false
			_ = f.watch(unix.EPOLL_CTL_MOD, int(c.fd), unix.EPOLLIN)
		}
		if c.closing && !c.parted {
			// The socket is closed when the peer has hung up: closing it with
			// something unread would take the last frame away from the peer.
			c.parted = true
			_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
		}
		return
	}
	f.own(c, n)
	if !c.blocked {
		c.blocked = f.watch(unix.EPOLL_CTL_MOD, int(c.fd), unix.EPOLLIN|unix.EPOLLOUT) == nil
	}
	if len(c.out) > maxQueued {
		f.end(c)
	}
}

// dismiss takes c out of its room and ends the connection with the code.
func (f *floor) dismiss(c *conn, code wire.CloseCode, reason string) {
	f.part(c, closeFrame(code), reason)
}

// part takes c out of its room and ends the connection after the last frame.
func (f *floor) part(c *conn, last []byte, reason string) {
	f.leave(c, reason) // at once, even of one that is to be removed
	if c.closing || c.ended {
		return
	}
	f.queue(c, last)
	c.closing = true
	f.remind(c)
}

// lapse ends a connection whose time is over.
func (f *floor) lapse(c *conn) {
	if !c.upgraded || c.closing {
		f.end(c)
		return
	}
	f.dismiss(c, wire.JoinTimeout, timedOut)
}

// end has c removed when the round ends. It may be called wherever a room is
// walked through.
func (f *floor) end(c *conn) {
	if !c.ended {
		c.ended = true
		f.ended = append(f.ended, c)
	}
}
