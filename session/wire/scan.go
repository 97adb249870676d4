package wire

import (
	"bytes"
	"encoding/json"
)

// scan reads the messages that come most, joins, data and acknowledgements,
// without reflection. It reports false, and m is worth nothing, when the text is not one
// of those as clients usually write them; then encoding/json has the word, which
// says the same of all that scan accepts.
func scan(b []byte, m *Message) bool {
	s := scanner{rest: b}
	if !s.take('{') {
		return false
	}
	seen := field(0)
	for {
		key, ok := s.plainString()
		if !ok || !s.take(':') {
			return false
		}
		f := field(0)
		switch string(key) {
		case "type":
			f = fieldType
			v, is := s.plainString()
			switch string(v) { // whose text need not be allocated
			case "publishData":
				m.Type = "publishData"
			case "ack":
				m.Type = "ack"
			case "ping":
				m.Type = "ping"
			case "join":
				m.Type = "join"
			default:
				is = false
			}
			ok = is
		case "id":
			f = fieldID
			m.ID, ok = s.number()
		case "received":
			f = fieldReceived
			m.Received, ok = s.number()
		case "token":
			f = fieldToken
			var v []byte
			v, ok = s.plainString()
			m.Token = string(v)
		case "topic":
			f = fieldTopic
			var v []byte
			v, ok = s.plainString()
			m.Topic = string(v)
		case "reliable":
			f = fieldReliable
			var v bool
			v, ok = s.boolean()
			m.Reliable = &v
		case "payload":
			f = fieldPayload
			var v []byte
			v, ok = s.value()
			m.Payload = bytes.Clone(v)
		default:
			return false
		}
		if !ok || seen&f != 0 {
			return false
		}
		seen |= f
		switch {
		case s.take(','):
		case s.take('}'):
			s.space()
			return len(s.rest) == 0 && seen&fieldType != 0
		default:
			return false
		}
	}
}

// field is a bit for each field that scan knows.
type field uint8

const (
	fieldType field = 1 << iota
	fieldID
	fieldReceived
	fieldToken
	fieldTopic
	fieldReliable
	fieldPayload
)

// A scanner walks through JSON text.
type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\t', '\n', '\r':
			s.rest = s.rest[1:]
		default:
			return
		}
	}
}

// take passes over white space and c, if c is next.
func (s *scanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// plainString reads a string in which nothing is escaped.
func (s *scanner) plainString() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			v := s.rest[:i]
			s.rest = s.rest[i+1:]
			return v, true
		case c < ' ' || c == '\\' || c >= 0x80:
			return nil, false
		}
	}
	return nil, false
}

// number reads a whole number of at most 18 digits.
func (s *scanner) number() (n uint64, ok bool) {
	s.space()
	i := 0
	for ; i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9'; i++ {
		if i == 18 || i > 0 && n == 0 {
			return 0, false
		}
		n = 10*n + uint64(s.rest[i]-'0')
	}
	s.rest = s.rest[i:]
	return n, i > 0
}

func (s *scanner) boolean() (v, ok bool) {
	s.space()
	rest, v := bytes.CutPrefix(s.rest, []byte("true"))
	if !v {
		rest, ok = bytes.CutPrefix(s.rest, []byte("false"))
	}
	s.rest = rest
	return v, v || ok
}

// value reads any value and leaves its text as it is.
func (s *scanner) value() ([]byte, bool) {
	s.space()
	end := extent(s.rest)
	v := s.rest[:end]
	if end == 0 || !json.Valid(v) || string(v) == "null" {
		return nil, false // null leaves a field as it was
	}
	s.rest = s.rest[end:]
	return v, true
}

// extent is how long the value is that b begins with, if it is one.
func extent(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			if quoted = !quoted; !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth < 0 {
				return i // the end of what it is in, after a number or a word
			}
			if depth == 0 {
				return i + 1
			}
		case (c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r') && depth == 0:
			return i
		}
	}
	return len(b)
}
