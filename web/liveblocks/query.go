package liveblocks

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"usher/room"
)

// The query language of Liveblocks' room list:
//
//	query = [ term { ["AND"] term } ]
//	term  = field operator value
//	field = "roomId" | "metadata" ( "[" string "]" | "." name )
//	op    = ":" | "^" | "<" | "<=" | ">" | ">="
//	value = string | number | "true" | "false" | "null"
//
// Liveblocks' SDKs put a space between terms, people write AND. A string is in
// single or double quotes, with JSON's escapes and \'.
//
// Metadata is text. So ":" with a number or a boolean compares with its
// spelling, and with null asks for rooms that do not have the key; "^" is a
// prefix; the other operators compare as numbers when the value is one, and as
// text when it is a string. A list matches if one of its texts does.

const (
	maxQueryBytes = 4096
	maxTerms      = 64
)

// A queryError says where a query cannot be understood.
type queryError struct {
	at      int // in characters, from 1
	problem string
}

func (e *queryError) Error() string {
	return fmt.Sprintf("query: %s at character %d", e.problem, e.at)
}

// A term is one condition on a room.
type term struct {
	field string // of the metadata; "" for the room's id
	id    bool   // the room's id
	op    string
	value value
}

// A value is what a term compares with.
type value struct {
	kind   byte // 's', 'n', 'b' or '0' for null
	text   string
	number float64 // for 'n'
}

// parseQuery returns what a room has to fulfil. An empty query is nil.
func parseQuery(text string) ([]term, error) {
	if len(text) > maxQueryBytes {
		return nil, &queryError{maxQueryBytes, fmt.Sprintf("the query exceeds the limit of %d bytes", maxQueryBytes)}
	}
	p := &parser{text: text}
	var terms []term
	for {
		p.space()
		if p.rest() == "" {
			return terms, nil
		}
		if len(terms) > 0 && p.and() {
			p.space()
		}
		if len(terms) == maxTerms {
			return nil, p.errorf("more than %d conditions", maxTerms)
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
}

// matches reports whether a room fulfils all terms.
func matches(terms []term, r *room.LiveblocksRoom) bool {
	for _, t := range terms {
		if !t.matches(r) {
			return false
		}
	}
	return true
}

func (t *term) matches(r *room.LiveblocksRoom) bool {
	if t.id {
		return t.compare(r.Name)
	}
	m, ok := r.Metadata[t.field]
	switch {
	case t.value.kind == '0':
		return !ok
	case !ok:
		return false
	case m.List == nil:
		return t.compare(m.Text)
	}
	for _, text := range m.List {
		if t.compare(text) {
			return true
		}
	}
	return false
}

func (t *term) compare(text string) bool {
	var c int
	switch {
	case t.op == ":":
		return text == t.value.text
	case t.op == "^":
		return strings.HasPrefix(text, t.value.text)
	case t.value.kind == 'n':
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !isNumber(text) {
			return false
		}
		c = cmp.Compare(n, t.value.number)
	default:
		c = strings.Compare(text, t.value.text)
	}
	switch t.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// A parser reads a query from the beginning to the end.
type parser struct {
	text string
	at   int // in bytes
}

func (p *parser) rest() string { return p.text[p.at:] }

func (p *parser) errorf(format string, args ...any) error {
	return &queryError{utf8.RuneCountInString(p.text[:p.at]) + 1, fmt.Sprintf(format, args...)}
}

func (p *parser) space() {
	p.at = len(p.text) - len(strings.TrimLeftFunc(p.rest(), unicode.IsSpace))
}

// take takes s if it is next.
func (p *parser) take(s string) bool {
	if !strings.HasPrefix(p.rest(), s) {
		return false
	}
	p.at += len(s)
	return true
}

// name takes letters, digits and underscores.
func (p *parser) name() string {
	rest := p.rest()
	n := strings.IndexFunc(rest, func(c rune) bool { return c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	if n < 0 {
		n = len(rest)
	}
	p.at += n
	return rest[:n]
}

// and takes the word between terms.
func (p *parser) and() bool {
	before := p.at
	if strings.EqualFold(p.name(), "AND") {
		return true
	}
	p.at = before
	return false
}

func (p *parser) term() (term, error) {
	var t term
	before := p.at
	switch name := p.name(); name {
	case "roomId":
		t.id = true
	case "metadata":
		key, err := p.key()
		if err != nil {
			return t, err
		}
		t.field = key
	case "":
		return t, p.errorf("expected roomId or metadata['key']")
	default:
		p.at = before
		return t, p.errorf("%q cannot be asked for, only roomId and metadata['key'] can,", name)
	}
	p.space()
	for _, op := range []string{":", "^", "<=", ">=", "<", ">"} {
		if p.take(op) {
			t.op = op
			break
		}
	}
	if t.op == "" {
		return t, p.errorf("expected one of : ^ < <= > >=")
	}
	p.space()
	before = p.at
	v, err := p.value()
	if err != nil {
		return t, err
	}
	t.value = v
	switch {
	case v.kind == 's', v.kind == 'n' && t.op != "^", t.op == ":" && !(t.id && v.kind == '0'):
		return t, nil
	}
	p.at = before
	if t.op == "^" {
		return t, p.errorf("^ needs a string")
	}
	return t, p.errorf("%s needs another value", t.op)
}

// key takes what follows the word metadata.
func (p *parser) key() (string, error) {
	if p.take(".") {
		if name := p.name(); name != "" {
			return name, nil
		}
		return "", p.errorf("expected the name of a metadata key")
	}
	p.space()
	if !p.take("[") {
		return "", p.errorf("expected ['key'] behind metadata")
	}
	p.space()
	key, err := p.quoted()
	if err != nil {
		return "", err
	}
	p.space()
	if !p.take("]") {
		return "", p.errorf("expected ]")
	}
	return key, nil
}

func (p *parser) value() (value, error) {
	if rest := p.rest(); rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		text, err := p.quoted()
		return value{kind: 's', text: text}, err
	}
	rest := p.rest()
	n := strings.IndexFunc(rest, func(c rune) bool {
		return c != '-' && c != '+' && c != '.' && c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
	})
	if n < 0 {
		n = len(rest)
	}
	switch word := rest[:n]; word {
	case "true", "false":
		p.at += n
		return value{kind: 'b', text: word}, nil
	case "null":
		p.at += n
		return value{kind: '0'}, nil
	default:
		if !isNumber(word) {
			return value{}, p.errorf("expected a value: a string in quotes, a number, true, false or null")
		}
		number, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return value{}, p.errorf("the number is out of range")
		}
		p.at += n
		return value{kind: 'n', text: word, number: number}, nil
	}
}

// isNumber reports whether a word may be a number of JSON's. ParseFloat takes
// more than that: hexadecimals, underscores, words.
func isNumber(word string) bool {
	digit := strings.TrimPrefix(word, "-")
	return digit != "" && digit[0] >= '0' && digit[0] <= '9' && strings.Trim(word, "0123456789+-.eE") == ""
}

// quoted takes a string in quotes.
func (p *parser) quoted() (string, error) {
	rest := p.rest()
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return "", p.errorf("expected a string in quotes")
	}
	begin, quote := p.at, rest[0]
	var b strings.Builder
	for p.at++; p.at < len(p.text); {
		switch c := p.text[p.at]; c {
		case quote:
			p.at++
			return b.String(), nil
		case '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			p.at++
		}
	}
	p.at = begin
	return "", p.errorf("the string does not end that begins")
}

// escape takes a backslash and what belongs to it.
func (p *parser) escape(b *strings.Builder) error {
	rest := p.rest()
	if len(rest) < 2 {
		return p.errorf("there is nothing behind the backslash")
	}
	if i := strings.IndexByte(`"'\/bfnrt`, rest[1]); i >= 0 {
		b.WriteByte("\"'\\/\b\f\n\r\t"[i])
		p.at += 2
		return nil
	}
	if rest[1] != 'u' {
		return p.errorf("unknown escape")
	}
	r, ok := unit(rest)
	if !ok {
		return p.errorf("\\u needs four hexadecimal digits")
	}
	p.at += 6
	if low, ok := unit(p.rest()); ok && r >= 0xd800 && r < 0xdc00 && low >= 0xdc00 && low < 0xe000 {
		p.at += 6
		r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
	}
	b.WriteRune(r) // half of a pair becomes U+FFFD
	return nil
}

// unit reads a \uXXXX, a unit of UTF-16, at the beginning of s.
func unit(s string) (rune, bool) {
	if len(s) < 6 || !strings.HasPrefix(s, `\u`) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
