package usher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tokens "usher/auth/livekit"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// With why somebody may what they may come the revocations that keep them out.
func TestExplainRevocations(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "ada"))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	var ids []string
	for _, body := range []string{`"room":"lobby","identity":"bob","reason":"spam"`, `"identity":"bob"`, `"room":"lobby"`,
		`"room":"hall","identity":"bob"`, `"room":"hall"`, `"identity":"eve"`, `"tokenId":"bob"`, `"keyId":"bob"`} {
		if strings.Contains(body, "tokenId") || body == `"room":"lobby"` {
			body += `,"until":1` // nobody is put out
		} else {
			body += fmt.Sprintf(`,"until":%d`, until.Unix())
		}
		made := s.call("POST", "/revocations", s.project(), "{"+body+"}")
		made.want(t, 201, "")
		ids = append(ids, made.Str("id"))
	}
	told := func(identity string) []any {
		t.Helper()
		a := s.call("GET", "/rooms/lobby/participants/"+identity+"/permissions", s.admin("lobby"), "")
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.Text)
		}
		return a.Get("revocations").([]any)
	}
	list := told("bob") // who is not there, and nothing was stated about
	if len(list) != 3 {
		t.Fatalf("got %v", list)
	}
	for i, want := range []string{ids[2], ids[1], ids[0]} {
		if got := list[i].(map[string]any)["id"]; got != want {
			t.Errorf("%d: got %v, want %s", i, got, want)
		}
	}
	last := list[2].(map[string]any)
	if last["until"] != until.Format(time.RFC3339) || last["reason"] != "spam" || last["by"] != sessiontest.Key || last["room"] != "lobby" || last["identity"] != "bob" {
		t.Errorf("got %v", last)
	}
	if list := told("ada"); len(list) != 1 {
		t.Errorf("of somebody inside: got %v, want the room's", list)
	}
	s.call("DELETE", "/revocations/"+ids[2], s.project(), "").want(t, 200, "")
	if list := told("ada"); len(list) != 0 {
		t.Errorf("got %v", list)
	}
	s.call("GET", "/rooms/lobby/participants/nobody/permissions", s.admin("lobby"), "").want(t, 404, "not_found")
}

// Every kind of revocation ends sessions, keeps tokens out, survives a restart
// on the same store, and can be lifted.
func TestRevocations(t *testing.T) {
	kept := store.NewMemory()
	onStore := func(c *room.Config) { c.Store = kept }
	s := serve(t, onStore)
	for _, tt := range []struct {
		name, body string
		out        []string // of the people below
	}{
		{"identity in a room", `{"room":"red","identity":"ada","reason":"spam"}`, []string{"red ada"}},
		{"identity", `{"identity":"ada"}`, []string{"red ada", "blue ada"}},
		{"room", `{"room":"red"}`, []string{"red ada", "red bob"}},
		{"token", `{"tokenId":"red-bob","expires":4102444800}`, []string{"red bob"}},
		{"key", `{"keyId":"testkey"}`, []string{"red ada", "red bob", "blue ada", "blue bob"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &site{s.For(t)}
			project := s.project()
			people := map[string]*sessiontest.Client{}
			token := map[string][]string{}
			for _, room := range []string{"red", "blue"} {
				for _, identity := range []string{"ada", "bob"} {
					name := room + " " + identity
					first := s.Token(room, identity, func(c *tokens.Claims) { c.TokenID = room + "-" + identity })
					c, _ := s.Join(first)
					people[name] = c
					token[name] = []string{first, c.Expect("refreshToken").Str("token")}
				}
			}
			made := s.call("POST", "/revocations", project, tt.body)
			made.want(t, 201, "")
			isOut := func(name string) bool {
				for _, n := range tt.out {
					if n == name {
						return true
					}
				}
				return false
			}
			check := func(s *site, when string) {
				t.Helper()
				for name, list := range token {
					for i, text := range list {
						c := s.Dial(nil)
						got := c.Refused(wire.Message{Type: "join", Token: text})
						want := wire.CloseCode(0)
						if isOut(name) {
							want = wire.TokenRevoked
						}
						if got != want {
							t.Errorf("%s: token %d of %s: got %d, want %d", when, i, name, got, want)
						}
						_ = c.WS.CloseNow()
					}
				}
			}
			for name, c := range people {
				if isOut(name) {
					c.ExpectClose(wire.TokenRevoked)
				} else {
					c.Sync()
				}
			}
			check(s, "at once")
			again := serve(t, onStore)
			check(again, "after a restart")
			list := again.call("GET", "/revocations", again.fresh(), "")
			list.want(t, 200, "")
			if n := len(list.Get("revocations").([]any)); n != 1 {
				t.Errorf("%d revocations are listed: %s", n, list.Text)
			}
			again.call("DELETE", "/revocations/"+made.Str("id"), again.fresh(), "").want(t, 200, "")
			for name := range token {
				if isOut(name) {
					again.Join(token[name][0])
				}
			}
			if _, err := s.Rooms.Lift("test", made.Str("id")); err != nil { // it is the other server's memory
				t.Error(err)
			}
		})
	}
}

// fresh is a project's token issued later than any revocation of its key.
func (s *site) fresh() string {
	s.T.Helper()
	token, err := tokens.Mint(sessiontest.Key, []byte(sessiontest.Secret), tokens.Claims{Video: &tokens.VideoGrant{RoomAdmin: true}}, time.Hour, time.Now().Add(5*time.Second))
	if err != nil {
		s.T.Fatal(err)
	}
	return token
}

func TestBadRevocations(t *testing.T) {
	s := serve(t)
	for body, code := range map[string]string{
		`{}`:                                     "invalid_request",
		`{"room":"r","tokenId":"t"}`:             "invalid_request",
		`{"keyId":"k","tokenId":"t"}`:            "invalid_request",
		`{"identity":"x","until":99999999999}`:   "invalid_request", // milliseconds, perhaps
		`{"identity":"x","until":-1}`:            "invalid_request",
		`{"identity":"x","expires":99999999999}`: "invalid_request",
		`{"identity":"x","reason":"` + strings.Repeat("x", 600) + `"}`: "invalid_request",
		`{"identity":"x","wat":1}`:                                     "invalid_request",
	} {
		s.call("POST", "/revocations", s.project(), body).want(t, 400, code)
	}
	if a := s.call("GET", "/revocations", s.project(), ""); len(a.Get("revocations").([]any)) != 0 {
		t.Errorf("got %s", a.Text)
	}
	s.call("GET", "/revocations?limit=0", s.project(), "").want(t, 400, "invalid_request")
	for i := range 5 {
		s.call("POST", "/revocations", s.project(), fmt.Sprintf(`{"identity":"i%d"}`, i)).want(t, 201, "")
	}
	seen := map[string]bool{}
	for after, pages := "", 0; ; pages++ {
		a := s.call("GET", "/revocations?limit=2&after="+after, s.project(), "")
		for _, r := range a.Get("revocations").([]any) {
			seen[r.(map[string]any)["identity"].(string)] = true
		}
		if after = a.Str("next"); after == "" {
			if pages != 2 || len(seen) != 5 {
				t.Errorf("%d pages showed %v", pages+1, seen)
			}
			break
		}
	}
}
