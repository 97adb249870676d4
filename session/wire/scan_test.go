package wire

import (
	"encoding/json"
	"reflect"
	"testing"
)

// What the scanner accepts means to it what it means to encoding/json; what it
// knows best it does accept.
func TestScan(t *testing.T) {
	accepted := []string{
		`{"type":"ack","received":32}`,
		`{"received":0,"type":"ack"}`,
		`{"type":"ping"}`,
		`{"type":"join"}`,
		`{"type":"join","token":"eyJ.x_-.y"}`,
		` { "type" : "ping" , "id" : 7 } `,
		`{"type":"publishData","payload":"x"}`,
		`{"type":"publishData","payload":{"a":[1,{"b":"}\""}]},"topic":"chat","reliable":false,"id":12}`,
		`{"type":"publishData","payload":-1.5e3,"reliable":true}`,
		`{"type":"publishData","payload":"\u00e4é"}`,
		`{"type":"publishData","payload":true }`,
		`{"type":"publishData","payload":[]}`,
	}
	for _, text := range accepted {
		var m Message
		if !scan([]byte(text), &m) {
			t.Errorf("%s: not accepted", text)
		}
		agrees(t, []byte(text))
	}
	for _, text := range []string{
		``, `{`, `{}`, `[]`, `{"type":"ack","received":01}`, `{"type":"ack","received":-1}`, `{"type":"ack","received":1.0}`,
		`{"type":"ack","received":1,"received":2}`, `{"type":"ack"} x`, `{"type":"ack",}`, `{"type":"ack""received":1}`,
		`{"type":"publishData","payload":}`, `{"type":"publishData","payload":{]}`, `{"type":"publishData","payload":"x}`,
		`{"type":"publishData","payload":null}`, `{"type":"publishData","payload":tru}`, `{"type":"publishData","payload":"a"b"}`,
		`{"type":"publishData","topic":"\u0041"}`, `{"type":"publishData","destinationSids":[]}`, `{"Type":"ack"}`, `{"id":1}`,
		`{"type":"ack","received":1234567890123456789}`, `{"type":"leave"}`, `{"type":"publishData","reliable":truefalse}`,
	} {
		var m Message
		if scan([]byte(text), &m) {
			t.Errorf("%s: accepted", text)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"type":"publishData","payload":{"a":[1,"\"}"]},"topic":"chat","reliable":false,"id":12}`))
	f.Add([]byte(`{"type":"ack","received":32}`))
	f.Add([]byte(`{"type":"join","token":"eyJ.x_-.y"}`))
	f.Fuzz(func(t *testing.T, text []byte) { agrees(t, text) })
}

func agrees(t *testing.T, text []byte) {
	t.Helper()
	var got, want Message
	if !scan(text, &got) {
		return
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatalf("%q: accepted, but %v", text, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q:\n got %+v\nwant %+v", text, got, want)
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, text := range map[string]string{
		"ack":  `{"type":"ack","received":32}`,
		"data": `{"type":"publishData","payload":"0123456789012345678901234567890123456789012345678901234567890123456789","topic":"chat"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var m Message
				if err := Decode([]byte(text), &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
