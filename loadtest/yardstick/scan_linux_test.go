package yardstick

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// scan takes for JSON what package json takes for it, and finds what it finds.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{"type":"ping"}`, `{"type":"publishData","id":7,"topic":"a\"b","payload":{"x":[1,2,{"y":null}],"z":-0.5e+3},"reliable":false}`,
		` { "type" : "join" , "token" : "eyJ" } `, `{}`, `{"type":"x",}`, `{"type":"x"}}`, `{"a":01}`, `{"a":"\u00e9\uD83D\uDE00"}`, `{"a":"\x"}`,
		`{"a":[}`, `{"a":{]}`, `[`, `{"a":tru}`, `{"a":1.}`, `{"a":.1}`, `{"a":1e}`, `"a"`, ``, `{"a" 1}`, `{"a":1 "b":2}`, "{\"a\":\"\n\"}", `{"a":[[],{}, [ ] , { } ]}`,
		`{"type":"a","type":"b"}`, `{"a":-}`, `{"a":"\u+123"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return // never comes here
		}
		r, problem := scan(b)
		valid := json.Valid(b)
		if !valid != (problem == "the message is not valid JSON") {
			if valid && len(b) > maxDepth || problem != "" && !valid {
				return // too deep; or a field was wrong before the end was reached
			}
			t.Fatalf("%q: got %q, package json says %v", b, problem, valid)
		}
		if problem != "" {
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if got, want := string(r.typ), string(fields["type"]); `"`+got+`"` != want && json.Valid([]byte(want)) && utf8.ValidString(want) {
			// Names in escapes are the only way to differ: scan compares bytes.
			if _, escaped := fields["type"]; escaped && !containsEscape(b) {
				t.Fatalf("%q: got type %q, want %s", b, got, want)
			}
		}
		if r.payload != nil && !json.Valid(r.payload) {
			t.Fatalf("%q: payload %q", b, r.payload)
		}
	})
}

func containsEscape(b []byte) bool {
	for _, c := range b {
		if c == '\\' {
			return true
		}
	}
	return false
}
