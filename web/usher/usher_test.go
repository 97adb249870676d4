package usher_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/web"
	"usher/web/usher"
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
