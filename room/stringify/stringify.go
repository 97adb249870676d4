// Package stringify writes JSON as JavaScript's JSON.stringify does, and counts it
// as JavaScript counts text: whoever writes the same value with escapes, or without
// them, has said the same, and is measured by the same length.
package stringify

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Append appends a JSON value as JSON.stringify writes it once JSON.parse has read
// it, but for two things: members stay in their order, and whole numbers keep their
// digits. What is no JSON gives something that is none either.
func Append(b, raw []byte) []byte {
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == ' ', c == '\t', c == '\n', c == '\r':
			i++
		case c == '"':
			end := textEnd(raw, i+1)
			b = appendUnescaped(append(b, '"'), raw[i+1:end])
			b = append(b, '"')
			i = end + 1
		case c == '-', c >= '0' && c <= '9':
			end := i + 1
			for end < len(raw) && isNumber(raw[end]) {
				end++
			}
			b = appendNumber(b, raw[i:end])
			i = end
		default:
			b = append(b, c)
			i++
		}
	}
	return b
}

// Length is what JavaScript says is the length of a text: UTF-16 counts.
func Length(b []byte) (n int) {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		n += max(1, utf16.RuneLen(r))
		b = b[size:]
	}
	return n
}

// AppendText appends text as a JSON value. It escapes no more than it must, and what
// is no UTF-8 becomes U+FFFD.
func AppendText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		b = appendRune(b, r)
	}
	return append(b, '"')
}

const hex = "0123456789abcdef"

func appendRune(b []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r >= ' ':
		return utf8.AppendRune(b, r)
	case r == '\b':
		return append(b, `\b`...)
	case r == '\t':
		return append(b, `\t`...)
	case r == '\n':
		return append(b, `\n`...)
	case r == '\f':
		return append(b, `\f`...)
	case r == '\r':
		return append(b, `\r`...)
	}
	return append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
}

// textEnd is where the quotation mark is that ends the text from i on.
func textEnd(raw []byte, i int) int {
	for ; i < len(raw) && raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return min(i, len(raw))
}

// appendUnescaped appends what is between quotation marks, with the escapes that it
// needs. Half of a surrogate pair stays an escape.
func appendUnescaped(b, text []byte) []byte {
	for i := 0; i < len(text); {
		if text[i] != '\\' || i+1 == len(text) {
			r, size := utf8.DecodeRune(text[i:])
			b = appendRune(b, r)
			i += size
			continue
		}
		switch c := text[i+1]; c {
		case 'b':
			b = append(b, `\b`...)
		case 't':
			b = append(b, `\t`...)
		case 'n':
			b = append(b, `\n`...)
		case 'f':
			b = append(b, `\f`...)
		case 'r':
			b = append(b, `\r`...)
		case 'u':
			r := escaped(text[i:])
			switch pair := utf16.DecodeRune(r, escaped(text[min(i+6, len(text)):])); {
			case pair != utf8.RuneError:
				b = appendRune(b, pair)
				i += 12
			case utf16.IsSurrogate(r):
				b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
				i += 6
			default:
				b = appendRune(b, max(r, 0))
				i += 6
			}
			continue
		default:
			b = appendRune(b, rune(c))
		}
		i += 2
	}
	return b
}

// escaped is the code unit of the \uXXXX that text begins with, or -1.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

func isNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// appendNumber appends a number as JavaScript shows it: 1.0 is 1, and 1e400, which
// is none there, is null.
func appendNumber(b, text []byte) []byte {
	whole := true
	for _, c := range text[1:] {
		whole = whole && c >= '0' && c <= '9'
	}
	if whole && string(text) != "-0" {
		return append(b, text...)
	}
	f, err := strconv.ParseFloat(string(text), 64)
	switch {
	case err != nil:
		return append(b, "null"...)
	case f == 0:
		return append(b, '0')
	case f < 1e21 && f > -1e21 && (f >= 1e-6 || f <= -1e-6):
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') { // e-09 is e-9
		b = append(b[:n-2], b[n-1])
	}
	return b
}
