package liveblocks

import (
	"encoding/json"
	"strings"

	"usher/auth"
	"usher/room"
	"usher/session/internal/text"
)

// appendUser appends id, info and scopes of a participant, without braces.
func (e encoder) appendUser(b []byte, i *room.Info) []byte {
	return append(b, i.Encoded(e.Dialect(), func() []byte { return e.user(i) })...)
}

func (e encoder) user(i *room.Info) []byte {
	b := make([]byte, 0, 64+len(i.Identity)+len(i.Name)+len(i.Metadata))
	if !strings.HasPrefix(i.Identity, auth.AnonymousPrefix) {
		b = append(text.AppendString(append(b, `"id":`...), i.Identity), ',')
	}
	if info := Info(i); info != nil {
		b = append(append(append(b, `"info":`...), info...), ',')
	}
	return appendStrings(append(b, `"scopes":`...), e.scopes(i))
}

// Info is the info of a participant as a Liveblocks user: its metadata, if that is
// a JSON object, with its name. It is nil when there is neither.
func Info(i *room.Info) json.RawMessage {
	var info text.Value
	if metadata, ok := text.Parse([]byte(i.Metadata)); ok && metadata.IsObject() {
		info = metadata
	}
	switch {
	case i.Name == "":
		return json.RawMessage(info)
	case info == nil:
		return append(text.AppendString([]byte(`{"name":`), i.Name), '}')
	}
	b := text.AppendString([]byte(`{"name":`), i.Name)
	same := false
	info.Fields(func(name []byte, value text.Value) bool {
		if string(name) == "name" {
			var s string
			same = value.IsString() && json.Unmarshal(value, &s) == nil && s == i.Name
			return true
		}
		b = append(append(text.AppendString(append(b, ','), string(name)), ':'), value...)
		return true
	})
	if same {
		return json.RawMessage(info) // as it was made
	}
	return append(b, '}')
}
