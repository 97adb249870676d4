package usher_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/usher"
	"usher/web/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a server with sessions and usher's own API.
type site struct{ *sessiontest.Server }

func serve(t *testing.T, change ...func(*room.Config)) *site {
	t.Helper()
	return &site{sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) {
			for _, f := range change {
				f(c)
			}
		},
		Handler: func(s *sessiontest.Server, sessions http.Handler) http.Handler {
			public, _ := web.New(web.Config{Session: sessions, API: usher.New(usher.Config{Rooms: s.Rooms, Verifier: s.Verifier,
				SecretKey: s.Door.Secret, PublicKey: s.Door.Public}), Metrics: prometheus.NewRegistry()})
			return public
		},
	})}
}

func (s *site) grant(v tokens.VideoGrant) string {
	s.T.Helper()
	return s.Token("", "", func(c *tokens.Claims) { c.Video = &v })
}

// project is the project's own token, admin one of a room.
func (s *site) project() string { return s.grant(tokens.VideoGrant{RoomAdmin: true}) }
func (s *site) admin(room string) string {
	return s.grant(tokens.VideoGrant{RoomAdmin: true, Room: room})
}

type answer struct {
	sessiontest.Event
	status int
}

func (s *site) call(method, path, token, body string) answer {
	s.T.Helper()
	req, err := http.NewRequestWithContext(s.T.Context(), method, s.HTTP.URL+"/usher/v1"+path, strings.NewReader(body))
	if err != nil {
		s.T.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.HTTP.Client().Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	a := answer{sessiontest.Event{Text: string(text)}, res.StatusCode}
	if err := json.Unmarshal(text, &a.Fields); err != nil {
		s.T.Fatalf("%s %s: %q: %v", method, path, text, err)
	}
	return a
}

func (a answer) want(t *testing.T, status int, code string) {
	t.Helper()
	if a.status != status || a.Str("code") != code {
		t.Errorf("got %d %s, want %d %s", a.status, a.Text, status, code)
	}
}

// Who may call what, whatever else is wrong with the request.
func TestGrants(t *testing.T) {
	s := serve(t)
	_, joined := s.Join(s.Token("lobby", "bob"))
	bob, _ := s.Join(s.Token("lobby", "mod", func(c *tokens.Claims) { c.Video.RoomAdmin = true }))
	refreshed := bob.Expect("refreshToken").Str("token")
	_ = joined
	made := s.call("POST", "/revocations", s.project(), `{"identity":"nobody"}`)
	made.want(t, 201, "")
	calls := map[string]struct{ method, path, body string }{
		"change":          {"PATCH", "/rooms/lobby/participants/bob", `{}`},
		"explain":         {"GET", "/rooms/lobby/participants/bob/permissions", ""},
		"revoke in room":  {"POST", "/revocations", `{"room":"lobby","identity":"x"}`},
		"list of room":    {"GET", "/revocations?room=lobby", ""},
		"revoke identity": {"POST", "/revocations", `{"identity":"x"}`},
		"revoke token":    {"POST", "/revocations", `{"tokenId":"x"}`},
		"revoke key":      {"POST", "/revocations", `{"keyId":"x"}`},
		"list":            {"GET", "/revocations", ""},
		"lift":            {"DELETE", "/revocations/" + made.Str("id"), ""},
		"rooms":           {"GET", "/rooms", ""},
		"participants":    {"GET", "/rooms/lobby/participants", ""},
		"webhooks":        {"GET", "/webhooks", ""},
		"explain a token": {"POST", "/tokens/explain", `{"token":"x"}`},
	}
	ofRoom := map[string]bool{"change": true, "explain": true, "revoke in room": true, "list of room": true, "participants": true}
	for name, token := range map[string]string{
		"none":                                "",
		"participant":                         s.Token("lobby", "eve"),
		"admin of another room":               s.admin("other"),
		"admin of the room":                   s.admin("lobby"),
		"a moderator's refreshed":             refreshed,
		"joins, and administers without room": s.grant(tokens.VideoGrant{RoomAdmin: true, RoomJoin: true}),
		"creates and lists":                   s.grant(tokens.VideoGrant{RoomCreate: true, RoomList: true}),
		"broken":                              "x.y.z",
		"project":                             s.project(),
		"secret key":                          sessiontest.LiveblocksSecret,
		"another secret key":                  "sk_other",
		"public key":                          sessiontest.LiveblocksPublic,
		"an ID token":                         s.IDToken("eve", "staff"),
		"an access token":                     s.AccessToken("eve", "lobby", "room:write"),
	} {
		for call, c := range calls {
			if call == "lift" && (name == "project" || name == "secret key") {
				continue // last
			}
			a := s.call(c.method, c.path, token, c.body)
			allowed := name == "project" || name == "secret key" || ofRoom[call] && (name == "admin of the room" || name == "a moderator's refreshed")
			switch {
			case allowed && a.status >= 400:
				t.Errorf("%s with %s: got %d %s", call, name, a.status, a.Text)
			case !allowed && (name == "none" || name == "broken" || strings.HasSuffix(name, "key")):
				a.want(t, 401, "unauthenticated")
			case !allowed && name != "joins, and administers without room":
				a.want(t, 403, "permission_denied")
			case !allowed && a.status != 401 && a.status != 403: // such a token names no identity and may be refused as a whole
				t.Errorf("%s with %s: got %d %s", call, name, a.status, a.Text)
			}
		}
	}
	s.call("DELETE", "/revocations/"+made.Str("id"), sessiontest.LiveblocksSecret, "").want(t, 200, "")
	s.call("DELETE", "/revocations/"+made.Str("id"), s.project(), "").want(t, 404, "not_found")
	s.call("GET", "/nothing", s.project(), "").want(t, 404, "not_found")
}

// Only what is named changes; null clears. The session feels it at once, in one
// event and one token.
func TestChange(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob", func(c *tokens.Claims) {
		c.Name, c.Metadata, c.Attributes = "Bob", "m", map[string]string{"a": "1", "b": "2"}
	}))
	bob.Expect("refreshToken")
	patch := func(body string) answer {
		t.Helper()
		a := s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), body)
		if a.status != 200 {
			t.Fatalf("%s: got %d %s", body, a.status, a.Text)
		}
		return a
	}
	told := func() (events, refreshed int) {
		bob.Sync()
		for _, e := range bob.Seen() {
			switch e.Type() {
			case "participantUpdated":
				events++
			case "refreshToken":
				refreshed++
			}
		}
		return events, refreshed
	}
	a := patch(`{"name":null,"metadata":"n","attributes":{"a":null,"c":"3"},"permission":{"canPublish":false,"canUpdateMetadata":true}}`)
	for path, want := range map[string]string{"name": "", "metadata": "n", "attributes.a": "", "attributes.b": "2", "attributes.c": "3",
		"permissions.canPublish": "false", "permissions.canPublishData": "true", "permissions.canSubscribe": "true", "permissions.canUpdateOwnMetadata": "true"} {
		if got := a.Str(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if events, refreshed := told(); events != 1 || refreshed != 2 {
		t.Errorf("%d events and %d tokens, want 1 and one more than the first", events, refreshed)
	}
	if e := bob.Ask(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}); e.Str("code") != "not_allowed" || e.Str("layer") != "live" {
		t.Errorf("got %s", e.Text)
	}
	a = patch(`{"permission":{"canPublishSources":["microphone"]}}`)
	if got := fmt.Sprint(a.Get("permissions.canPublishSources")); got != "[microphone]" || a.Get("permissions.canUpdateOwnMetadata") != true {
		t.Errorf("got %s", a.Text)
	}
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	a = patch(`{}`)
	if events, refreshed := told(); events != 2 || refreshed != 3 || a.Str("metadata") != "n" {
		t.Errorf("nothing was named: %d events, %d tokens, %s", events, refreshed, a.Text)
	}
	patch(`{"metadata":null,"attributes":{}}`)

	for body, code := range map[string]string{
		`{"nane":"x"}`:                                    "invalid_request",
		`{"permission":{"canPublsh":true}}`:               "invalid_request",
		`{"permission":{"canPublishSources":["webcam"]}}`: "invalid_request",
		`{"permission":{"recorder":true}}`:                "invalid_request",
		`{"name":7}`:                                      "invalid_request",
		`[]`:                                              "invalid_request",
		``:                                                "invalid_request",
		`{} {}`:                                           "invalid_request",
		`{"name":"` + strings.Repeat("x", 257) + `"}`:                "limit_exceeded",
		`{"metadata":"` + strings.Repeat("x", 513<<10) + `"}`:        "limit_exceeded",
		`{"attributes":{"k":"` + strings.Repeat("x", 65<<10) + `"}}`: "limit_exceeded",
	} {
		s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), body).want(t, 400, code)
	}
	s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), `{"metadata":"`+strings.Repeat("x", 9<<20)+`"}`).want(t, 413, "limit_exceeded")
	s.call("PATCH", "/rooms/lobby/participants/nobody", s.admin("lobby"), `{}`).want(t, 404, "not_found")
	s.call("PATCH", "/rooms/empty/participants/bob", s.admin("empty"), `{}`).want(t, 404, "not_found")
	if events, _ := told(); events != 3 {
		t.Errorf("what was refused was told: %d events", events)
	}

	// Names in addresses may hold anything.
	odd := "a/b c?d#e%2Fñ"
	eve, _ := s.Join(s.Token(odd, odd))
	at := "/rooms/" + url.PathEscape(odd) + "/participants/" + url.PathEscape(odd)
	s.call("PATCH", at, s.admin(odd), `{"name":"found"}`).want(t, 200, "")
	if e := eve.Expect("participantUpdated"); e.Str("participant.name") != "found" {
		t.Errorf("got %s", e.Text)
	}
}

// Each right: yes or no, who decided, what every layer said, and when.
func TestExplain(t *testing.T) {
	s := serve(t)
	bob, joined := s.Join(s.Token("lobby", "bob"))
	path := "/rooms/lobby/participants/bob/permissions"
	explain := func() (answer, map[string]map[string]any) {
		t.Helper()
		a := s.call("GET", path, s.admin("lobby"), "")
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.Text)
		}
		rights := map[string]map[string]any{}
		for _, r := range a.Get("permissions").([]any) {
			r := r.(map[string]any)
			rights[r["right"].(string)] = r
		}
		return a, rights
	}
	a, rights := explain()
	if a.Str("sid") != joined.Str("session") || a.Get("connected") != true || len(rights) != bits.OnesCount64(uint64(auth.AllRights)) {
		t.Errorf("got %s", a.Text)
	}
	if r := rights["sendCamera"]; r["allowed"] != true || r["decidedBy"] != "token" || len(r["said"].([]any)) != 1 {
		t.Errorf("sendCamera: %v", r)
	}
	before := time.Now()
	s.call("PATCH", "/rooms/lobby/participants/bob", s.admin("lobby"), `{"permission":{"canPublish":false}}`).want(t, 200, "")
	s.call("PATCH", "/rooms/lobby/participants/bob", s.project(), `{"permission":{"canUpdateMetadata":true}}`).want(t, 200, "")
	_, rights = explain()
	said := rights["sendCamera"]["said"].([]any)
	if r := rights["sendCamera"]; r["allowed"] != false || r["decidedBy"] != "live" || len(said) != 2 {
		t.Fatalf("sendCamera: %v", r)
	}
	last := said[1].(map[string]any)
	at, err := time.Parse(time.RFC3339Nano, last["at"].(string))
	if err != nil || at.Before(before.Add(-time.Second)) || at.After(time.Now()) || last["says"] != "deny" || last["by"] != sessiontest.Key {
		t.Errorf("the live layer: %v", last)
	}
	if r := rights["updateOwnMetadata"]; r["allowed"] != true || r["decidedBy"] != "live" {
		t.Errorf("updateOwnMetadata: %v", r)
	}
	if r := rights["sendData"]; r["allowed"] != true || r["decidedBy"] != "token" {
		t.Errorf("sendData: %v", r)
	}

	// Of somebody who has left, what still stands.
	bob.Send(wire.Message{Type: "leave"})
	bob.ExpectClose(wire.Left)
	a, rights = explain()
	if r := rights["sendCamera"]; a.Get("connected") != false || a.Str("sid") != "" || r["allowed"] != nil || len(r["said"].([]any)) != 1 {
		t.Errorf("got %s", a.Text)
	}
	s.call("GET", "/rooms/lobby/participants/nobody/permissions", s.admin("lobby"), "").want(t, 404, "not_found")
}

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

// Rooms and who is in them, found by a part of their name.
func TestRoomsAndParticipants(t *testing.T) {
	s := serve(t)
	if a := s.call("GET", "/rooms", s.project(), ""); a.Text != `{"rooms":[],"count":0}`+"\n" {
		t.Errorf("got %s", a.Text)
	}
	s.Join(s.Token("red", "ada", func(c *tokens.Claims) { c.Name = "Ada Lovelace" }))
	s.Join(s.Token("red", "bob", func(c *tokens.Claims) { c.Video.Hidden = true }))
	s.Join(s.Token("blue", "cleo"))
	a := s.call("GET", "/rooms", s.project(), "")
	if n := len(a.Get("rooms").([]any)); n != 2 || a.Get("count") != 2.0 {
		t.Errorf("got %s", a.Text)
	}
	for path, want := range map[string]string{
		"/rooms?find=BLU":                       "cleo",
		"/rooms/red/participants":               "ada bob",
		"/rooms/red/participants?find=lovelace": "ada",
		"/rooms/red/participants?find=nobody":   "",
	} {
		a := s.call("GET", path, s.project(), "")
		if a.status != 200 || strings.HasPrefix(path, "/rooms?") != strings.Contains(a.Text, `"name":"blue"`) {
			t.Errorf("%s: got %d %s", path, a.status, a.Text)
		}
		if people, ok := a.Get("participants").([]any); ok {
			var names []string
			for _, p := range people {
				names = append(names, p.(map[string]any)["identity"].(string))
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	}
	a = s.call("GET", "/rooms/red/participants?limit=1", s.project(), "")
	if n := len(a.Get("participants").([]any)); n != 1 || a.Get("count") != 2.0 || a.Str("room.name") != "red" {
		t.Errorf("got %s", a.Text)
	}
	s.call("GET", "/rooms?limit=0", s.project(), "").want(t, 400, "invalid_request")
	s.call("GET", "/rooms/none/participants", s.admin("none"), "").want(t, 404, "not_found")
}

// What a token is good for here, in the words of usher token explain.
func TestExplainToken(t *testing.T) {
	s := serve(t)
	explain := func(token string) answer {
		t.Helper()
		body, _ := json.Marshal(map[string]string{"token": token})
		a := s.call("POST", "/tokens/explain", s.fresh(), string(body))
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.Text)
		}
		return a
	}
	good := s.Token("lobby", "bob")
	forged, _ := tokens.Mint(sessiontest.Key, []byte("another-secret-of-more-than-32-bytes"), tokens.Claims{Identity: "bob", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, time.Now())
	foreign, _ := tokens.Mint("APIother", []byte("another-secret-of-more-than-32-bytes"), tokens.Claims{Identity: "bob", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, time.Now())
	for name, test := range map[string]struct {
		token, kind, want string
		accepted          bool
	}{
		"good":           {good, "livekit", `{"label":"here","lines":["this server takes it"]}`, true},
		"forged":         {forged, "livekit", `"DOES NOT HOLD: the secret is another one, or the token was changed"`, false},
		"of another key": {foreign, "livekit", `this server refuses it: it is of another key, \"APIother\"`, false},
		"no room":        {s.Token("", "bob"), "livekit", `"this server refuses it: it names no room"`, false},
		"daily":          {"eyJhbGciOiJIUzI1NiJ9.eyJyIjoieCIsImQiOiIxIiwiaWF0IjoxfQ.eA", "daily", "this version of usher reads no Daily tokens", false},
		"id token":       {s.IDToken("bob", "eng"), "liveblocks-id", `{"label":"here","lines":["this server takes it"]}`, true},
		"access token":   {s.AccessToken("bob", "lobby", "room:read"), "liveblocks-access", `"room:read in \"lobby\""`, true},
		"forged id":      {s.IDToken("bob") + "A", "liveblocks-id", "this server refuses it: ", false},
		"a key":          {"sk_dev_x", "liveblocks-secret-key", "it is no key of this project", false},
		"the secret key": {sessiontest.LiveblocksSecret, "liveblocks-secret-key", "this server takes it", true},
		"the public key": {sessiontest.LiveblocksPublic, "liveblocks-public-key", "this server takes it", true},
		"nonsense":       {"x", "none", "this has 1", false},
	} {
		a := explain(test.token)
		if a.Str("kind") != test.kind || a.Get("accepted") != test.accepted || !strings.Contains(a.Text, test.want) {
			t.Errorf("%s: got %s", name, a.Text)
		}
	}
	s.call("POST", "/revocations", s.project(), `{"identity":"bob"}`).want(t, 201, "")
	for _, token := range []string{good, s.IDToken("bob")} {
		if a := explain(token); a.Get("accepted") != false || !strings.Contains(a.Text, "this server refuses it: it was revoked") {
			t.Errorf("a revoked one: got %s", a.Text)
		}
	}
	s.call("POST", "/tokens/explain", s.project(), `{"tokne":"x"}`).want(t, 400, "invalid_request")
}

// A token of another project is one of an unknown key, whatever it looks like.
func TestExplainTokenOfAnotherProject(t *testing.T) {
	s := serve(t)
	const secret = "another-secret-of-more-than-32-bytes"
	mine, _ := s.Verifier.Keys().Lookup(sessiontest.Key)
	keys, err := auth.NewKeys([]auth.Key{mine, {ID: "APIother", Secret: auth.Secret(secret), Project: "other", Format: tokens.Format{}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Verifier.SetKeys(keys)
	admin := s.project()
	for name, claims := range map[string]string{
		"as it should be":        `"video":{"roomJoin":true,"room":"lobby"}`,
		"claims of an ID token":  `"video":{"roomJoin":true,"room":"lobby"},"k":"id","uid":"x"`,
		"looks like an ID token": `"k":"id","uid":"x"`,
	} {
		token, err := auth.Sign(fmt.Appendf(nil, `{"iss":"APIother","sub":"bob","exp":%d,%s}`, time.Now().Add(time.Hour).Unix(), claims), auth.Secret(secret))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verifier.Verify(token); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := json.Marshal(map[string]string{"token": token, "room": "lobby"})
		if a := s.call("POST", "/tokens/explain", admin, string(body)); a.status != 200 || a.Get("accepted") != false || a.Get("room") != nil {
			t.Errorf("%s: got %d %s", name, a.status, a.Text)
		}
	}
}

// What the holder of a token may do in a room, and which level or pattern decides it,
// before they are there.
func TestExplainTokenInRoom(t *testing.T) {
	s := serve(t)
	add := func(name string, part room.LiveblocksRoom) {
		t.Helper()
		b := s.Rooms.Batch()
		_, err := s.Rooms.CreateLiveblocks(b, "test", name, part)
		b.Flush()
		if err != nil {
			t.Fatal(err)
		}
	}
	add("doc", room.LiveblocksRoom{Access: auth.AccessList{Default: []string{}, Groups: map[string][]string{"eng": {"*:write"}},
		Users: map[string][]string{"bob": {"*:read", "comments:write"}, "eve": {}}}})
	add("theirs", room.LiveblocksRoom{Organization: "acme", Access: auth.AccessList{Default: []string{"*:write"}}})
	s.Join(s.Token("call", "cleo")) // of LiveKit only
	for name, test := range map[string]struct {
		token, room string
		enter       bool
		want        []string
	}{
		"by a group":        {s.IDToken("ada", "eng"), "doc", true, []string{"canWrite: allowed by groupsAccesses.eng", "canPublish: denied by groupsAccesses.eng"}},
		"by the user":       {s.IDToken("bob", "eng"), "doc", true, []string{"canWrite: denied by usersAccesses.bob", "comments:public:write: allowed by usersAccesses.bob", "broadcastEvent: allowed by usersAccesses.bob", `"decidedBy":"usersAccesses.bob"`}},
		"by nothing":        {s.IDToken("eve"), "doc", false, []string{"may not enter: neither read nor write is in defaultAccesses, usersAccesses.eve"}},
		"by a pattern":      {s.AccessToken("ada", "d*", "*:read"), "doc", true, []string{"canWrite: denied by permissions.d*"}},
		"by no pattern":     {s.AccessToken("ada", "x*", "*:read"), "doc", false, []string{"may not enter: no permission of the token is for this room"}},
		"of another tenant": {s.IDToken("ada"), "theirs", false, []string{`may not enter: the room is of organization \"acme\", the token of \"default\"`}},
		"missing":           {s.IDToken("ada"), "none", false, []string{"may not enter: there is no such room, and this token does not make one"}},
		"missing, made":     {s.AccessToken("ada", "*", "*:write"), "none", true, []string{"canWrite: allowed by permissions.*"}},
		"without a list":    {s.IDToken("ada"), "call", false, []string{"may not enter: the room has no access list"}},
		"livekit":           {s.Token("call", "ada"), "call", true, []string{"canPublish: allowed by token", "canWrite: no, as nothing allows it"}},
		"livekit elsewhere": {s.Token("call", "ada"), "doc", false, []string{`may not enter: the token is for room \"call\"`}},
	} {
		body, _ := json.Marshal(map[string]string{"token": test.token, "room": test.room})
		a := s.call("POST", "/tokens/explain", sessiontest.LiveblocksSecret, string(body))
		if a.status != 200 || a.Get("room.enter") != test.enter || a.Str("room.name") != test.room {
			t.Errorf("%s: got %d %s", name, a.status, a.Text)
		}
		for _, want := range test.want {
			if !strings.Contains(a.Text, want) {
				t.Errorf("%s: got %s, without %s", name, a.Text, want)
			}
		}
	}
	s.call("POST", "/revocations", sessiontest.LiveblocksSecret, `{"room":"doc","identity":"bob"}`).want(t, 201, "")
	body, _ := json.Marshal(map[string]string{"token": s.IDToken("bob"), "room": "doc"})
	if a := s.call("POST", "/tokens/explain", sessiontest.LiveblocksSecret, string(body)); a.Get("room.enter") != false || !strings.Contains(a.Text, "may not enter: the token was revoked for this room") {
		t.Errorf("revoked: got %s", a.Text)
	}
}

// The outbox, of the caller's project.
func TestWebhooks(t *testing.T) {
	var asked string
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	s := &site{sessiontest.Serve(t, sessiontest.Options{
		Handler: func(s *sessiontest.Server, sessions http.Handler) http.Handler {
			return usher.New(usher.Config{Rooms: s.Rooms, Verifier: s.Verifier, Outbox: func(project string) ([]webhook.Status, int) {
				asked = project
				return []webhook.Status{
					{URL: "https://a/", Pending: 2, Oldest: time.Now().Add(-time.Minute), Next: at, Outcomes: map[string]int{"delivered": 3},
						Last: webhook.Round{At: at, Event: "room_started", Room: "lobby", Problem: "status 503"}},
					{URL: "https://b/", Outcomes: map[string]int{}},
				}, 4
			}})
		},
	})}
	a := s.call("GET", "/webhooks", s.project(), "")
	a.want(t, 200, "")
	for _, want := range []string{`"unwritten":4`, `"nextAttempt":"2026-01-02T12:00:00Z"`, `"outcome":"retry","problem":"status 503"`, `"delivered":3`,
		`{"url":"https://b/","pending":0,"outcomes":{}}`} {
		if !strings.Contains(a.Text, want) {
			t.Errorf("got %s, without %s", a.Text, want)
		}
	}
	if asked != "test" {
		t.Errorf("the outbox of the project %q was asked for", asked)
	}
	if a := serve(t).call("GET", "/webhooks", s.project(), ""); a.Text != `{"unwritten":0,"targets":[]}`+"\n" {
		t.Errorf("without webhooks: got %s", a.Text)
	}
}

// Numbers that no clock shows are refused, and break nothing.
func TestTimesBeyondTheClock(t *testing.T) {
	s := serve(t)
	for _, body := range []string{
		`{"room":"r","identity":"x","until":9223372036854775807}`,
		`{"tokenId":"x","expires":1795345332000}`,
		`{"tokenId":"x","expires":9223372036854775807}`,
	} {
		s.call("POST", "/revocations", s.project(), body).want(t, 400, "invalid_request")
	}
	if a := s.call("GET", "/revocations", s.project(), ""); a.status != 200 || len(a.Get("revocations").([]any)) != 0 {
		t.Errorf("got %d %s", a.status, a.Text)
	}
	long := strings.Repeat("x", 300)
	for _, body := range []string{`{"identity":"` + long + `"}`, `{"room":"` + long + `"}`, `{"keyId":"` + strings.Repeat("x", 2000) + `"}`} {
		s.call("POST", "/revocations", s.project(), body).want(t, 400, "limit_exceeded")
	}
	s.call("GET", "/revocations?after=RV_gone", s.project(), "").want(t, 400, "invalid_request")

	// A later word on a token does not shorten the one before.
	s.call("POST", "/revocations", s.project(), `{"tokenId":"j","expires":4102444800}`).want(t, 201, "")
	if a := s.call("POST", "/revocations", s.project(), `{"tokenId":"j","expires":4102444000}`); a.Str("expires") != "2100-01-01T00:01:00Z" {
		t.Errorf("a shorter one: got %s", a.Text)
	}
	if a := s.call("POST", "/revocations", s.project(), `{"tokenId":"j"}`); a.Get("expires") != nil {
		t.Errorf("one for ever: got %s", a.Text)
	}
}
