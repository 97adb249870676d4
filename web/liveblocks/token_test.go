package liveblocks_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"usher/web/liveblocks"
)

// payload is what a token says, without its times and its id.
func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %q, want a token", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	life := claims["exp"].(float64) - claims["iat"].(float64)
	if life != time.Hour.Seconds() || claims["jti"] == "" {
		t.Errorf("got %s, want a life of an hour and an id", b)
	}
	for _, name := range []string{"exp", "iat", "jti"} {
		delete(claims, name)
	}
	return claims
}

func TestIdentify(t *testing.T) {
	s := serve(t)
	tests := map[string]struct{ body, want string }{
		"least":        {`{"userId":"ada"}`, `{"k":"id","pid":"test","uid":"ada"}`},
		"null":         {`{"userId":"ada","groupIds":null,"userInfo":null,"organizationId":null}`, `{"k":"id","pid":"test","uid":"ada"}`},
		"all":          {`{"userId":"ada","groupIds":["eng","ops"],"userInfo":{"name":"Ada","n":[1, 2]},"organizationId":"acme"}`, `{"k":"id","pid":"test","uid":"ada","gids":["eng","ops"],"ui":{"name":"Ada","n":[1,2]},"org":"acme"}`},
		"tenant":       {`{"userId":"ada","tenantId":"acme"}`, `{"k":"id","pid":"test","uid":"ada","org":"acme"}`},
		"unicode":      {`{"userId":"ü/😀","userInfo":{"name":"<b>&\u00fc"}}`, `{"k":"id","pid":"test","uid":"ü/😀","ui":{"name":"<b>&ü"}}`},
		"longest":      {`{"userId":"` + strings.Repeat("ü", 128) + `"}`, `{"k":"id","pid":"test","uid":"` + strings.Repeat("ü", 128) + `"}`},
		"empty groups": {`{"userId":"ada","groupIds":[]}`, `{"k":"id","pid":"test","uid":"ada"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := s.call("POST", "/identify-user", test.body)
			if a.status != 200 || len(a.Fields) != 1 {
				t.Fatalf("got %d %s", a.status, a.Text)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if got := payload(t, a.Str("token")); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			g, err := s.Verifier.Verify(a.Str("token"))
			if err != nil {
				t.Fatal(err)
			}
			if g.Project != "test" || g.Identity != want["uid"] || len(g.Groups) != len(asList(want["gids"])) {
				t.Errorf("got %+v", g)
			}
		})
	}
	if one := s.identify(`{"userId":"ada"}`); one == s.identify(`{"userId":"ada"}`) {
		t.Error("two tokens are the same: the client takes the second for a cached one")
	}
	other := s.request("POST", "/v2/identify-user", `{"userId":"ada"}`, "Authorization", "Bearer "+otherKey)
	if got := payload(t, other.Str("token"))["pid"]; got != "other" {
		t.Errorf("got a token of %v, want other", got)
	}
}

func asList(v any) []any { list, _ := v.([]any); return list }

func TestAuthorize(t *testing.T) {
	s := serve(t)
	tests := map[string]struct{ body, want string }{
		"least": {`{"userId":"ada","permissions":{}}`, `{"k":"acc","pid":"test","uid":"ada","perms":{}}`},
		"all": {`{"userId":"ada","permissions":{"acme:*":["*:write"],"lobby":["room:read","room:presence:write","comments:write"],"*":[]},"userInfo":{"name":"Ada"},"organizationId":"acme"}`,
			`{"k":"acc","pid":"test","uid":"ada","perms":{"acme:*":["*:write"],"lobby":["room:read","room:presence:write","comments:write"],"*":[]},"ui":{"name":"Ada"},"org":"acme"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := s.call("POST", "/authorize-user", test.body)
			if a.status != 200 {
				t.Fatalf("got %d %s", a.status, a.Text)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if got := payload(t, a.Str("token")); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if _, err := s.Verifier.Verify(a.Str("token")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTokenErrors(t *testing.T) {
	s := serve(t)
	patterns := func(n int) string { return many(n, `"r%d":["*:read"]`) }
	long := strings.Repeat("x", 200)
	tests := map[string]struct{ call, body, message string }{
		"no user":          {"identify-user", `{}`, "userId is missing"},
		"empty user":       {"identify-user", `{"userId":""}`, "userId is missing"},
		"user a number":    {"identify-user", `{"userId":1}`, "userId is not a string"},
		"long user":        {"identify-user", `{"userId":"` + strings.Repeat("ü", 129) + `"}`, "userId exceeds the limit of 128 characters"},
		"anonymous":        {"identify-user", `{"userId":"anon:x"}`, `userId may not begin with "anon:": that is how people without an id are called`},
		"groups text":      {"identify-user", `{"userId":"ada","groupIds":"eng"}`, "groupIds is not a list of strings"},
		"group number":     {"identify-user", `{"userId":"ada","groupIds":["eng",1]}`, "groupIds[1] is not a string"},
		"empty group":      {"identify-user", `{"userId":"ada","groupIds":[""]}`, "groupIds[0] is empty"},
		"long group":       {"identify-user", `{"userId":"ada","groupIds":["` + strings.Repeat("x", 257) + `"]}`, "groupIds[0] exceeds the limit of 256 characters"},
		"info text":        {"identify-user", `{"userId":"ada","userInfo":"Ada"}`, "userInfo is not an object"},
		"info list":        {"identify-user", `{"userId":"ada","userInfo":[]}`, "userInfo is not an object"},
		"long info":        {"identify-user", `{"userId":"ada","userInfo":{"n":"` + strings.Repeat("x", 1017) + `"}}`, "userInfo exceeds the limit of 1024 characters"},
		"long info of \\u": {"identify-user", `{"userId":"ada","userInfo":{"n":"` + strings.Repeat(`\\u`, 339) + `"}}`, "userInfo exceeds the limit of 1024 characters"},
		"organization":     {"identify-user", `{"userId":"ada","organizationId":"` + strings.Repeat("x", 129) + `"}`, "organizationId exceeds the limit of 128 characters"},
		"permissions":      {"identify-user", `{"userId":"ada","permissions":{}}`, `unknown field "permissions"; there are userId, groupIds, userInfo, organizationId, tenantId`},
		"no permissions":   {"authorize-user", `{"userId":"ada"}`, "permissions is missing"},
		"null":             {"authorize-user", `{"userId":"ada","permissions":null}`, "permissions is missing"},
		"a list":           {"authorize-user", `{"userId":"ada","permissions":["*:read"]}`, "permissions is not an object"},
		"word":             {"authorize-user", `{"userId":"ada","permissions":{"a":["admin"]}}`, `permissions: "admin" is not a permission`},
		"not a list":       {"authorize-user", `{"userId":"ada","permissions":{"a":"*:read"}}`, "permissions.a is not a list of strings"},
		"pattern":          {"authorize-user", `{"userId":"ada","permissions":{"a*b":["*:read"]}}`, "permissions: a pattern is *, or 1 to 128 characters with no * but at the end"},
		"empty pattern":    {"authorize-user", `{"userId":"ada","permissions":{"":["*:read"]}}`, "permissions: a pattern is *, or 1 to 128 characters with no * but at the end"},
		"many patterns":    {"authorize-user", `{"userId":"ada","permissions":` + patterns(11) + `}`, "permissions: an access token may have 10 patterns, this one has 11"},
		"groups in access": {"authorize-user", `{"userId":"ada","permissions":{},"groupIds":[]}`, `unknown field "groupIds"; there are userId, permissions, userInfo, organizationId, tenantId`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.call("POST", "/"+test.call, test.body).want(t, 422, "UNPROCESSABLE_ENTITY", test.message)
		})
	}
	fits := map[string]string{
		"info as long as may be":       `{"userId":"ada","userInfo":{"n":"` + strings.Repeat("ü", 1016) + `"}}`,
		"escaped letters count as one": `{"userId":"ada","userInfo":{"n":"` + strings.Repeat(`\u00fc`, 1016) + `"}}`,
		"separators count as one":      `{"userId":"ada","userInfo":{"n":"` + strings.Repeat("\u2028", 1016) + `"}}`,
		"spaces do not count":          `{"userId":"ada","userInfo":{` + strings.Repeat(" ", 2000) + `}}`,
		"many groups":                  `{"userId":"ada","groupIds":["` + strings.Repeat(`g","`, 900) + `g"]}`,
	}
	for name, body := range fits {
		if a := s.call("POST", "/identify-user", body); a.status != 200 {
			t.Errorf("%s: got %d %s, want 200", name, a.status, a.Text)
		}
	}
	if a := s.call("POST", "/authorize-user", `{"userId":"ada","permissions":`+patterns(10)+`}`); a.status != 200 {
		t.Errorf("ten patterns: got %d %s, want 200", a.status, a.Text)
	}

	// A token that no WebSocket's address could carry is not made.
	var groups []string
	for i := range 100 {
		groups = append(groups, fmt.Sprintf("%q", fmt.Sprint(long, i)))
	}
	a := s.call("POST", "/identify-user", `{"userId":"ada","groupIds":[`+strings.Join(groups, ",")+`]}`)
	if a.status != 422 || !strings.HasPrefix(a.Str("message"), "the token would have ") {
		t.Errorf("got %d %s, want 422", a.status, a.Text)
	}
	if liveblocks.MaxToken > 14<<10 {
		t.Errorf("a token of %d bytes does not go into a header of 16 KiB", liveblocks.MaxToken)
	}
}

// Whom a token is for is who enters, with the groups that the lists know.
func TestTokensEnter(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"closed","defaultAccesses":[],"groupsAccesses":{"eng":["*:write"]},"usersAccesses":{"bob":["*:read"]}}`)
	enter := func(body string) bool {
		return s.refused("closed", s.identify(body)) == 0
	}
	for body, want := range map[string]bool{
		`{"userId":"ada"}`:                      false,
		`{"userId":"ada","groupIds":["eng"]}`:   true,
		`{"userId":"ada","groupIds":["ops"]}`:   false,
		`{"userId":"bob"}`:                      true,
		`{"userId":"Bob"}`:                      false,
		`{"userId":"bob","tenantId":"acme"}`:    false,
		`{"userId":"bob","tenantId":"default"}`: true,
	} {
		if got := enter(body); got != want {
			t.Errorf("%s: got in %v, want %v", body, got, want)
		}
	}
	access := func(permissions string) string {
		return s.must("POST", "/authorize-user", `{"userId":"eve","permissions":`+permissions+`}`).Str("token")
	}
	for permissions, want := range map[string]bool{
		`{}`: false, `{"clos*":["*:read"]}`: true, `{"closed":["*:write"]}`: true, `{"other":["*:write"]}`: false, `{"closed":["storage:write"]}`: false,
	} {
		if got := s.refused("closed", access(permissions)) == 0; got != want {
			t.Errorf("%s: got in %v, want %v", permissions, got, want)
		}
	}
	// An access token makes a room, which is open to all.
	s.enter("made/by:ada", access(`{"made/*":["*:write"]}`))
	if got := s.must("GET", "/rooms/made%2Fby%3Aada", ""); !slices.Equal(asList(got.Get("defaultAccesses")), []any{"room:write"}) {
		t.Errorf("got %s", got.Text)
	}
}

// A token holds no longer than the server takes them.
func TestTokenLife(t *testing.T) {
	s := serve(t)
	h := httptest.NewServer(liveblocks.New(liveblocks.Config{Rooms: s.Rooms, Door: s.door, TokenLife: 10 * time.Minute}))
	defer h.Close()
	short := &site{Server: s.For(t), base: h.URL}
	g, err := s.Verifier.Verify(short.identify(`{"userId":"ada"}`))
	if err != nil {
		t.Fatal(err)
	}
	if life := g.Expires.Sub(g.Issued); life != 10*time.Minute {
		t.Errorf("got a life of %v, want 10m", life)
	}
}

// What a room would refuse a token for is said before there is one: rooms count
// bytes where Liveblocks counts characters.
func TestTokensThatNoRoomTakes(t *testing.T) {
	s := serve(t)
	for body, want := range map[string]string{
		`{"userId":"` + strings.Repeat("ü", 129) + `"}`:                                     "userId",
		`{"userId":"` + strings.Repeat("語", 128) + `"}`:                                     "identity",
		`{"userId":"ada","userInfo":{"name":"` + strings.Repeat("n", 257) + `"}}`:           "name",
		`{"userId":"ada","userInfo":{"about":"` + strings.Repeat("n", 257) + `"}}`:          "",
		`{"userId":"ada","userInfo":{"name":"` + strings.Repeat("n", 256) + `"}}`:           "",
		`{"userId":"ada","userInfo":{"name":{"first":"` + strings.Repeat("n", 300) + `"}}}`: "",
	} {
		a := s.call("POST", "/identify-user", body)
		switch message := a.Str("message"); {
		case want == "" && a.status != 200:
			t.Errorf("%.40s: got %d %s", body, a.status, a.Text)
		case want != "" && (a.status != 422 || !strings.HasPrefix(message, want) || !strings.Contains(message, "limit")):
			t.Errorf("%.40s: got %d %q, want 422 and the limit of %s", body, a.status, message, want)
		}
	}
}
