package store

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A Setting is something that the server made once and keeps: a secret to sign
// with, the end of a block of numbers. Keys are words with a prefix that says
// whose they are: "actors", "liveblocks/secret/acme". What has "/secret/" or
// "/webhook/" in its key is shown to nobody.
type Setting struct {
	Key   string
	Value []byte
}

// setting is the JSON of one, so that all records are JSON.
type setting struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Put returns the change that keeps the setting.
func (s Setting) Put() Change { return put(Settings, s.Key, setting(s)) }

// Delete returns the change that drops it.
func (s Setting) Delete() Change { return Change{Bucket: Settings, Key: s.Key} }

// LoadSettings calls each for every setting.
func LoadSettings(s loader, each func(Setting) error) error {
	return load(s, Settings, func(key string, kept *setting) error {
		if key != kept.Key || kept.Value == nil {
			return fmt.Errorf("%w: the setting %q does not fit its key", ErrDamaged, key)
		}
		return each(Setting(*kept))
	})
}

// printable returns what of a record's value may be shown.
func printable(b Bucket, key string, value json.RawMessage) json.RawMessage {
	if b == Settings && (strings.Contains(key, "/secret/") || strings.Contains(key, "/webhook/")) {
		return json.RawMessage(`"[secret]"`)
	}
	return value
}
