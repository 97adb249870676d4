package loadtest

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
)

// Opcodes of RFC 6455.
const (
	opContinuation byte = 0
	opText         byte = 1
	opBinary       byte = 2
	opClose        byte = 8
	opPing         byte = 9
	opPong         byte = 10
)

// maxMessage bounds what a server may send in one message: the snapshot of a
// full room is the largest that occurs, well below a megabyte.
const maxMessage = 64 << 20

var errFraming = errors.New("the server broke the WebSocket framing")

// A frameReader cuts a server's bytes into messages. It copies only what does
// not arrive whole, so that an idle connection holds no buffer.
type frameReader struct {
	rest    []byte // the beginning of a frame that has not arrived whole
	message []byte // of a fragmented message, what came of it so far
	op      byte   // of that message; 0: there is none
}

// A messageSink takes messages and control frames. The bytes are only good
// until it returns.
type messageSink interface {
	message(op byte, payload []byte) error
}

// feed reads a chunk, and what was left of the ones before.
func (r *frameReader) feed(chunk []byte, to messageSink) error {
	b := chunk
	if len(r.rest) > 0 {
		r.rest = append(r.rest, chunk...)
		b = r.rest
	}
	for {
		payload, op, fin, size, err := parseFrame(b)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		b = b[size:]
		if err := r.frame(op, fin, payload, to); err != nil {
			return err
		}
	}
	switch {
	case len(b) == 0:
		r.rest = nil // not kept for the next time: there are thousands of these
	case len(b) == len(r.rest): // more of the same frame
	case len(r.rest) > 0:
		r.rest = r.rest[:copy(r.rest, b)]
	default:
		r.rest = append(make([]byte, 0, len(b)+512), b...)
	}
	return nil
}

// frame takes one frame and passes on the message that it completes.
func (r *frameReader) frame(op byte, fin bool, payload []byte, to messageSink) error {
	switch {
	case op >= opClose:
		return to.message(op, payload)
	case op == opContinuation:
		if r.op == 0 || len(r.message)+len(payload) > maxMessage {
			return errFraming
		}
		r.message = append(r.message, payload...)
		if !fin {
			return nil
		}
		whole, kind := r.message, r.op
		r.message, r.op = nil, 0
		return to.message(kind, whole)
	case r.op != 0: // a message within a message
		return errFraming
	case !fin:
		r.op, r.message = op, append([]byte(nil), payload...)
		return nil
	}
	return to.message(op, payload)
}

// parseFrame reads the frame at the beginning of b. size is 0 when it is not
// whole yet.
func parseFrame(b []byte) (payload []byte, op byte, fin bool, size int, err error) {
	if len(b) < 2 {
		return nil, 0, false, 0, nil
	}
	op, fin = b[0]&15, b[0]&0x80 != 0
	known := op <= opBinary || op >= opClose && op <= opPong
	if b[0]&0x70 != 0 || !known || b[1]&0x80 != 0 { // no extensions; servers do not mask
		return nil, 0, false, 0, errFraming
	}
	head, length := 2, uint64(b[1])
	if op >= opClose && (!fin || length > 125) {
		return nil, 0, false, 0, errFraming
	}
	switch length {
	case 126:
		if head = 4; len(b) < head {
			return nil, 0, false, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = 10; len(b) < head {
			return nil, 0, false, 0, nil
		}
		length = binary.BigEndian.Uint64(b[2:])
	}
	if length > maxMessage {
		return nil, 0, false, 0, errFraming
	}
	size = head + int(length)
	if len(b) < size {
		return nil, 0, false, 0, nil
	}
	return b[head:size], op, fin, size, nil
}

// appendFrame appends a whole masked frame, as clients send them.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, 0x80|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	mask := rand.Uint32()
	b = binary.LittleEndian.AppendUint32(b, mask)
	start := len(b)
	b = append(b, payload...)
	masked := b[start:]
	wide := uint64(mask)<<32 | uint64(mask)
	for len(masked) >= 8 {
		binary.LittleEndian.PutUint64(masked, binary.LittleEndian.Uint64(masked)^wide)
		masked = masked[8:]
	}
	for i := range masked {
		masked[i] ^= byte(mask >> (8 * (i & 3)))
	}
	return b
}

// closeCode reads the payload of a close frame.
func closeCode(payload []byte) int {
	if len(payload) < 2 {
		return 1005 // RFC 6455: it had none
	}
	return int(binary.BigEndian.Uint16(payload))
}
