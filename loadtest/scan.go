package loadtest

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// The messages of a server are read with searches for the few fields that
// count. Decoding them would make the load test what is measured. It can be
// done because all text in them is the load test's own, and because quotes in
// others' text are escaped, so that none of it looks like a field.

var typePrefix = []byte(`{"type":"`)

// messageType returns the type of a message.
func messageType(b []byte) []byte {
	if bytes.HasPrefix(b, typePrefix) {
		rest := b[len(typePrefix):]
		if end := bytes.IndexByte(rest, '"'); end >= 0 {
			return rest[:end]
		}
	}
	var m struct{ Type string } // a server that orders its fields otherwise
	if json.Unmarshal(b, &m) != nil {
		return nil
	}
	return []byte(m.Type)
}

// numberField finds `"name":` and reads the number after it.
func numberField(b []byte, field string) (int64, bool) {
	i := bytes.Index(b, []byte(field))
	if i < 0 {
		return 0, false
	}
	b = b[i+len(field):]
	var n int64
	digits := 0
	for digits < len(b) && digits < 18 && b[digits] >= '0' && b[digits] <= '9' {
		n = n*10 + int64(b[digits]-'0')
		digits++
	}
	return n, digits > 0
}

// stringField finds `"name":"` and returns the text after it, which must have
// no escapes in it.
func stringField(b []byte, field string) (text, rest []byte, ok bool) {
	i := bytes.Index(b, []byte(field))
	if i < 0 {
		return nil, nil, false
	}
	b = b[i+len(field):]
	end := bytes.IndexByte(b, '"')
	if end < 0 {
		return nil, nil, false
	}
	return b[:end], b[end+1:], true
}

const (
	fieldSeq      = `"seq":`
	fieldIdentity = `"identity":"`
	fieldSession  = `"session":"`
	fieldSecret   = `"secret":"`
	fieldHandle   = `"handle":`
	fieldNumber   = `"numParticipants":`
	fieldToken    = `"token":"`
	fieldLast     = `"lastRequest":`
	fieldID       = `"id":`
	fieldCode     = `"code":"`
)

// A change is what one of a room's events says of somebody.
type change struct {
	kind     byte   // 'J'oined, 'L'eft, 'U'pdated
	seq      uint64 // 0: the server does not number
	identity []byte
}

var changeMark = []byte(`{"type":"participant`)

// eachChange calls f for each join, leave and update in a participantJoined,
// participantLeft, participantUpdated or participants message.
func eachChange(b []byte, f func(change)) {
	for {
		i := bytes.Index(b, changeMark)
		if i < 0 {
			return
		}
		b = b[i+len(changeMark):]
		if len(b) == 0 || b[0] == 's' { // the frame around several
			continue
		}
		one := b
		if end := bytes.Index(b, changeMark); end >= 0 {
			one = b[:end]
		}
		identity, _, ok := stringField(one, fieldIdentity)
		if !ok {
			continue
		}
		seq, _ := numberField(one, fieldSeq)
		f(change{one[0], uint64(seq), identity})
	}
}

// personIndex reads the number at the end of an identity that the load test
// made.
func personIndex(identity []byte, prefix string) (int, bool) {
	if len(identity) <= len(prefix) || string(identity[:len(prefix)]) != prefix {
		return 0, false
	}
	n, err := strconv.Atoi(string(identity[len(prefix):]))
	return n, err == nil && n >= 0
}

// A peopleSet is a set of the members of a room, by their places in it.
type peopleSet struct {
	bits  []uint64
	count int
}

func newPeopleSet(size int) peopleSet { return peopleSet{bits: make([]uint64, (size+63)/64)} }

func (s *peopleSet) has(i int) bool { return i>>6 < len(s.bits) && s.bits[i>>6]&(1<<(i&63)) != 0 }

// set puts i in or out, and reports whether that changed anything.
func (s *peopleSet) set(i int, in bool) bool {
	for i>>6 >= len(s.bits) {
		s.bits = append(s.bits, 0)
	}
	if s.has(i) == in {
		return false
	}
	s.bits[i>>6] ^= 1 << (i & 63)
	if in {
		s.count++
	} else {
		s.count--
	}
	return true
}

func (s *peopleSet) clear() { clear(s.bits); s.count = 0 }
