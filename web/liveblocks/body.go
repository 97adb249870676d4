package liveblocks

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

	"usher/auth/liveblocks"
)

const (
	// bodyBytes is more than any request needs: an event, or lists of access
	// with the longest ids, escaped.
	bodyBytes = 8 << 20
	// smallBytes is the size of bodies that may be read at any time.
	smallBytes = 64 << 10
	// readingBytes bounds what large bodies may take together, each until its call
	// has been done.
	readingBytes = 128 << 20
)

// body reads the request's body, which is JSON.
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
		return nil, malformed("the request has no body; it has to be JSON")
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
	name   string // "" for the request itself, else "update", …
	fields map[string]json.RawMessage
}

// object reads the body, which is an object with no other members than those.
func (c *call) object(names ...string) (object, error) {
	b, err := c.body()
	if err != nil {
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
	if b[0] != '{' {
		return o, unprocessable("%s is not an object", cmp.Or(name, "the request"))
	}
	if err := json.Unmarshal(b, &o.fields); err != nil {
		return o, unprocessable("%s is not an object", cmp.Or(name, "the request"))
	}
	return o, nil
}

// only refuses other members. A misspelt usersAccesses must not look as if it
// had been done.
func (o object) only(names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !slices.Contains(names, name) {
			return unprocessable("unknown field %q; there are %s", clip(o.path(name)), strings.Join(names, ", "))
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

// null reports whether a member is there and null.
func (o object) null(name string) bool { return string(o.fields[name]) == "null" }

// text returns a member that is text, "" when it is not there or null.
func (o object) text(name string) (string, error) {
	if !o.has(name) {
		return "", nil
	}
	return textOf(o.path(name), o.fields[name])
}

func textOf(path string, b json.RawMessage) (s string, err error) {
	if b[0] != '"' || json.Unmarshal(b, &s) != nil {
		return "", unprocessable("%s is not a string", clip(path))
	}
	return s, nil
}

// required is text that may not be empty.
func (o object) required(name string) (string, error) {
	s, err := o.text(name)
	if err == nil && s == "" {
		err = unprocessable("%s is missing", o.path(name))
	}
	return s, err
}

// listOf reads a list of text.
func listOf(path string, b json.RawMessage) ([]string, error) {
	var raw []json.RawMessage
	if b[0] != '[' || json.Unmarshal(b, &raw) != nil {
		return nil, unprocessable("%s is not a list of strings", clip(path))
	}
	list := make([]string, len(raw))
	for i, b := range raw {
		// The path has the request's own names, of any length: it is put together
		// for a mistake only.
		if b[0] != '"' || json.Unmarshal(b, &list[i]) != nil {
			return nil, unprocessable("%s[%d] is not a string", clip(path), i)
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

// organization returns the organization that a request names, by its new name or
// by its old, "" for none.
func (o object) organization() (string, error) {
	name := "organizationId"
	if !o.has(name) {
		name = "tenantId"
	}
	s, err := o.text(name)
	if err == nil {
		err = atMost(o.path(name), s, liveblocks.MaxOrganizationLength)
	}
	return s, err
}

// clip keeps names that a request made up from filling an error.
func clip(s string) string {
	if utf8.RuneCountInString(s) <= 100 {
		return s
	}
	return string([]rune(s)[:100]) + "…"
}
