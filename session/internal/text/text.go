// Package text puts JSON text together by hand, and walks through it, without
// reflection: what the dialects do with each message.
package text

import (
	"encoding/json"
	"unicode/utf8"
)

// AppendString appends s as a JSON string.
func AppendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(s) // strings cannot fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// A Value is one JSON value as it is written, without white space around it. It is
// known to be valid: it comes from [Parse], or is part of what does.
type Value []byte

// Parse returns the value that b is, without copying it.
func Parse(b []byte) (Value, bool) {
	if !json.Valid(b) {
		return nil, false
	}
	b = b[space(b):]
	return Value(b[:extent(b)]), true
}

// IsObject, IsArray and IsString report what the value is.
func (v Value) IsObject() bool { return len(v) > 0 && v[0] == '{' }
func (v Value) IsArray() bool  { return len(v) > 0 && v[0] == '[' }
func (v Value) IsString() bool { return len(v) > 0 && v[0] == '"' }

// IsTrue reports whether the value is true.
func (v Value) IsTrue() bool { return string(v) == "true" }

// Number returns a whole number of at most nine digits, as clients write it.
func (v Value) Number() (n int, ok bool) {
	digits, negative := v, false
	if len(v) > 0 && v[0] == '-' {
		digits, negative = v[1:], true
	}
	if len(digits) == 0 || len(digits) > 9 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// Elements calls f with each element of an array until f returns false, and
// reports whether it got through.
func (v Value) Elements(f func(Value) bool) bool {
	rest := v[1:]
	for {
		rest = rest[space(rest):]
		if rest[0] == ']' {
			return true
		}
		n := extent(rest)
		if !f(rest[:n]) {
			return false
		}
		rest = rest[n:]
		if rest = rest[space(rest):]; rest[0] == ',' {
			rest = rest[1:]
		}
	}
}

// Fields calls f with each member of an object until f returns false, and reports
// whether it got through. A name that comes twice is passed twice: its last value
// counts. The name is good until f returns.
func (v Value) Fields(f func(name []byte, value Value) bool) bool {
	rest := v[1:]
	for {
		rest = rest[space(rest):]
		if rest[0] == '}' {
			return true
		}
		n := extent(rest)
		name := unquoted(rest[:n])
		rest = rest[n:]
		rest = rest[space(rest)+1:] // the colon
		rest = rest[space(rest):]
		n = extent(rest)
		if !f(name, rest[:n]) {
			return false
		}
		rest = rest[n:]
		if rest = rest[space(rest):]; rest[0] == ',' {
			rest = rest[1:]
		}
	}
}

// unquoted is the text of a string.
func unquoted(v Value) []byte {
	inner := v[1 : len(v)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			_ = json.Unmarshal(v, &s) // it is valid
			return []byte(s)
		}
	}
	return inner
}

// space is how much white space b begins with.
func space(b []byte) int {
	for i, c := range b {
		switch c {
		case ' ', '\t', '\n', '\r':
		default:
			return i
		}
	}
	return len(b)
}

// extent is how long the value is that b begins with.
func extent(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what it is in, after a number or a word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}
