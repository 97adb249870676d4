package stringify_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"usher/room/stringify"
)

// What node says of JSON.stringify(JSON.parse(text)), and of its length.
func TestAppend(t *testing.T) {
	for raw, want := range map[string]struct {
		text   string
		length int
	}{
		` { "a" : [ 1 , true , null ] } `:          {`{"a":[1,true,null]}`, 19},
		`"\u3042\u00fc"`:                           {`"あü"`, 4},
		`{"\u3042":"\ud83d\ude00"}`:                {`{"あ":"😀"}`, 10},
		`"\ud83d"`:                                 {`"\ud83d"`, 8},
		`"\uD83Dx\uDE00"`:                          {`"\ud83dx\ude00"`, 15},
		`"\ud83d\u0041"`:                           {`"\ud83dA"`, 9},
		`"\u003c\/\u002F\u0022\u005c\u000a\u0001"`: {`"<//\"\\\n\u0001"`, 17},
		`"a b\tc"`:                                 {`"a b\tc"`, 8},
		`[1.0,1e2,-0,-0.0,1e21,1E-7,0.000001,1e400,123456789012345678901]`: {`[1,100,0,0,1e+21,1e-7,0.000001,null,123456789012345678901]`, 58},
	} {
		got := stringify.Append(nil, []byte(raw))
		if string(got) != want.text || stringify.Length(got) != want.length {
			t.Errorf("%s: got %s, %d long, want %s, %d", raw, got, stringify.Length(got), want.text, want.length)
		}
	}
}

// Whatever is JSON still is, and means the same.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{`{"a":[1,"\ud83d\ude00",-1.5e-9]}`, `"\u0000\ud800"`, `"\\"`, `-`, `"`, `"\`, `"\u12`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := stringify.Append(nil, []byte(raw))
		var before, after any
		if json.Unmarshal([]byte(raw), &before) != nil {
			return
		}
		if err := json.Unmarshal(got, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q (%v)", raw, got, err)
		}
		if again := stringify.Append(nil, got); string(again) != string(got) {
			t.Errorf("%q, once more, became %q", got, again)
		}
	})
}
