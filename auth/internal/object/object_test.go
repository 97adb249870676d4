package object_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"usher/auth/internal/object"
)

func TestSet(t *testing.T) {
	text := func(s string) json.RawMessage { return object.String(s) }
	for _, test := range []struct {
		name, in string
		set      []object.Member
		want     string
	}{
		{"nothing", `{ "a" : 1.0 , "b":[ ] }`, nil, `{"a":1.0,"b":[ ]}`},
		{"replaced in its place", `{"a":1,"b":2,"c":3}`, []object.Member{{Name: "b", Value: text("x")}}, `{"a":1,"b":"x","c":3}`},
		{"added at the end", `{"a":1}`, []object.Member{{Name: "b", Value: text("x")}}, `{"a":1,"b":"x"}`},
		{"added to nothing", `{}`, []object.Member{{Name: "b", Value: text("x")}}, `{"b":"x"}`},
		{"removed", `{"a":1,"b":2,"c":3}`, []object.Member{{Name: "a"}, {Name: "c"}, {Name: "d"}}, `{"b":2}`},
		{"in another case", `{"VIDEO":1}`, []object.Member{{Name: "video", Value: text("x")}}, `{"video":"x"}`},
		{"escaped", `{"\u0061":1,"\u0062":2}`, []object.Member{{Name: "a", Value: text("x")}}, `{"a":"x","\u0062":2}`},
		{"all that have the name", `{"a":1,"A":2,"b":3}`, []object.Member{{Name: "a", Value: text("x")}}, `{"a":"x","b":3}`},
		{"others to the byte", `{"n":123456789012345678901234567890.10,"s":"\u00e9<>é","o":{"x" : 1}}`, []object.Member{{Name: "a", Value: text("x")}},
			`{"n":123456789012345678901234567890.10,"s":"\u00e9<>é","o":{"x" : 1},"a":"x"}`},
		{"only ASCII letters have a case", `{"_":1,"@":2,"ſ":3}`, []object.Member{{Name: "s"}, {Name: "\x7f"}, {Name: "\x60"}}, `{"_":1,"@":2,"ſ":3}`},
	} {
		got, err := object.Set([]byte(test.in), test.set...)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.name, got, err, test.want)
		}
	}
	for _, in := range []string{``, `null`, `[]`, `"x"`, `7`} {
		if got, err := object.Set([]byte(in)); !errors.Is(err, object.ErrInvalid) {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
}

func TestRead(t *testing.T) {
	type all struct {
		S    string
		B    bool
		P    *bool
		List []string
		Map  map[string]string
		Raw  json.RawMessage
	}
	yes := true
	for _, test := range []struct {
		in   string
		want all
		err  error
	}{
		{in: `{}`},
		{in: `{"s":null,"b":null,"p":null,"list":null,"map":null,"raw":null}`},
		{
			in:   ` { "s" : "a\"\u00e9" , "b" : true , "p" : true , "list" : [ "x" , "y" ] , "map" : { "k" : "v" , "n" : null } , "raw" : { } } `,
			want: all{S: `a"é`, B: true, P: &yes, List: []string{"x", "y"}, Map: map[string]string{"k": "v", "n": ""}, Raw: json.RawMessage(`{ }`)},
		},
		{in: `{"S":"x","other":[{"s":7}]}`, want: all{S: "x"}},
		{in: `{"s":7}`, err: object.ErrType},
		{in: `{"b":"true"}`, err: object.ErrType},
		{in: `{"p":1}`, err: object.ErrType},
		{in: `{"list":"x"}`, err: object.ErrType},
		{in: `{"list":[7]}`, err: object.ErrType},
		{in: `{"map":[]}`, err: object.ErrType},
		{in: `{"map":{"k":7}}`, err: object.ErrType},
		{in: `{"s":"x","s":"x"}`, err: object.ErrDuplicate},
		{in: `{"s":null,"S":"x"}`, err: object.ErrDuplicate},
		{in: `[]`, err: object.ErrInvalid},
	} {
		var got all
		err := object.Read([]byte(test.in),
			object.Field{Name: "s", Into: &got.S}, object.Field{Name: "b", Into: &got.B}, object.Field{Name: "p", Into: &got.P},
			object.Field{Name: "list", Into: &got.List}, object.Field{Name: "map", Into: &got.Map}, object.Field{Name: "raw", Into: &got.Raw})
		if !errors.Is(err, test.err) {
			t.Errorf("%s: got error %v, want %v", test.in, err, test.err)
		}
		if test.err == nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.in, got, test.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[string]float64{`0`: 0, `-1.5`: -1.5, `"7"`: 7, `1e3`: 1000, `"1e3"`: 1000} {
		if got, ok := object.Number([]byte(in)); !ok || got != want {
			t.Errorf("%s: got %v, %v", in, got, ok)
		}
	}
	for _, in := range []string{`""`, `"x"`, `" 7"`, `"0x7"`, `"inf"`, `"NaN"`, `"07"`, `1e999`, `true`, `[1]`, `"[1]"`, `"null"`, `"`, ``} {
		if got, ok := object.Number([]byte(in)); ok {
			t.Errorf("%s: got %v", in, got)
		}
	}
}

func TestString(t *testing.T) {
	for _, s := range []string{"", "plain", `"\`, "é\u2028", "a\nb", "<&>"} {
		var back string
		if err := json.Unmarshal(object.String(s), &back); err != nil || back != s {
			t.Errorf("%q became %s", s, object.String(s))
		}
	}
	if got := string(object.String("é<&>")); strings.Contains(got, `\`) {
		t.Errorf("got %s", got)
	}
}

// FuzzObject: nothing panics, and valid objects keep all their members.
func FuzzObject(f *testing.F) {
	for _, in := range []string{`{}`, `{"a":1}`, ` { "a" : [ { } , "]" ] , "b" : "\"}" } `, `{"a"`, `{"a":`, `{"a":1,}`, `{"\`, `{"":""}`, `{"a":{"b"`, `{"a":]`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var s string
		var raw json.RawMessage
		_ = object.Read(in, object.Field{Name: "a", Into: &s}, object.Field{Name: "b", Into: &raw})
		out, err := object.Set(in, object.Member{Name: "added", Value: json.RawMessage(`1`)}, object.Member{Name: "gone"})
		if !json.Valid(in) {
			return
		}
		var was, is map[string]json.RawMessage
		if bytes.TrimLeft(in, " \t\r\n")[0] != '{' {
			if err == nil {
				t.Fatalf("%q is no object", in)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if json.Unmarshal(in, &was) != nil || json.Unmarshal(out, &is) != nil {
			t.Fatalf("%q became %q", in, out)
		}
		for name := range was {
			if strings.EqualFold(name, "added") || strings.EqualFold(name, "gone") {
				delete(was, name)
			}
		}
		delete(is, "added")
		if len(was) != len(is) {
			t.Fatalf("%q became %q", in, out)
		}
		for name := range was {
			if !bytes.Equal(was[name], is[name]) {
				t.Fatalf("%q became %q", in, out)
			}
		}
	})
}
