package yardstick

import (
	"encoding/binary"
	"unicode/utf8"

	"usher/session/wire"
)

// Opcodes of WebSocket frames, with the fin bit in those that are sent.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
	fin      = 0x80
)

const (
	headerRoom = 10       // what the largest frame header takes
	chunkBytes = 64 << 10 // in which frames are made
	keepFrames = 256 << 10
)

// message is a frame of a client, which is a whole message.
type message struct {
	op      byte
	payload []byte // unmasked, good until the next read
}

// parseFrame reads the frame at the beginning of b, unmasks it in place and
// returns how long it was; 0 when it has not come whole. What breaks the rules
// is a code to close with.
func parseFrame(b []byte) (m message, n int, code wire.CloseCode) {
	if len(b) < 2 {
		return m, 0, 0
	}
	m.op = b[0] & 0x0f
	size := uint64(b[1] & 0x7f)
	control := m.op >= opClose
	switch {
	case b[0]&fin == 0, b[0]&0x70 != 0, b[1]&0x80 == 0, control && size > 125: // fragments, extensions, unmasked
		return m, 0, wire.ProtocolBroken
	case m.op != opText && m.op != opBinary && (m.op < opClose || m.op > opPong):
		return m, 0, wire.ProtocolBroken
	}
	at := 2
	switch size {
	case 126:
		if at += 2; len(b) < at {
			return m, 0, 0
		}
		size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if at += 8; len(b) < at {
			return m, 0, 0
		}
		size = binary.BigEndian.Uint64(b[2:])
	}
	if size > maxMessage {
		return m, 0, wire.MessageTooBig
	}
	at += 4
	n = at + int(size)
	if len(b) < n {
		return m, 0, 0
	}
	m.payload = b[at:n]
	unmask(m.payload, binary.LittleEndian.Uint32(b[at-4:]))
	if m.op == opText && !utf8.Valid(m.payload) {
		return m, 0, wire.InvalidUTF8
	}
	return m, n, 0
}

func unmask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
}

// appendHeader appends the header of a frame that a server sends.
func appendHeader(b []byte, op byte, payload int) []byte {
	switch {
	case payload < 126:
		return append(b, fin|op, byte(payload))
	case payload <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, fin|op, 126), uint16(payload))
	}
	return binary.BigEndian.AppendUint64(append(b, fin|op, 127), uint64(payload))
}

func closeFrame(code wire.CloseCode) []byte {
	reason := code.Reason()
	b := binary.BigEndian.AppendUint16(appendHeader(nil, opClose, 2+len(reason)), uint16(code))
	return append(b, reason...)
}

// compose begins a frame of about size bytes, which seal ends. Nothing else is
// composed in between.
func (f *floor) compose(size int) []byte {
	size += headerRoom
	if cap(f.frames)-len(f.frames) < size {
		// A new chunk, and not a larger one: others refer to what is in the old.
		f.frames = make([]byte, 0, max(chunkBytes, size))
	}
	var header [headerRoom]byte
	return append(f.frames[len(f.frames):], header[:]...)
}

// seal writes the header in front of what compose began and returns the frame.
func (f *floor) seal(b []byte, op byte) []byte {
	var header [headerRoom]byte
	h := appendHeader(header[:0], op, len(b)-headerRoom)
	start := headerRoom - len(h)
	copy(b[start:], h)
	if free := cap(f.frames) - len(f.frames); len(b) <= free {
		f.frames = f.frames[:len(f.frames)+len(b)]
	} // else the estimate was too small and append has moved it
	return b[start:len(b):len(b)]
}

// frame makes a frame of a payload.
func (f *floor) frame(op byte, payload []byte) []byte {
	return f.seal(append(f.compose(len(payload)), payload...), op)
}
