package daily_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"usher/auth"
	tokens "usher/auth/daily"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/web/daily"
)

// FuzzBodies sends any body to any call that takes one: it is done or refused, never
// a defect, and what is shown afterwards is JSON.
func FuzzBodies(f *testing.F) {
	targets := []string{"POST /", "POST /rooms", "POST /rooms/r", "POST /rooms/r/eject", "POST /rooms/r/update-permissions", "POST /rooms/r/send-app-message",
		"POST /rooms/r/set-session-data", "POST /batch/rooms", "DELETE /batch/rooms", "POST /meeting-tokens", "POST /meeting-tokens/revoke"}
	for i, body := range []string{
		`{"properties":{"permissions":{"canReceive":{"base":{"video":true},"byUserId":{"*":false}}}}}`,
		`{"name":"x","privacy":"private","properties":{"exp":4e9,"nbf":1,"eject_after_elapsed":5.5,"sip":{},"x":[1,{"y":null}]}}`,
		`{"properties":{"exp":null,"privacy":"public"}}`,
		`{"ids":["a"],"user_ids":["b"],"ban":true}`,
		`{"data":{"*":{"canSend":["video"],"canAdmin":true},"x":{"hasPresence":false}}}`,
		`{"data":{"x":1},"recipient":"*"}`,
		`{"data":{"x":"\u0000😀"},"mergeStrategy":"shallow-merge","keysToDelete":["y"]}`,
		`{"rooms":[{"name":"a"},{"properties":{"recordings_bucket":{}}}]}`,
		`{"room_names":["a"]}`,
		`{"properties":{"room_name":"r","user_id":"ada","permissions":{"canSend":false}}}`,
		`{"token":"a.b.c"}`,
	} {
		f.Add(i, []byte(body))
	}
	f.Add(1, []byte("{\"name\":\"\xff\"}"))
	f.Add(2, []byte(`{"properties":{"max_participants":1e400}}`))
	f.Add(3, []byte(`{"ids":null,"ids":[""]}`))
	kept := store.NewMemory()
	rooms, err := room.New(room.Config{Store: kept})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(rooms.Close)
	domains := tokens.NewDomains([]tokens.Domain{sessiontest.Domain()})
	keys, err := auth.NewKeys(domains.Keys(), nil)
	if err != nil {
		f.Fatal(err)
	}
	h, err := daily.New(daily.Config{Rooms: rooms, Verifier: auth.NewVerifier(keys, 0), Domains: domains, Store: kept, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	call := func(method, path string, body []byte) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/v1"+path, bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+apiKey)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	f.Fuzz(func(t *testing.T, which int, body []byte) {
		call("POST", "/rooms", []byte(`{"name":"r"}`))
		b := rooms.Batch()
		// Somebody has to be there, if the room lets anybody in by now.
		p, err := rooms.Join(b, room.Join{Grant: domains.Anyone("test", "r", "Ada"), Room: "r", Conn: nobody{}, Encoder: nobody{}})
		b.Flush()
		target := targets[(which%len(targets)+len(targets))%len(targets)]
		method, path, _ := strings.Cut(target, " ")
		w := call(method, path, body)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound:
		default:
			t.Fatalf("%s %q: got %d %s", target, body, w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: got %d %q", target, body, w.Code, w.Body)
		}
		for _, path := range []string{"/", "/rooms", "/rooms/r", "/presence", "/rooms/r/presence", "/rooms/r/get-session-data"} {
			if w := call("GET", path, nil); w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("GET %s after %s %q: got %d %q", path, target, body, w.Code, w.Body)
			}
		}
		if err == nil {
			b := rooms.Batch()
			_ = p.Leave(room.Call{Batch: b, Quiet: true})
			b.Flush()
		}
		b = rooms.Batch()
		_, _ = rooms.DeleteDaily(b, "test", "r")
		b.Flush()
	})
}
