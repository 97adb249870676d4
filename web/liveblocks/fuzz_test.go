package liveblocks_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"usher/auth"
	tokens "usher/auth/liveblocks"
	"usher/room"
	"usher/web/liveblocks"
)

// Whatever the holder of a key sends to whatever address, the answer is not the
// server's fault, and an error says what is wrong. Nothing is left that the API
// itself could not show.
func FuzzRequests(f *testing.F) {
	for _, c := range calls {
		parts := append(strings.SplitN(c.call, " ", 3), "")
		f.Add(parts[0], "/v2"+parts[1], parts[2])
	}
	f.Add("POST", "/v2/rooms/%2F..%2F", `{"usersAccesses":{"":["*:read"]},"metadata":{"":["\ud800"]}}`)
	f.Add("POST", "/v2/rooms/r/upsert", `{"update":{"metadata":{"a":null}},"create":null}`)
	format := tokens.New(tokens.Config{})
	f.Fuzz(func(t *testing.T, method, address, body string) {
		u, err := url.ParseRequestURI(address)
		if err != nil || u.Host != "" || !strings.HasPrefix(u.EscapedPath(), "/v2/") {
			return
		}
		rooms, err := room.New(room.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer rooms.Close()
		key := tokens.NewKey(format, "test", signingSecrets["test"])
		h := liveblocks.New(liveblocks.Config{Rooms: rooms, Door: tokens.NewDoor([]tokens.DoorEntry{
			{Project: "test", Secret: auth.Secret(secretKey), Key: key, Format: format}})})
		ask := func(method string, u *url.URL, body string) *httptest.ResponseRecorder {
			r := &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {"Bearer " + secretKey}},
				Body: http.NoBody, ContentLength: int64(len(body))}
			if body != "" {
				r.Body = io.NopCloser(strings.NewReader(body))
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(t.Context()))
			return w
		}
		ask("POST", &url.URL{Path: "/v2/rooms"}, `{"id":"r","defaultAccesses":["*:read"]}`)
		w := ask(method, u, body)
		var answer struct{ Error, Message string }
		switch {
		case w.Code >= 500:
			t.Errorf("got %d %s", w.Code, w.Body)
		case w.Code >= 400:
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Error == "" || answer.Message == "" {
				t.Errorf("got %d %q, want an error with a message", w.Code, w.Body)
			}
		case w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()):
			t.Errorf("got %d %q, want JSON", w.Code, w.Body)
		}
		if list := ask("GET", &url.URL{Path: "/v2/rooms"}, ""); list.Code != 200 || !json.Valid(list.Body.Bytes()) {
			t.Errorf("the list then: %d %q", list.Code, list.Body)
		}
	})
}
