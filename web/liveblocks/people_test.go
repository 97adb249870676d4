package liveblocks_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A user as the API shows it.
type user struct {
	Type         string
	ConnectionID *int
	ID           *string
	Info         map[string]any
}

func (s *site) active(room string) []user {
	s.T.Helper()
	var page struct{ Data []user }
	a := s.must("GET", "/rooms/"+room+"/active-users", "")
	if err := json.Unmarshal([]byte(a.Text), &page); err != nil {
		s.T.Fatal(err)
	}
	return page.Data
}

func TestActiveUsers(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:read"]}`)
	if got := s.active("r"); len(got) != 0 {
		t.Errorf("an empty room: got %+v", got)
	}
	ada, _ := s.enter("r", s.identify(`{"userId":"ada","userInfo":{"name":"Ada","color":"red","n":[1,{"a":null}]}}`))
	s.enter("r", s.identify(`{"userId":"ada","userInfo":{"name":"Ada"}}`)) // in another tab
	s.enter("r", s.identify(`{"userId":"plain"}`))
	s.Join(s.Token("r", "lk", func(c *livekit.Claims) { c.Name = "Kit"; c.Metadata = `{"team":"x"}` }))
	s.Join(s.Token("r", "text", func(c *livekit.Claims) { c.Metadata = `no JSON` }))
	s.Join(s.Token("r", "list", func(c *livekit.Claims) { c.Name = "L"; c.Metadata = `["x"]` }))
	s.Join(s.Token("r", "spy", func(c *livekit.Claims) { c.Video.Hidden = true }))

	type seen struct {
		id   string
		info map[string]any
	}
	want := []seen{
		{"ada", map[string]any{"name": "Ada", "color": "red", "n": []any{1.0, map[string]any{"a": nil}}}},
		{"ada", map[string]any{"name": "Ada"}},
		{"plain", map[string]any{}},
		{"lk", map[string]any{"name": "Kit", "team": "x"}},
		{"text", map[string]any{}},
		{"list", map[string]any{"name": "L"}},
	}
	var got []seen
	numbers := make(map[int]bool)
	for _, u := range s.active("r") {
		if u.Type != "user" || u.ConnectionID == nil || u.ID == nil {
			t.Fatalf("got %+v", u)
		}
		got = append(got, seen{*u.ID, u.Info})
		numbers[*u.ConnectionID] = true
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(numbers) != len(want) {
		t.Errorf("got the numbers %v, want one for each", numbers)
	}
	if one, other := s.must("GET", "/rooms/r/active_users", "").Text, s.must("GET", "/rooms/r/active-users", "").Text; one != other {
		t.Errorf("got %s and %s", one, other)
	}
	ada.Send(wire.Message{Type: "leave"})
	ada.Closed()
	if got := s.active("r"); len(got) != len(want)-1 {
		t.Errorf("got %d users, want %d", len(got), len(want)-1)
	}
}

func TestBroadcast(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:read"]}`)
	s.must("POST", "/rooms", `{"id":"empty","defaultAccesses":["*:read"]}`)
	ada, _ := s.enter("r", s.identify(`{"userId":"ada"}`))
	kit, _ := s.Join(s.Token("r", "kit"))
	for _, event := range []string{`{"type":"x","n":[1,2.50,{"a":null}]}`, `"text"`, `5`, `null`, `[]`, `{"html":"<b>&"}`, ` { "a" : 1 } `, `"ü😀"`} {
		if a := s.call("POST", "/rooms/r/broadcast-event", event); a.status != 204 || a.Text != "" {
			t.Errorf("%s: got %d %s, want 204", event, a.status, a.Text)
		}
		var want any
		if err := json.Unmarshal([]byte(event), &want); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*sessiontest.Client{ada, kit} {
			e := c.Expect("data")
			if got := e.Get("payload"); !reflect.DeepEqual(got, want) || e.Get("from") != nil || e.Get("reliable") != true {
				t.Errorf("%s: got %s", event, e.Text)
			}
		}
	}
	s.must("POST", "/rooms/empty/broadcast-event", `{}`)
	s.call("POST", "/rooms/nowhere/broadcast-event", `{}`).want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	s.call("POST", "/rooms/r/broadcast-event", ``).want(t, 400, "INVALID_JSON", "the request has no body; it has to be JSON")
	s.call("POST", "/rooms/r/broadcast-event", `x`).want(t, 400, "INVALID_JSON", "the request is not JSON: invalid character 'x' looking for beginning of value, at byte 1")
	limit := s.Rooms.Limits().DataBytes
	fits, exceeds := `"`+strings.Repeat("x", limit-2)+`"`, `"`+strings.Repeat("x", limit-1)+`"`
	s.must("POST", "/rooms/r/broadcast-event", fits)
	s.must("POST", "/rooms/r/broadcast-event", strings.Repeat(" ", 1000)+fits)
	for _, room := range []string{"r", "empty"} {
		s.call("POST", "/rooms/"+room+"/broadcast-event", exceeds).want(t, 422, "UNPROCESSABLE_ENTITY", fmt.Sprintf("payload exceeds the limit of %d bytes", limit))
	}
}

func TestPresence(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:read"]}`)
	ada, _ := s.enter("r", s.identify(`{"userId":"ada"}`))
	if a := s.call("POST", "/rooms/r/presence", `{"userId":"bot","data":{"status":"thinking","at":{"x":1}},"userInfo":{"name":"Bot","color":"red"},"ttl":3599}`); a.status != 204 || a.Text != "" {
		t.Fatalf("got %d %s, want 204", a.status, a.Text)
	}
	joined := ada.Expect("participantJoined")
	if joined.Str("participant.identity") != "bot" || joined.Str("participant.name") != "Bot" {
		t.Errorf("got %s", joined.Text)
	}
	users := s.active("r")
	if len(users) != 2 || *users[1].ID != "bot" || !reflect.DeepEqual(users[1].Info, map[string]any{"name": "Bot", "color": "red"}) {
		t.Errorf("got %+v", users)
	}
	// Again, the presence merges and nobody joins.
	s.must("POST", "/rooms/r/presence", `{"userId":"bot","data":{"status":"done"},"userInfo":{"name":"Bot","color":"red"},"ttl":2.5}`)
	e := ada.ExpectWhere("the presence merged", func(e sessiontest.Event) bool { return e.Type() == "presence" && e.Str("presence.status") == "done" })
	if e.Str("presence.at.x") != "1" {
		t.Errorf("got %s, want what was there before, too", e.Text)
	}
	if n := len(s.active("r")); n != 2 {
		t.Errorf("got %d users, want 2", n)
	}
	s.must("POST", "/rooms/r/presence", `{"userId":"other","data":{}}`)

	const ttl = "ttl is a number of seconds from 2 to 3599"
	for body, message := range map[string]string{
		`{"data":{}}`:                   "userId is missing",
		`{"userId":"","data":{}}`:       "userId is missing",
		`{"userId":"anon:x","data":{}}`: `userId may not begin with "anon:": that is how people without an id are called`,
		`{"userId":"` + strings.Repeat("x", 129) + `","data":{}}`: "userId exceeds the limit of 128 characters",
		`{"userId":"x"}`:                                                                "data is missing",
		`{"userId":"x","data":null}`:                                                    "data is missing",
		`{"userId":"x","data":[]}`:                                                      "data is not an object",
		`{"userId":"x","data":{},"ttl":1}`:                                              ttl,
		`{"userId":"x","data":{},"ttl":1.99}`:                                           ttl,
		`{"userId":"x","data":{},"ttl":3600}`:                                           ttl,
		`{"userId":"x","data":{},"ttl":-5}`:                                             ttl,
		`{"userId":"x","data":{},"ttl":"60"}`:                                           ttl,
		`{"userId":"x","data":{},"ttl":1e400}`:                                          ttl,
		`{"userId":"x","data":{},"userInfo":"x"}`:                                       "userInfo is not an object",
		`{"userId":"x","data":{},"userInfo":{"n":"` + strings.Repeat("x", 1017) + `"}}`: "userInfo exceeds the limit of 1024 characters",
		`{"userId":"x","data":{},"groupIds":[]}`:                                        `unknown field "groupIds"; there are userId, data, userInfo, ttl`,
		fmt.Sprintf(`{"userId":"x","data":{"k":%q}}`, strings.Repeat("x", s.Rooms.Limits().PresenceBytes)): fmt.Sprintf("presence exceeds the limit of %d bytes", s.Rooms.Limits().PresenceBytes),
	} {
		s.call("POST", "/rooms/r/presence", body).want(t, 422, "UNPROCESSABLE_ENTITY", message)
	}
	s.call("POST", "/rooms/nowhere/presence", `{"userId":"x","data":{}}`).want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	if n := len(s.active("r")); n != 3 {
		t.Errorf("got %d users, want 3", n)
	}
}

// When update-room has answered, what was taken away is gone: whoever lost access
// is out, and nothing that he sent arrives any more.
func TestUpdateIsInForceWhenItAnswers(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:read"],"usersAccesses":{"ada":["*:write"]}}`)
	ada, _ := s.enter("r", s.identify(`{"userId":"ada"}`))
	for round := range 10 {
		s.must("POST", "/rooms/r", `{"defaultAccesses":[],"groupsAccesses":{"eng":["*:read"]}}`)
		bob, _ := s.enter("r", s.identify(`{"userId":"bob","groupIds":["eng"]}`))
		var late, stop atomic.Bool
		done := make(chan struct{})
		go func() { // ends with bob's connection
			defer close(done)
			for !stop.Load() {
				text := fmt.Sprintf(`{"type":"publishData","reliable":false,"payload":{"round":%d,"late":%v}}`, round, late.Load())
				if bob.WS.Write(t.Context(), 1, []byte(text)) != nil {
					return
				}
			}
		}()
		ada.ExpectWhere("data of the round", func(e sessiontest.Event) bool { return e.Str("payload.round") == fmt.Sprint(round) })
		s.must("POST", "/rooms/r", `{"groupsAccesses":{"eng":null}}`)
		late.Store(true)
		if users := s.active("r"); len(users) != 1 {
			t.Fatalf("after the answer there are %d in the room, want ada alone", len(users))
		}
		bob.Closed()
		stop.Store(true)
		<-done
		if code := s.refused("r", s.identify(`{"userId":"bob","groupIds":["eng"]}`)); code == 0 {
			t.Fatal("bob got in again")
		}
	}
	ada.Sync()
	for _, e := range ada.Seen() {
		if e.Get("payload.late") == true {
			t.Fatalf("what was sent after the answer arrived: %s", e.Text)
		}
	}
}

func TestStorage(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:read"]}`)
	for query, want := range map[string]string{"": `{"liveblocksType":"LiveObject","data":{}}`, "?format=plain-lson": `{"liveblocksType":"LiveObject","data":{}}`, "?format=json": `{}`} {
		if a := s.call("GET", "/rooms/r/storage"+query, ""); a.status != 200 || a.Text != want {
			t.Errorf("%s: got %d %s, want %s", query, a.status, a.Text, want)
		}
	}
	s.call("GET", "/rooms/r/storage?format=xml", "").want(t, 422, "UNPROCESSABLE_ENTITY", "format is plain-lson or json")
}
