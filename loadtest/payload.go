package loadtest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// A stamp is what every message of the load test carries: who sent it, as
// which of its messages, and when it should have been sent.
type stamp struct {
	sender uint32 // index of the person
	seq    uint32 // from 1
	at     int64  // clock
}

const (
	stampMark  = "lt:"
	stampBytes = 16
	// minPayload is the least a data payload takes: mark and stamp in hex.
	minPayload = len(stampMark) + 2*stampBytes
)

func (s stamp) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, s.sender)
	b = binary.BigEndian.AppendUint32(b, s.seq)
	return binary.BigEndian.AppendUint64(b, uint64(s.at))
}

func readStamp(b []byte) stamp {
	return stamp{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), int64(binary.BigEndian.Uint64(b[8:]))}
}

var padding = bytes.Repeat([]byte("."), 64<<10)

// appendPublishData appends the masked frame of a publishData whose payload is
// a JSON string of size characters. With an answer wanted, its id is the
// message's number.
func appendPublishData(b []byte, s stamp, size int, answered bool) []byte {
	text := make([]byte, 0, 96+size)
	text = append(text, `{"type":"publishData"`...)
	if answered {
		text = strconv.AppendUint(append(text, `,"id":`...), uint64(s.seq), 10)
	}
	text = append(text, `,"payload":"`+stampMark...)
	var raw [stampBytes]byte
	text = hex.AppendEncode(text, s.append(raw[:0]))
	text = append(text, padding[:max(0, min(size-minPayload, len(padding)))]...)
	text = append(text, `"}`...)
	return appendFrame(b, opText, text)
}

var payloadMark = []byte(`"payload":"` + stampMark)

// dataStamp reads the stamp of a data message and the size of its payload, which is
// less than a payload can have when it has no end. It looks at nothing else: this runs
// for every message there is.
func dataStamp(message []byte) (s stamp, size int, ok bool) {
	i := bytes.Index(message, payloadMark)
	if i < 0 {
		return stamp{}, 0, false
	}
	text := message[i+len(payloadMark):]
	if len(text) < 2*stampBytes {
		return stamp{}, 0, false
	}
	var raw [stampBytes]byte
	if _, err := hex.Decode(raw[:], text[:2*stampBytes]); err != nil {
		return stamp{}, 0, false
	}
	// All text of a payload is the load test's own, with no quote in it.
	return readStamp(raw[:]), len(stampMark) + bytes.IndexByte(text, '"'), true
}

// A track frame is a header of 15 bytes, as docs/protocol.md tells, and here a
// stamp and the number of the fragment.
const (
	frameHeader  = 15
	maxFragment  = 16 << 10
	flagKey      = 1
	flagLast     = 8
	frameStamped = frameHeader + stampBytes
)

// appendTrackFrame appends one masked track frame of size bytes in all.
func appendTrackFrame(b []byte, handle uint32, flags byte, counter uint16, s stamp, size int) []byte {
	frame := make([]byte, 0, size)
	frame = binary.BigEndian.AppendUint32(frame, handle)
	frame = append(frame, flags)
	frame = binary.BigEndian.AppendUint16(frame, counter)
	frame = binary.BigEndian.AppendUint64(frame, uint64(s.at/1000))
	frame = s.append(frame)
	if more := size - len(frame); more > 0 {
		frame = append(frame, padding[:more]...)
	}
	return appendFrame(b, opBinary, frame)
}

// A seqWindow follows the messages of one sender at one receiver: what came,
// what came twice, and what came after a later one. It remembers the last 64;
// a message that is overtaken by more is taken for one that came twice.
type seqWindow struct {
	last uint32 // the highest that came
	got  uint32 // different ones that came
	bits uint64 // bit i: last-i came
}

type verdict byte

const (
	inOrder verdict = iota
	misordered
	doubled
)

// take notes a message. missed is how many are missing just before it.
func (w *seqWindow) take(seq uint32) (v verdict, missed uint32) {
	if seq > w.last {
		ahead := seq - w.last
		w.bits = w.bits<<min(ahead, 64) | 1
		w.last = seq
		w.got++
		return inOrder, ahead - 1
	}
	back := w.last - seq
	if back >= 64 || w.bits&(1<<back) != 0 {
		return doubled, 0
	}
	w.bits |= 1 << back
	w.got++
	return misordered, 0
}
