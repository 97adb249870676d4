package session

import (
	"encoding/binary"
	"errors"
	"math"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// input is what a connection has read and nobody has taken: the library gets no
// bytes beyond the frame that it is at, so that between messages all that came is
// known here. It is owned by the read loop.
type input struct {
	buf     []byte // read into; borrowed for a turn when the connection is polled
	pending []byte // part of buf, or what an earlier turn has left
	left    int64  // bytes of the frame that the library is at
	readErr error  // that reading has ended with

	// Of a polled connection, in its turn.
	hasRead bool // as often as one turn may
}

// Read implements net.Conn for the library. It waits.
func (c *conn) Read(b []byte) (int, error) {
	for {
		if c.left == 0 {
			if f, ok := frameAt(c.pending); ok {
				c.left = f.size
			}
		}
		if c.left > 0 && len(c.pending) > 0 {
			n := copy(b, c.pending[:min(int64(len(c.pending)), c.left)])
			c.pending = c.pending[n:]
			c.left -= int64(n)
			return n, nil
		}
		if err := c.fill(c.Conn.Read); err != nil {
			return 0, err
		}
	}
}

// fill reads more behind what is pending.
func (c *conn) fill(read func([]byte) (int, error)) error {
	if c.buf == nil {
		c.buf = make([]byte, readBufferBytes)
	}
	kept := copy(c.buf, c.pending)
	c.pending = c.buf[:kept]
	n, err := read(c.buf[kept:])
	c.pending = c.buf[:kept+n]
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		c.readErr = err
	}
	return err
}

// borrow gives the connection a turn's buffer.
func (c *conn) borrow(buf []byte) {
	c.buf, c.hasRead = buf, false
}

// giveBack ends a turn: what is pending is kept elsewhere.
func (c *conn) giveBack() {
	c.buf = nil
	if len(c.pending) == 0 {
		c.pending = nil
		return
	}
	c.pending = append([]byte(nil), c.pending...)
}

// arrival is what a polled connection has between two messages.
type arrival uint8

const (
	nothing arrival = iota // wait for an event
	more                   // of which there is more to read, but others are next
	message                // or the end of the connection: the library does not wait
	partly                 // what the library may have to wait for
)

// arrived looks what there is, reading if nothing is known to be. Without waiting
// it gets past pings, which pong answers.
func (c *conn) arrived(pong func(payload []byte)) arrival {
	for {
		if f, ok := frameAt(c.pending); ok {
			switch whole := f.size <= int64(len(c.pending)); {
			case f.broken():
				return message
			case whole && f.answerable() && pong != nil:
				if f.op == opPing {
					pong(f.unmask(c.pending))
				}
				c.pending = c.pending[f.size:]
				continue
			case whole && f.ends():
				return message
			case f.size > int64(len(c.buf)) || !f.ends():
				return partly
			}
		}
		switch {
		case c.readErr != nil:
			return message
		case c.hasRead && c.polled.drained():
			return nothing
		case c.hasRead:
			return more
		}
		if err := c.fill(c.polled.readNow); errors.Is(err, syscall.EAGAIN) {
			return nothing
		}
		c.hasRead = true
	}
}

// moreBuffered reports whether another whole message has been read. After a
// control frame or the beginning of a message the read loop would wait for the
// peer, with what others are to receive still unwritten.
func (c *conn) moreBuffered() bool {
	f, ok := frameAt(c.pending)
	return ok && (f.op == opText || f.op == opBinary) && f.size <= int64(len(c.pending))
}

// frameHead is the header of a frame of a client.
type frameHead struct {
	op   byte // with the fin and reserved bits
	mask bool
	head int   // bytes of the header
	size int64 // of the frame, with its header
}

// frameAt reads the header that b begins with. It reports false when more of it
// is needed.
func frameAt(b []byte) (f frameHead, ok bool) {
	if len(b) < 2 {
		return f, false
	}
	f = frameHead{op: b[0], mask: b[1]&0x80 != 0, head: 2}
	payload := uint64(b[1] & 0x7f)
	switch payload {
	case 126:
		f.head = 4
	case 127:
		f.head = 10
	}
	if f.mask {
		f.head += 4
	}
	if len(b) < f.head {
		return f, false
	}
	switch payload {
	case 126:
		payload = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		payload = min(binary.BigEndian.Uint64(b[2:]), math.MaxInt64/2) // the library will not like it
	}
	f.size = int64(payload) + int64(f.head)
	return f, true
}

// ends reports whether the library returns once it has the frame: after a ping or
// pong, and in a message of several fragments, it goes on to read.
func (f frameHead) ends() bool { return f.op == opText || f.op == opBinary || f.op == opClose }

// broken reports whether the header alone tells the library that the peer does not
// keep to the protocol. The frame is the first of a message.
func (f frameHead) broken() bool {
	switch f.op {
	case opText, opBinary, opText &^ finBit, opBinary &^ finBit:
		return !f.mask
	case opClose, opPing, opPong:
		return !f.mask || f.size-int64(f.head) > maxControlBytes
	}
	return true
}

// answerable reports whether it is a ping or a pong.
func (f frameHead) answerable() bool { return f.op == opPing || f.op == opPong }

// maxControlBytes is the largest payload of a control frame, RFC 6455 section 5.5.
const maxControlBytes = 125

// unmask takes the mask off the payload of the whole frame that b begins with,
// where it is, and returns it.
func (f frameHead) unmask(b []byte) []byte {
	payload := b[f.head:f.size]
	key := binary.LittleEndian.Uint32(b[f.head-4:])
	rest, wide := payload, uint64(key)<<32|uint64(key)
	for len(rest) >= 8 {
		binary.LittleEndian.PutUint64(rest, binary.LittleEndian.Uint64(rest)^wide)
		rest = rest[8:]
	}
	for i := range rest {
		rest[i] ^= byte(key >> (8 * i & 31))
	}
	return payload
}

// takeMessage returns the next message if it is what nearly all are: one frame,
// all there. The library, which would say the same of it, is left out; it has the
// word on everything else. The message is good until more is read.
func (c *conn) takeMessage() (typ websocket.MessageType, payload []byte, ok bool) {
	f, ok := frameAt(c.pending)
	switch {
	case !ok || !f.mask || f.size > int64(len(c.pending)):
		return 0, nil, false
	case f.op == opText:
		typ = websocket.MessageText
	case f.op == opBinary:
		typ = websocket.MessageBinary
	default:
		return 0, nil, false
	}
	payload = f.unmask(c.pending)
	c.pending = c.pending[f.size:]
	return typ, payload, true
}
