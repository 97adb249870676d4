package daily

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// bodyBytes is more than any request needs: a thousand rooms with all their
	// properties.
	bodyBytes = 8 << 20
	// smallBytes is the size of bodies that may be read at any time.
	smallBytes = 64 << 10
	// readingBytes bounds what large bodies may take together, each until its call
	// has been done.
	readingBytes = 128 << 20
)

// body reads the request's body, which is JSON, whatever its content type says.
// Without one it is nil.
func (c *call) body() (json.RawMessage, error) {
	if c.ContentLength < 0 || c.ContentLength > smallBytes {
		if !c.api.reading.TryAcquire(bodyBytes) {
			return nil, errBusy
		}
		c.held += bodyBytes
	}
	b, err := io.ReadAll(c.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, errLarge
	case err != nil:
		return nil, malformed("the request could not be read")
	case len(bytes.TrimSpace(b)) == 0:
		return nil, nil
	case !utf8.Valid(b):
		return nil, malformed("the request is not UTF-8")
	}
	var value json.RawMessage
	if err := json.Unmarshal(b, &value); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, malformed("the request is not JSON: %s, at byte %d", strings.TrimPrefix(syntax.Error(), "json: "), syntax.Offset)
		}
		return nil, malformed("the request is not JSON")
	}
	return value, nil
}

// An object is a JSON object of a request: its members have exactly the names
// that are asked for.
type object struct {
	name   string // "" for the request itself, else "properties", …
	fields map[string]json.RawMessage
}

// object reads the body, which is an object with no other members than those.
// Without a body it has none.
func (c *call) object(names ...string) (object, error) {
	b, err := c.body()
	if err != nil || b == nil {
		return object{}, err
	}
	o, err := objectOf("", b)
	if err != nil {
		return object{}, err
	}
	return o, o.only(names...)
}

func objectOf(name string, b json.RawMessage) (object, error) {
	o := object{name: name}
	if len(b) == 0 || b[0] != '{' || json.Unmarshal(b, &o.fields) != nil {
		return o, invalid("%s is not an object", clip(cmp.Or(name, "the request")))
	}
	return o, nil
}

// only refuses other members. A misspelt user_ids must not look as if it had been
// done.
func (o object) only(names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !slices.Contains(names, name) {
			return invalid("unknown parameter '%s'; there are %s", clip(o.path(name)), strings.Join(names, ", "))
		}
	}
	return nil
}

// path is what a member is called in errors.
func (o object) path(name string) string {
	if o.name == "" {
		return name
	}
	return o.name + "." + name
}

// has reports whether the object has a member that is not null.
func (o object) has(name string) bool {
	b, ok := o.fields[name]
	return ok && string(b) != "null"
}

// text returns a member that is text, "" when it is not there or null.
func (o object) text(name string) (s string, err error) {
	if !o.has(name) {
		return "", nil
	}
	return textOf(o.path(name), o.fields[name])
}

func textOf(path string, b json.RawMessage) (s string, err error) {
	if b[0] != '"' || json.Unmarshal(b, &s) != nil {
		return "", invalid("%s is not a string", clip(path))
	}
	return s, nil
}

// truth returns a member that is a boolean, false when it is not there or null.
func (o object) truth(name string) (is bool, err error) {
	if o.has(name) && json.Unmarshal(o.fields[name], &is) != nil {
		return false, invalid("%s is not a boolean", clip(o.path(name)))
	}
	return is, nil
}

// list returns a member that is a list of at most so many strings, nil when it is
// not there or null.
func (o object) list(name string, most int) ([]string, error) {
	if !o.has(name) {
		return nil, nil
	}
	var raw []json.RawMessage
	if b := o.fields[name]; b[0] != '[' || json.Unmarshal(b, &raw) != nil {
		return nil, invalid("%s is not a list of strings", clip(o.path(name)))
	}
	if len(raw) > most {
		return nil, invalid("%s has %d entries, at most %d are allowed", clip(o.path(name)), len(raw), most)
	}
	list := make([]string, len(raw))
	for i, b := range raw {
		if b[0] != '"' || json.Unmarshal(b, &list[i]) != nil {
			return nil, invalid("%s[%d] is not a string", clip(o.path(name)), i)
		}
	}
	return list, nil
}

// object returns a member that is an object. Without one it has no members.
func (o object) object(name string) (object, error) {
	if !o.has(name) {
		return object{name: o.path(name)}, nil
	}
	return objectOf(o.path(name), o.fields[name])
}

// clip keeps names that a request made up from filling an error.
func clip(s string) string {
	if utf8.RuneCountInString(s) <= 200 {
		return s
	}
	return string([]rune(s)[:200]) + "…"
}
