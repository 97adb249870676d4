package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"maps"
)

// A value is kept in a frame: version, revision, checksum, value. The checksum
// covers bucket and key too, so that a record at the wrong place is found.
const (
	frameVersion = 1
	frameBytes   = 1 + 8 + 8 // before the value
)

var crcTable = crc64.MakeTable(crc64.ECMA)

// A record is a value, and the number of the change that wrote it: later ones
// have higher numbers, in the whole store.
type record struct {
	revision uint64
	sum      uint64 // checksum
	value    []byte
}

func checksum(b Bucket, key []byte, revision uint64, value []byte) uint64 {
	// The lengths keep "a"+"bc" and "ab"+"c" apart.
	place := make([]byte, 0, 64)
	place = append(place, frameVersion)
	place = binary.BigEndian.AppendUint64(place, revision)
	place = binary.BigEndian.AppendUint32(place, uint32(len(b)))
	place = binary.BigEndian.AppendUint32(place, uint32(len(key)))
	place = append(place, b...)
	sum := crc64.Update(0, crcTable, place)
	sum = crc64.Update(sum, crcTable, key)
	return crc64.Update(sum, crcTable, value)
}

// encode returns the frame of a value, and its checksum.
func encode(b Bucket, key []byte, revision uint64, value []byte) (frame []byte, sum uint64) {
	sum = checksum(b, key, revision, value)
	frame = make([]byte, 0, frameBytes+len(value))
	frame = append(frame, frameVersion)
	frame = binary.BigEndian.AppendUint64(frame, revision)
	frame = binary.BigEndian.AppendUint64(frame, sum)
	return append(frame, value...), sum
}

// decode returns what a frame holds; the value is a part of it.
func decode(b Bucket, key, frame []byte) (record, error) {
	if len(frame) < frameBytes {
		return record{}, errors.New("too short")
	}
	if frame[0] != frameVersion {
		return record{}, fmt.Errorf("of unknown version %d", frame[0])
	}
	r := record{
		revision: binary.BigEndian.Uint64(frame[1:]),
		sum:      binary.BigEndian.Uint64(frame[9:]),
		value:    frame[frameBytes:],
	}
	if checksum(b, key, r.revision, r.value) != r.sum {
		return record{}, errors.New("its checksum does not match")
	}
	return r, nil
}

// A tally is what a bucket holds, whatever the order: so a record that is
// missing, or back, is found though each for itself is whole.
type tally struct {
	Count uint64 `json:"count"`
	Sum   uint64 `json:"sum"` // of the checksums, mod 2^64
}

func (t tally) with(r record) tally    { return tally{t.Count + 1, t.Sum + r.sum} }
func (t tally) without(r record) tally { return tally{t.Count - 1, t.Sum - r.sum} }

// A header is what the file says of itself. It is written anew by every
// transaction, in a frame like any value.
type header struct {
	Store    string           `json:"store"`    // id
	Revision uint64           `json:"revision"` // of the last change
	Buckets  map[Bucket]tally `json:"buckets"`
}

const headerBucket Bucket = "store"

var headerKey = []byte("header")

func (h *header) clone() *header {
	c := *h
	c.Buckets = maps.Clone(h.Buckets)
	return &c
}

func (h *header) encode() []byte {
	value, err := json.Marshal(h)
	if err != nil {
		panic("store: " + err.Error()) // it always encodes
	}
	frame, _ := encode(headerBucket, headerKey, h.Revision, value)
	return frame
}

func decodeHeader(frame []byte) (*header, error) {
	r, err := decode(headerBucket, headerKey, frame)
	if err != nil {
		return nil, err
	}
	h := new(header)
	if err := json.Unmarshal(r.value, h); err != nil {
		return nil, err
	}
	if h.Store == "" || h.Revision != r.revision || h.Buckets == nil {
		return nil, errors.New("incomplete")
	}
	return h, nil
}
