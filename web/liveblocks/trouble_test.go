package liveblocks_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"usher/auth"
	tokens "usher/auth/liveblocks"
	"usher/room"
	"usher/room/store"
	"usher/web/liveblocks"
)

// When nothing can be written, the answer says so; what a call takes away is in
// force all the same.
func TestUnavailable(t *testing.T) {
	kept := store.NewMemory()
	s := serve(t, func(c *room.Config) { c.Store = kept })
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:read"]}`)
	token := s.identify(`{"userId":"ada"}`)
	ada, _ := s.enter("r", token)
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	const text = "durable state cannot be written; what the call takes away is in force"
	s.call("POST", "/rooms", `{"id":"new","defaultAccesses":[]}`).want(t, 503, "UNAVAILABLE", text)
	s.call("GET", "/rooms/new", "").want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	s.call("POST", "/rooms/r", `{"usersAccesses":{"bob":["*:write"]}}`).want(t, 503, "UNAVAILABLE", text)
	if a := s.call("GET", "/rooms/r", ""); a.Get("usersAccesses.bob") != nil {
		t.Errorf("what could not be written shows: %s", a.Text)
	}
	s.call("POST", "/rooms/r", `{"defaultAccesses":[]}`).want(t, 503, "UNAVAILABLE", text)
	ada.Closed()
	if code := s.refused("r", token); code == 0 {
		t.Error("ada got in again")
	}
	if !strings.Contains(s.log.String(), "durable state cannot be written") {
		t.Error("the log does not tell")
	}
}

func TestStopping(t *testing.T) {
	s := serve(t)
	s.Rooms.Stop()
	s.call("POST", "/rooms", `{"id":"r","defaultAccesses":[]}`).want(t, 503, "UNAVAILABLE", "the server is stopping")
}

// Large bodies wait for no room in memory; small ones always get through.
func TestBusy(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":[]}`)
	large := strings.Repeat(" ", 65<<10) + `{"metadata":{"n":"1"}}`
	release := liveblocks.Hold(s.api)
	a := s.call("POST", "/rooms/r", large)
	a.want(t, 503, "UNAVAILABLE", "too many large requests at once")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("got %v, want Retry-After", a.header)
	}
	s.must("POST", "/rooms/r", `{"metadata":{"n":"2"}}`)
	release()
	if got := s.must("POST", "/rooms/r", large).Str("metadata.n"); got != "1" {
		t.Errorf("got %q, want 1", got)
	}
}

// What a large body takes is taken until its call has been done.
func TestLargeBodiesAreHeldForTheirCalls(t *testing.T) {
	s := serve(t)
	var held []bool
	var h http.Handler
	log := slog.New(slog.NewTextHandler(writer(func([]byte) { held = append(held, liveblocks.Held(h)) }), nil))
	h = liveblocks.New(liveblocks.Config{Rooms: s.Rooms, Door: s.door, Log: log})
	for i, size := range []int{0, 65 << 10} {
		r := httptest.NewRequest("POST", "/v2/rooms", strings.NewReader(strings.Repeat(" ", size)+fmt.Sprintf(`{"id":"r%d","defaultAccesses":[]}`, i)))
		r.Header.Set("Authorization", "Bearer "+secretKey)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || liveblocks.Held(h) {
			t.Errorf("got %d %s, and still held: %v", w.Code, w.Body, liveblocks.Held(h))
		}
	}
	if !slices.Equal(held, []bool{false, true}) { // when the room was made
		t.Errorf("got %v, want what is large to be held while its room is made", held)
	}
}

type writer func([]byte)

func (f writer) Write(b []byte) (int, error) { f(b); return len(b), nil }

// A reload may take a project's section away while a call is under way.
func TestReloadDuringACall(t *testing.T) {
	s := serve(t)
	token := s.identify(`{"userId":"ada"}`)
	entry := tokens.DoorEntry{Project: "test", Secret: auth.Secret(secretKey), Key: s.door.Key("test"), Format: s.format}
	for path, body := range map[string]string{"identify-user": `{"userId":"ada"}`, "authorize-user": `{"userId":"ada","permissions":{}}`} {
		s.door.Set([]tokens.DoorEntry{entry})
		r := httptest.NewRequest("POST", "/v2/"+path, &before{Reader: strings.NewReader(body), do: func() { s.door.Set(nil) }})
		r.ContentLength = int64(len(body))
		r.Header.Set("Authorization", "Bearer "+secretKey)
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code != 403 || !strings.Contains(w.Body.String(), "INVALID_SECRET_KEY") {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
	// Between the making of a token and the look at it.
	if code := liveblocks.Joinable(s.api, "test", token); code != "INVALID_SECRET_KEY" {
		t.Errorf("got %q, want INVALID_SECRET_KEY", code)
	}
	s.door.Set([]tokens.DoorEntry{entry})
	if code := liveblocks.Joinable(s.api, "test", token); code != "" {
		t.Errorf("got %q, want none", code)
	}
}

// before does something before it is read.
type before struct {
	io.Reader
	do func()
}

func (b *before) Read(p []byte) (int, error) {
	b.do()
	return b.Reader.Read(p)
}

// Of many that make one room, one has made it; with ?idempotent and upsert all
// have what they want.
func TestManyAtOnce(t *testing.T) {
	s := serve(t)
	const n = 16
	answers := make([]answer, 3*n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			answers[i] = s.call("POST", "/rooms", fmt.Sprintf(`{"id":"a","defaultAccesses":[],"metadata":{"by":"%d"}}`, i))
		})
		wg.Go(func() {
			answers[n+i] = s.call("POST", "/rooms?idempotent", fmt.Sprintf(`{"id":"b","defaultAccesses":[],"metadata":{"by":"%d"}}`, i))
		})
		wg.Go(func() {
			answers[2*n+i] = s.call("POST", "/rooms/c/upsert", fmt.Sprintf(`{"update":{"metadata":{"%d":"x"}},"create":{"defaultAccesses":[]}}`, i))
		})
	}
	wg.Wait()
	made := 0
	for _, a := range answers[:n] {
		switch a.status {
		case 200:
			made++
		case 409:
		default:
			t.Errorf("got %d %s", a.status, a.Text)
		}
	}
	if made != 1 {
		t.Errorf("%d calls made the room, want 1", made)
	}
	for _, a := range answers[n : 2*n] {
		if a.status != 200 || a.Str("metadata.by") != answers[n].Str("metadata.by") {
			t.Errorf("idempotent: got %d %s, want what %s has", a.status, a.Text, answers[n].Text)
		}
	}
	for _, a := range answers[2*n:] {
		if a.status != 200 {
			t.Errorf("upsert: got %d %s", a.status, a.Text)
		}
	}
	if got, _ := s.must("GET", "/rooms/c", "").Get("metadata").(map[string]any); len(got) != n {
		t.Errorf("got %v, want what all %d have said", got, n)
	}
}

// What was answered is there after a restart.
func TestRestart(t *testing.T) {
	kept := store.NewMemory()
	var want string
	t.Run("before", func(t *testing.T) {
		s := serve(t, func(c *room.Config) { c.Store = kept })
		s.must("POST", "/rooms", `{"id":"acme:doc/1","defaultAccesses":["*:read"],"metadata":{"n":"1","list":["a"]},"organizationId":"acme"}`)
		s.must("POST", "/rooms", `{"id":"gone","defaultAccesses":[]}`)
		s.must("POST", "/rooms", `{"id":"before","defaultAccesses":[]}`)
		s.must("DELETE", "/rooms/gone", "")
		s.must("POST", "/rooms/before/update-room-id", `{"newRoomId":"after"}`)
		s.must("POST", "/rooms/acme%3Adoc%2F1", `{"usersAccesses":{"bob":["*:write"],"eve":[]},"metadata":{"n":"2"}}`)
		want = s.must("GET", "/rooms", "").Text
	})
	s := serve(t, func(c *room.Config) { c.Store = kept })
	if got := s.must("GET", "/rooms", "").Text; got != want || !strings.Contains(got, `"id":"after"`) {
		t.Errorf("got %s, want %s", got, want)
	}
	if token := s.identify(`{"userId":"bob","organizationId":"acme"}`); s.refused("acme:doc/1", token) != 0 {
		t.Error("bob is refused")
	}
}
