// Package object reads and edits the JSON objects of tokens.
//
// It exists because encoding/json cannot do three things tokens need. A
// refreshed token carries every claim of the original, so what is not changed
// has to stay byte for byte: a number of 30 digits, a claim nobody knows. A
// claim that comes twice has to be refused, or two readers of one token could
// understand two things. And reading is on the path of every join: one walk
// over bytes known to be valid costs a tenth of a decoding.
//
// Names are told apart as encoding/json, and with it LiveKit's server, tells
// them apart: without regard to the case of ASCII letters. A token whose
// "canpublish" closes something there must not open it here.
package object

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Errors of this package. They never hold a part of the input.
var (
	ErrInvalid   = errors.New("not a JSON object")
	ErrType      = errors.New("a claim of the wrong type")
	ErrDuplicate = errors.New("a claim that comes twice")
)

// Each calls f with the name and the value of each member of an object, in
// order, until f returns an error. Both are parts of b, except for a name
// written with escapes. b must be valid JSON in UTF-8; of anything else Each
// finds members where there are none, or returns [ErrInvalid].
func Each(b []byte, f func(name, value []byte) error) error {
	return walk(b, func(quoted, value []byte) error {
		name, err := unquoted(quoted)
		if err != nil {
			return err
		}
		return f(name, value)
	})
}

func walk(b []byte, f func(quoted, value []byte) error) error {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		return ErrInvalid
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return nil
	}
	for i < len(b) && b[i] == '"' {
		end := skipString(b, i)
		quoted := b[i:end]
		i = skipSpace(b, end) // at the colon
		i = skipSpace(b, i+1) // at the value
		if end = skipValue(b, i); end <= i {
			return ErrInvalid
		}
		if err := f(quoted, b[i:end:end]); err != nil {
			return err
		}
		if i = skipSpace(b, end); i < len(b) && b[i] == '}' {
			return nil
		}
		i = skipSpace(b, i+1) // past the comma
	}
	return ErrInvalid
}

// unquoted returns what stands between the quotes of a JSON string.
func unquoted(quoted []byte) ([]byte, error) {
	if len(quoted) < 2 {
		return nil, ErrInvalid
	}
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, ErrInvalid
	}
	return []byte(s), nil
}

// The skip functions return the index behind what begins at i, at most len(b).

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return min(i, len(b))
}

func skipString(b []byte, i int) int {
	// Most strings have no escapes, and metadata can be long.
	if n := bytes.IndexByte(b[min(i+1, len(b)):], '"'); n >= 0 && bytes.IndexByte(b[i+1:i+1+n], '\\') < 0 {
		return i + n + 2
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

func skipValue(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
			if depth == 0 {
				return skipScalar(b, i)
			}
		}
		if depth <= 0 {
			return i
		}
	}
	return len(b)
}

// skipScalar skips the rest of a number, true, false or null.
func skipScalar(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

// same reports whether name is known, apart from the case of ASCII letters.
func same(name []byte, known string) bool {
	if len(name) != len(known) {
		return false
	}
	for i, c := range name {
		if k := known[i]; c != k && (c|0x20 != k|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// A Member is a name with its value.
type Member struct {
	Name  string
	Value json.RawMessage // nil: no such member
}

// Set returns the object b with the given members, in the place of those that
// had their names, else at the end. A member with a nil Value is removed. All
// others stay as they are. b must be valid JSON.
func Set(b []byte, members ...Member) (json.RawMessage, error) { return set(b, false, members) }

// SetExact is like [Set], but a member whose name is in another case of letters is
// another one.
func SetExact(b []byte, members ...Member) (json.RawMessage, error) { return set(b, true, members) }

func set(b []byte, exact bool, members []Member) (json.RawMessage, error) {
	size := len(b) + 2
	for _, m := range members {
		size += len(m.Name) + len(m.Value) + len(`"":,`)
	}
	out := append(make([]byte, 0, size), '{')
	add := func(quoted, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, quoted...)
		out = append(out, ':')
		out = append(out, value...)
	}
	written := make([]bool, len(members))
	err := walk(b, func(quoted, value []byte) error {
		name, err := unquoted(quoted)
		if err != nil {
			return err
		}
		for i, m := range members {
			if exact && string(name) != m.Name || !exact && !same(name, m.Name) {
				continue
			}
			if m.Value != nil && !written[i] {
				add(String(m.Name), m.Value)
			}
			written[i] = true
			return nil
		}
		add(quoted, value)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, m := range members {
		if m.Value != nil && !written[i] {
			add(String(m.Name), m.Value)
		}
	}
	return append(out, '}'), nil
}

// String returns s as JSON. Unlike [json.Marshal] it leaves <, > and & as they
// are: escaped they take six bytes each, and the size of a token is limited.
func String(s string) json.RawMessage {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return Value(s)
		}
	}
	quoted := append(make([]byte, 0, len(s)+2), '"')
	return append(append(quoted, s...), '"')
}

// Value returns v as JSON, with <, > and & as they are. v has to be of a type
// that always encodes: of strings, numbers, booleans, lists and maps of those.
func Value(v any) json.RawMessage {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("object: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
