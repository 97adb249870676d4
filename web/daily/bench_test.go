package daily_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"usher/room"
)

// BenchmarkAPI is what calls cost without a socket, in a domain with ten thousand
// rooms, a thousand revocations, and a thousand people in one room.
func BenchmarkAPI(b *testing.B) {
	call, rooms, domains := bare(b, nil)
	for range 10 {
		if w := call(apiKey, "POST", "/batch/rooms", batchOf(1000)); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
	call(apiKey, "POST", "/rooms", `{"name":"r","properties":{"enable_knocking":true}}`)
	batch := rooms.Batch()
	for i := range 1000 {
		if _, err := rooms.Join(batch, room.Join{Grant: domains.Anyone("test", "r", "Ada"), Room: "r", Conn: nobody{}, Encoder: nobody{}}); err != nil {
			b.Fatal(err)
		}
		if _, err := rooms.Revoke(batch, room.Revocation{Project: "test", Room: "q", Identity: fmt.Sprint(i)}); err != nil {
			b.Fatal(err)
		}
		batch.Flush()
	}
	var token string
	if _, err := fmt.Sscanf(call(apiKey, "POST", "/meeting-tokens", `{"properties":{"room_name":"r","user_id":"ada"}}`).Body.String(), `{"token":%q}`, &token); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, method, path, body string }{
		{"create-token", "POST", "/meeting-tokens", `{"properties":{"room_name":"r","user_id":"ada","exp":4000000000}}`},
		{"show-token", "GET", "/meeting-tokens/" + token, ""},
		{"create-room", "POST", "/rooms", `{"properties":{"exp":4000000000}}`},
		{"show-room", "GET", "/rooms/r", ""},
		{"list-rooms", "GET", "/rooms", ""},
		{"presence-1000", "GET", "/rooms/r/presence", ""},
		{"message-1000", "POST", "/rooms/r/send-app-message", `{"data":{"x":1}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var w *httptest.ResponseRecorder
			for b.Loop() {
				w = call(apiKey, c.method, c.path, c.body)
			}
			if w.Code != 200 {
				b.Fatal(w.Body)
			}
		})
	}
}

func batchOf(n int) string {
	body := []byte(`{"rooms":[{}`)
	for range n - 1 {
		body = append(body, `,{}`...)
	}
	return string(append(body, "]}"...))
}
