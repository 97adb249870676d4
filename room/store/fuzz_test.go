package store

import (
	"bytes"
	"io"
	"testing"
)

func FuzzFrame(f *testing.F) {
	frame, _ := encode(RoomRecords, []byte("key"), 7, []byte(`{"a":1}`))
	f.Add([]byte("key"), frame)
	f.Add([]byte("kez"), frame)
	f.Add([]byte("key"), frame[:frameBytes])
	f.Add([]byte("key"), []byte(nil))
	f.Fuzz(func(t *testing.T, key, frame []byte) {
		r, err := decode(RoomRecords, key, frame)
		if err == nil {
			if again, sum := encode(RoomRecords, key, r.revision, r.value); !bytes.Equal(again, frame) || sum != r.sum {
				t.Errorf("%x is taken, but it is %x", frame, again)
			}
			if _, err := decode(Statements, key, frame); err == nil {
				t.Error("a frame fits two buckets")
			}
		}
		// Whatever the value: it comes back, and with any bit changed it does not.
		made, _ := encode(Revocations, key, 1, frame)
		if r, err := decode(Revocations, key, made); err != nil || !bytes.Equal(r.value, frame) || r.revision != 1 {
			t.Fatalf("got %v, %v", r, err)
		}
		for i := 0; i < len(made); i += 1 + len(made)/16 {
			made[i] ^= 0x10
			if _, err := decode(Revocations, key, made); err == nil {
				t.Errorf("byte %d does not matter", i)
			}
			made[i] ^= 0x10
		}
	})
}

// A file with any bytes in it is refused, or read without an accident.
func FuzzInspect(f *testing.F) {
	d := &folder{dir: f.TempDir()}
	if err := d.writeNew("id", 0, map[Bucket]map[string]record{RoomRecords: {"key": {revision: 3, value: []byte("{}"), sum: checksum(RoomRecords, []byte("key"), 3, []byte("{}"))}}}); err != nil {
		f.Fatal(err)
	}
	whole := readFile(f, d.path(newName))
	if in := inspect(bytes.NewReader(whole), int64(len(whole)), nil); len(in.problems) > 0 {
		f.Fatal(in.problems)
	}
	f.Add(uint32(0), []byte{1}, uint32(16), []byte{2})
	f.Add(uint32(3*4096), []byte("\x03\x00\x00"), uint32(4*4096+10), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, change []byte, at2 uint32, change2 []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], change)
		copy(b[int(at2)%len(b):], change2)
		m := readMetas(bytes.NewReader(b))
		for _, m := range m { // as a repair does, with no regard for checksums
			newInspection(bytes.NewReader(b), nil).read(m, int64(len(b)))
		}
		inspect(io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), int64(len(b)), nil)
	})
}
