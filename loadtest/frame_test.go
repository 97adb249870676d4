package loadtest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"math/rand/v2"
)

// collected keeps what a frameReader cuts out.
type collected struct{ messages []string }

func (c *collected) message(op byte, payload []byte) error {
	c.messages = append(c.messages, fmt.Sprintf("%d %s", op, payload))
	return nil
}

// serverFrame makes a frame as servers send them.
func serverFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = append(b, 126, byte(n>>8), byte(n))
	default:
		b = append(b, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, payload...)
}

// However the bytes are cut into chunks, the messages are the same.
func TestFrameReaderChunks(t *testing.T) {
	var stream []byte
	var want []string
	add := func(op byte, payload []byte) {
		stream = append(stream, serverFrame(0x80|op, payload)...)
		want = append(want, fmt.Sprintf("%d %s", op, payload))
	}
	add(opText, []byte("hello"))
	add(opText, nil)
	add(opBinary, bytes.Repeat([]byte("x"), 125))
	add(opText, bytes.Repeat([]byte("y"), 126))
	add(opPing, []byte("p"))
	add(opText, bytes.Repeat([]byte("z"), 70_000))
	stream = append(stream, serverFrame(opText, []byte("in "))...)
	stream = append(stream, serverFrame(0x80|opPing, nil)...) // may come in between
	stream = append(stream, serverFrame(0x80|opContinuation, []byte("parts"))...)
	want = append(want, "9 ", "1 in parts")
	for range 200 {
		var r frameReader
		var got collected
		for b := stream; len(b) > 0; {
			n := min(1+rand.IntN(1<<rand.IntN(17)), len(b))
			if err := r.feed(b[:n], &got); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		if fmt.Sprint(got.messages) != fmt.Sprint(want) {
			t.Fatalf("got %d messages, want %d", len(got.messages), len(want))
		}
		if r.rest != nil {
			t.Fatal("a buffer is kept though nothing waits in it")
		}
	}
}

func TestFrameReaderRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"masked":                    {0x81, 0x80, 0, 0, 0, 0},
		"reserved bit":              {0xc1, 0},
		"unknown opcode":            {0x83, 0},
		"long ping":                 {0x89, 126, 0, 126},
		"ping in parts":             {0x09, 0},
		"continuation of nothing":   {0x80, 0},
		"message within a message":  {0x01, 0, 0x81, 0},
		"longer than anything sane": {0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0},
	} {
		var r frameReader
		if err := r.feed(b, &collected{}); !errors.Is(err, errFraming) {
			t.Errorf("%s: got %v, want %v", name, err, errFraming)
		}
	}
}

// FuzzFrameReader feeds a stream whole and in chunks: neither panics, and both
// see the same.
func FuzzFrameReader(f *testing.F) {
	f.Add(serverFrame(0x81, []byte(`{"type":"joined"}`)), uint8(3))
	f.Add(append(serverFrame(0x01, []byte("a")), serverFrame(0x80, []byte("b"))...), uint8(1))
	f.Add(serverFrame(0x82, bytes.Repeat([]byte{7}, 300)), uint8(100))
	f.Add([]byte{0x81, 127, 0, 0, 0, 0, 255, 255, 255, 255}, uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		var whole, parts frameReader
		var a, b collected
		first := whole.feed(stream, &a)
		var second error
		for rest := stream; len(rest) > 0 && second == nil; {
			n := min(int(step)+1, len(rest))
			second = parts.feed(rest[:n], &b)
			rest = rest[n:]
		}
		if (first == nil) != (second == nil) || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("whole: %v %v, in parts: %v %v", a, first, b, second)
		}
	})
}

// What a client sends is what a server unmasks.
func TestAppendFrame(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 125, 126, 1000, 1 << 16, 70_001} {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(rand.Uint32())
		}
		b := appendFrame(nil, opBinary, payload)
		head := 2
		switch b[1] & 127 {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		if b[0] != 0x82 || b[1]&0x80 == 0 || len(b) != head+4+n {
			t.Fatalf("%d bytes: the header is % x, %d bytes in all", n, b[:head], len(b))
		}
		mask := b[head : head+4]
		for i, c := range b[head+4:] {
			if c^mask[i%4] != payload[i] {
				t.Fatalf("%d bytes: byte %d is wrong", n, i)
			}
		}
	}
}

func TestSeqWindow(t *testing.T) {
	for _, test := range []struct {
		name    string
		take    []uint32
		last    verdict
		got     uint32
		missing uint32
	}{
		{"in order", []uint32{1, 2, 3}, inOrder, 3, 0},
		{"a gap", []uint32{1, 4}, inOrder, 2, 2},
		{"twice", []uint32{1, 2, 2}, doubled, 2, 0},
		{"twice, later", []uint32{1, 2, 3, 1}, doubled, 3, 0},
		{"overtaken", []uint32{1, 3, 2}, misordered, 3, 1},
		{"overtaken, then twice", []uint32{1, 3, 2, 2}, doubled, 3, 1},
		{"overtaken by 63", []uint32{1, 65, 2}, misordered, 3, 63},
		{"overtaken by 64", []uint32{1, 66, 2}, doubled, 2, 64},
		{"zero is none", []uint32{0}, doubled, 0, 0},
		{"far ahead", []uint32{1, 1000, 1000}, doubled, 2, 998},
	} {
		var w seqWindow
		w.bits = 1 // 0 counts as having come
		var v verdict
		var missing uint32
		for _, seq := range test.take {
			var missed uint32
			v, missed = w.take(seq)
			missing += missed
		}
		if v != test.last || w.got != test.got || missing != test.missing {
			t.Errorf("%s: got verdict %d, %d came, %d missing; want %d, %d, %d", test.name, v, w.got, missing, test.last, test.got, test.missing)
		}
	}
}

func TestStampsTravel(t *testing.T) {
	want := stamp{7, 9, 1234567890123}
	for _, size := range []int{0, minPayload, 128, 5000} {
		frame := appendPublishData(nil, want, size, true)
		var r frameReader
		var got collected
		if err := r.feed(unmask(frame), &got); err != nil {
			t.Fatal(err)
		}
		data := bytes.Replace([]byte(got.messages[0]), []byte(`1 {"type":"publishData","id":9`), []byte(`{"type":"data","from":{"sid":"PA_x"}`), 1)
		if s, payload, ok := dataStamp(data); !ok || s != want || payload != max(minPayload, size) {
			t.Errorf("size %d: got %v, %t from %s", size, s, ok, data)
		}
	}
	for _, bad := range []string{"", `{"type":"data","payload":"lt:00"}`, `{"payload":"lt:zz000000000000000000000000000000"}`, `{"payload":"other"}`} {
		if s, _, ok := dataStamp([]byte(bad)); ok {
			t.Errorf("%s: got %v, want nothing", bad, s)
		}
	}
}

// unmask turns a client's frame into a server's.
func unmask(b []byte) []byte {
	head := 2
	switch b[1] & 127 {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	mask := b[head : head+4]
	out := append([]byte(nil), b[:head]...)
	out[1] &= 0x7f
	for i, c := range b[head+4:] {
		out = append(out, c^mask[i%4])
	}
	return out
}
