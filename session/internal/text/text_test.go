package text_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"usher/session/internal/text"
)

// Walking through a value finds what encoding/json does.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{``, `null`, `0`, `-0`, `12`, `-999999999`, `1e3`, `1.5`, `true`, `"a\"b"`, `[]`, ` [ 1 , "]" , {"a":[2]} ] `, `{}`,
		`{"a":1,"a":2}`, `{ "\u0061" : "}" , "b\\" : [ { } ] }`, `[1,]`, `{"a"}`, `[[[]]]`, "\"\xff\"", "[1]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, ok := text.Parse(b)
		if ok != json.Valid(b) {
			t.Fatalf("%q: got %v", b, ok)
		}
		if !ok {
			return
		}
		if got, want := string(v), string(bytes.TrimSpace(b)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		var number int
		if n, ok := v.Number(); ok && (json.Unmarshal(v, &number) != nil && v[0] != '0' && v[0] != '-' || n != number) {
			t.Errorf("%s: got %d, want %d", v, n, number)
		}
		switch {
		case v.IsArray():
			var want []json.RawMessage
			if err := json.Unmarshal(v, &want); err != nil {
				t.Fatal(err)
			}
			n := 0
			v.Elements(func(e text.Value) bool {
				if n >= len(want) || string(e) != string(want[n]) {
					t.Errorf("%s: element %d is %q", v, n, e)
				}
				n++
				return true
			})
			if n != len(want) {
				t.Errorf("%s: got %d elements, want %d", v, n, len(want))
			}
		case v.IsObject():
			var want map[string]json.RawMessage
			if err := json.Unmarshal(v, &want); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			v.Fields(func(name []byte, value text.Value) bool {
				var s string // as encoding/json puts what is not UTF-8
				quoted, _ := json.Marshal(string(name))
				_ = json.Unmarshal(quoted, &s)
				got[s] = string(value)
				return true
			})
			if len(got) != len(want) {
				t.Errorf("%s: got %v, want %v", v, got, want)
			}
			for k, w := range want {
				if got[k] != string(w) {
					t.Errorf("%s: %q is %s, want %s", v, k, got[k], w)
				}
			}
		}
		var s string
		if v.IsString() && json.Unmarshal(v, &s) == nil {
			quoted := text.AppendString(nil, s)
			var again string
			if json.Unmarshal(quoted, &again) != nil || again != s {
				t.Errorf("%q became %s", s, quoted)
			}
		}
	})
}
