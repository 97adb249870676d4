package liveblocks_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
)

// Whatever a client sends is handled or ends with a code of the dialect; others
// only get what is JSON, and the server stays whole.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		`ping`, `[]`, `[{"type":100,"data":{"a":1}}]`, `[{"type":100,"targetActor":-1,"data":{"\u0061":"\ud800","b":[{},[]," "]}}]`,
		`[{"type":103,"event":null},{"type":103,"event":-1.5e-7}]`, `[{"type":200},{"type":300,"guid":"x"},{"type":301,"update":""}]`,
		`[{"type":201,"ops":[{"opId":"1:1"},7]}]`, `[{"type":517,"requestId":"\""}]`, `{"type":100}`, `[{"type":100,"type":103,"event":{"a":[1,2,{"b":"]"}]}}]`, "[\"\xff\"]",
		` [ { "type" : 100 , "data" : { } } ] `, `[[[[`, `[{"type":1e2}]`,
	} {
		f.Add([]byte(seed))
	}
	s := sessiontest.Serve(f, sessiontest.Options{
		Room:    func(c *room.Config) { c.Metrics = prometheus.NewRegistry() },
		Session: func(c *session.Config) { c.MessageBytes = 64 << 10 },
	})
	token := s.AccessToken("fuzz", "*", "*:write")
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := s.For(t)
		other := s.RawLiveblocks("fuzz", token)
		r := s.RawLiveblocks("fuzz", token)
		r.Send(sessiontest.MaskedFrame(0x81, frame))
		r.Send(sessiontest.MaskedFrame(0x81, []byte(`[{"type":103,"event":"the end"}]`)))
		r.Send(sessiontest.MaskedFrame(0x88, nil))
		code, reason := r.Closed()
		if code != 4000 && code != 1000 && code != 1005 && code != 1006 {
			t.Errorf("got %d %q", code, reason)
		}
		if !utf8.ValidString(reason) {
			t.Errorf("the reason %q is not text", reason)
		}
		other.Send(sessiontest.MaskedFrame(0x81, []byte("ping")))
		for {
			first, payload, err := other.Next()
			if err != nil || first != 0x81 {
				t.Fatalf("the other got %x %q, %v", first, payload, err)
			}
			if string(payload) == "pong" {
				return
			}
			if !json.Valid(payload) {
				t.Fatalf("the other got %q", payload)
			}
		}
	})
}
