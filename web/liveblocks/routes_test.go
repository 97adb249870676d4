package liveblocks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"usher/web/liveblocks"
)

// calls are one of each that is served, in an order in which all succeed.
var calls = []struct {
	call   string
	status int
}{
	{`POST /identify-user {"userId":"ada"}`, 200},
	{`POST /authorize-user {"userId":"ada","permissions":{"*":["*:read"]}}`, 200},
	{`POST /rooms {"id":"r","defaultAccesses":["*:write"]}`, 200},
	{`POST /rooms?idempotent {"id":"r","defaultAccesses":["*:write"]}`, 200},
	{`GET /rooms`, 200},
	{`GET /rooms/r`, 200},
	{`HEAD /rooms/r`, 200},
	{`POST /rooms/r {}`, 200},
	{`POST /rooms/r/upsert {"update":{"metadata":null}}`, 200},
	{`GET /rooms/r/prewarm`, 204},
	{`GET /rooms/r/active-users`, 200},
	{`GET /rooms/r/active_users`, 200},
	{`POST /rooms/r/broadcast-event {"type":"x"}`, 204},
	{`POST /rooms/r/broadcast_event [1,null]`, 204},
	{`POST /rooms/r/presence {"userId":"bot","data":{"x":1},"ttl":3599}`, 204},
	{`GET /rooms/r/storage`, 200},
	{`POST /rooms/r/update-organization-id {"organizationId":"acme"}`, 200},
	{`POST /rooms/r/update-room-id {"newRoomId":"q"}`, 200},
	{`DELETE /rooms/q`, 204},
}

// unoffered are calls of @liveblocks/node 3.24.2 for what is not here, and what
// is said of it.
var unoffered = map[string]string{
	"POST /rooms/r/storage":                            "writes to Storage are",
	"DELETE /rooms/r/storage":                          "writes to Storage are",
	"PATCH /rooms/r/storage":                           "writes to Storage are",
	"PATCH /rooms/r/storage/json-patch":                "writes to Storage are",
	"POST /rooms/r/request-storage-mutation":           "writes to Storage are",
	"POST /rooms/r/send-message":                       "writes to Storage are",
	"PUT /rooms/r/storage/files/f/upload/name.png":     "files in Storage are",
	"POST /rooms/r/storage/files/f/multipart/name.png": "files in Storage are",
	"GET /rooms/r/storage/files/f":                     "files in Storage are",
	"GET /rooms/r/ydoc":                                "Yjs documents are",
	"PUT /rooms/r/ydoc":                                "Yjs documents are",
	"GET /rooms/r/ydoc-binary":                         "Yjs documents are",
	"GET /rooms/r/versions":                            "version history is",
	"POST /rooms/r/versions":                           "version history is",
	"GET /rooms/r/versions/v/yjs":                      "version history is",
	"DELETE /rooms/r/versions/v":                       "version history is",
	"GET /rooms/r/threads":                             "Comments are",
	"POST /rooms/r/threads":                            "Comments are",
	"GET /rooms/r/threads/t":                           "Comments are",
	"DELETE /rooms/r/threads/t":                        "Comments are",
	"GET /rooms/r/threads/t/participants":              "Comments are",
	"POST /rooms/r/threads/t/comments/c/add-reaction":  "Comments are",
	"GET /rooms/r/attachments/a":                       "Comments are",
	"PUT /rooms/r/attachments/a/upload/name.png":       "Comments are",
	"GET /rooms/r/feeds":                               "feeds are",
	"POST /rooms/r/feeds/f/messages":                   "feeds are",
	"GET /rooms/r/users/ada/subscription-settings":     "Notifications are",
	"GET /users/ada/inbox-notifications":               "Notifications are",
	"DELETE /users/ada/inbox-notifications/n":          "Notifications are",
	"GET /users/ada/room-subscription-settings":        "Notifications are",
	"POST /users/ada/notification-settings":            "Notifications are",
	"POST /inbox-notifications/trigger":                "Notifications are",
	"GET /users/ada/groups":                            "user groups are",
	"POST /groups":                                     "user groups are",
	"POST /groups/g/add-members":                       "user groups are",
	"GET /ai/copilots":                                 "AI Copilots are",
	"PUT /ai/copilots/c/knowledge/file/f":              "AI Copilots are",
	"GET /management/projects":                         "the management API is",
}

func (s *site) with(key, call string) answer {
	s.T.Helper()
	parts := append(strings.SplitN(call, " ", 3), "")
	return s.request(parts[0], "/v2"+parts[1], parts[2], "Authorization", "Bearer "+key)
}

func TestCalls(t *testing.T) {
	s := serve(t)
	for _, c := range calls {
		a := s.with(secretKey, c.call)
		if a.status != c.status || c.status == 204 && a.Text != "" || c.status == 200 && !strings.HasPrefix(c.call, "HEAD") && a.Fields == nil {
			t.Errorf("%s: got %d %s, want %d", c.call, a.status, a.Text, c.status)
		}
		if c.status == 200 && a.header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: got Content-Type %q", c.call, a.header.Get("Content-Type"))
		}
	}
}

// Without the project's secret key nothing is done, whatever else is right or
// wrong with the request.
func TestKeys(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:write"]}`)
	s.must("POST", "/rooms", `{"id":"q","defaultAccesses":["*:write"]}`)
	before := s.must("GET", "/rooms", "").Text
	token := s.identify(`{"userId":"ada"}`)
	const (
		none    = "no secret key came with the request"
		public  = "this needs the secret key; a public key came"
		person  = "this needs the secret key; a token of somebody came"
		unknown = "the secret key is not one of this server's"
	)
	headers := map[string]struct {
		header, code, message string
		status                int
	}{
		"none":             {"", "MISSING_SECRET_KEY", none, 401},
		"no scheme":        {secretKey, "MISSING_SECRET_KEY", none, 401},
		"another scheme":   {"Basic " + secretKey, "MISSING_SECRET_KEY", none, 401},
		"empty":            {"Bearer ", "MISSING_SECRET_KEY", none, 401},
		"public":           {"Bearer " + publicKey, "WRONG_KEY_USED", public, 401},
		"unknown public":   {"Bearer pk_x", "WRONG_KEY_USED", public, 401},
		"token":            {"Bearer " + token, "WRONG_KEY_USED", person, 401},
		"LiveKit's":        {"Bearer " + s.Token("r", "ada"), "WRONG_KEY_USED", person, 401},
		"unknown":          {"Bearer sk_x", "INVALID_SECRET_KEY", unknown, 403},
		"of another case":  {"Bearer " + strings.ToUpper(secretKey), "INVALID_SECRET_KEY", unknown, 403},
		"too short":        {"Bearer " + secretKey[:len(secretKey)-1], "INVALID_SECRET_KEY", unknown, 403},
		"too long":         {"Bearer " + secretKey + "x", "INVALID_SECRET_KEY", unknown, 403},
		"signing secret":   {"Bearer " + string(signingSecrets["test"]), "INVALID_SECRET_KEY", unknown, 403},
		"with a colon":     {"Bearer " + secretKey + ":", "INVALID_SECRET_KEY", unknown, 403},
		"project's name":   {"Bearer test", "INVALID_SECRET_KEY", unknown, 403},
		"behind something": {"Bearer x " + secretKey, "INVALID_SECRET_KEY", unknown, 403},
	}
	var all []string
	for _, c := range calls {
		all = append(all, c.call)
	}
	for call := range unoffered {
		all = append(all, call)
	}
	for name, h := range headers {
		for _, call := range all {
			if strings.HasPrefix(call, "HEAD") {
				continue
			}
			parts := append(strings.SplitN(call, " ", 3), "")
			for _, body := range []string{parts[2], "{"} {
				var header []string
				if h.header != "" {
					header = []string{"Authorization", h.header}
				}
				a := s.request(parts[0], "/v2"+parts[1], body, header...)
				a.want(t, h.status, h.code, h.message)
				if a.Str("suggestion") == "" || a.header.Get("WWW-Authenticate") == "" && h.status == 401 {
					t.Errorf("%s, %s: got %v %s", name, call, a.header, a.Text)
				}
			}
		}
	}
	if after := s.must("GET", "/rooms", "").Text; after != before {
		t.Errorf("got %s, want %s", after, before)
	}
	// Another project's key reaches none of this one's rooms.
	for _, call := range all {
		if !strings.Contains(call, "/rooms/") || unoffered[call] != "" || strings.HasPrefix(call, "HEAD") || strings.Contains(call, "/upsert") {
			continue
		}
		s.with(otherKey, call).want(t, 404, "ROOM_NOT_FOUND", "the room does not exist")
	}
	if list := s.with(otherKey, "GET /rooms"); !strings.HasSuffix(list.Text, `"data":[]}`) {
		t.Errorf("got %s, want no rooms", list.Text)
	}
	if after := s.must("GET", "/rooms", "").Text; after != before {
		t.Errorf("got %s, want %s", after, before)
	}
	// The scheme may be written as one likes.
	if a := s.request("GET", "/v2/rooms/r", "", "Authorization", "bearer  "+secretKey+" "); a.status != 200 {
		t.Errorf("got %d %s, want 200", a.status, a.Text)
	}
}

func TestNotOffered(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:write"]}`)
	for call, what := range unoffered {
		a := s.with(secretKey, call+" {}")
		text := what + " not offered by this server"
		a.want(t, 404, "NOT_OFFERED", text)
		if a.header.Get("X-LB-Warn") != text || a.Str("suggestion") == "" {
			t.Errorf("%s: got %v %s", call, a.header, a.Text)
		}
	}
}

func TestUnknownAddresses(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/", "/nothing", "/rooms/r/nothing", "/rooms/r/active-users/x", "/rooms/r/storage/", "/identify-user/", "/Rooms", "/users/ada", "/rooms/r/upsert/x"} {
		a := s.with(secretKey, "GET "+path)
		want := "NOT_FOUND"
		if path == "/rooms/r/storage/" {
			want = "NOT_OFFERED" // files are below it
		}
		if a.status != 404 || a.Str("error") != want || a.Str("message") == "" {
			t.Errorf("%s: got %d %s, want 404 %s", path, a.status, a.Text, want)
		}
	}
	// Nobody needs a key to hear that.
	s.request("GET", "/v2/nothing", "").want(t, 404, "NOT_FOUND", "there is nothing at this address")
	if a := s.request("GET", "/v2", ""); a.status != 404 || a.Str("message") == "" {
		t.Errorf("/v2: got %d %s, want 404", a.status, a.Text)
	}
}

func TestMethods(t *testing.T) {
	s := serve(t)
	for path, allow := range map[string]string{
		"/identify-user":          "POST",
		"/authorize-user":         "POST",
		"/rooms":                  "GET, HEAD, POST",
		"/rooms/r":                "DELETE, GET, HEAD, POST",
		"/rooms/r/upsert":         "POST",
		"/rooms/r/prewarm":        "GET, HEAD",
		"/rooms/r/active-users":   "GET, HEAD",
		"/rooms/r/presence":       "POST",
		"/rooms/r/update-room-id": "POST",
		"/rooms/r/storage":        "DELETE, GET, HEAD, PATCH, POST",
	} {
		for _, method := range []string{"PUT", "OPTIONS", "GET", "POST", "DELETE"} {
			if strings.Contains(allow, method) {
				continue
			}
			a := s.with(secretKey, method+" "+path)
			a.want(t, 405, "METHOD_NOT_ALLOWED", fmt.Sprintf("%s is no method of this address, %s is", method, allow))
			if a.header.Get("Allow") != allow {
				t.Errorf("%s %s: got Allow %q, want %q", method, path, a.header.Get("Allow"), allow)
			}
		}
	}
}

// A room's id may have any characters, and they arrive as they are: nothing is
// cleaned, redirected or decoded twice.
func TestRoomIDs(t *testing.T) {
	s := serve(t)
	ids := []string{
		"plain", "acme:doc/1", "a/b/c", "/", "//", "a//b", "...", "../x", "a/../b", "a/./b", "/leading", "trailing/",
		" ", "a b", "a+b", "a%2Fb", "%", "%25", "%zz", "100%", "ü", "日本", "😀", "e\u0301", "a?b=c", "a#b", "a&b", "a;b", "a=b", "a,b",
		"\\", "a\\b", `"`, "'", "<script>", "{room}", "{…}", "a\nb", "a\tb", "\x7f", "rooms", "upsert", "v2", "c", "active-users", "null",
		"@", "$", "!", "~", "^", "`", "|", "[a]", "(a)", "a:", ":a", "file.txt", "-", "_", "0", strings.Repeat("x", 128), strings.Repeat("ü", 128),
	}
	for _, id := range []string{".", ".."} { // no client could reach it again: they take them out of addresses
		if a := s.call("POST", "/rooms", `{"id":`+quote(id)+`,"defaultAccesses":[]}`); a.status != 422 || !strings.Contains(a.Str("message"), "cannot be named") {
			t.Errorf("create %q: got %d %s", id, a.status, a.Text)
		}
	}
	for _, id := range ids {
		body := fmt.Sprintf(`{"id":%q,"defaultAccesses":["*:read"],"metadata":{"id":%q}}`, "x", "x")
		body = strings.ReplaceAll(body, `"x"`, quote(id))
		if a := s.call("POST", "/rooms", body); a.status != 200 || a.Str("id") != id {
			t.Errorf("create %q: got %d %s", id, a.status, a.Text)
		}
	}
	for _, id := range ids {
		escaped := encodeURIComponent(id)
		for _, path := range []string{escaped, allEscaped(id)} {
			if a := s.call("GET", "/rooms/"+path, ""); a.status != 200 || a.Str("id") != id || a.Str("metadata.id") != id {
				t.Errorf("get %q by %s: got %d %s", id, path, a.status, a.Text)
			}
			if a := s.call("GET", "/rooms/"+path+"/active-users", ""); a.status != 200 || a.Text != `{"data":[]}` {
				t.Errorf("active-users of %q by %s: got %d %s", id, path, a.status, a.Text)
			}
			if a := s.call("POST", "/rooms/"+path+"/upsert", `{"update":{"metadata":{"seen":"yes"}}}`); a.status != 200 || a.Str("id") != id || a.Str("metadata.seen") != "yes" {
				t.Errorf("upsert %q by %s: got %d %s", id, path, a.status, a.Text)
			}
		}
		query := url.Values{"query": {"roomId:" + quote(id)}}.Encode()
		if a := s.call("GET", "/rooms?"+query, ""); len(a.Get("data").([]any)) != 1 {
			t.Errorf("query %q: got %d %s", id, a.status, a.Text)
		}
	}
	for _, id := range ids {
		if a := s.call("DELETE", "/rooms/"+allEscaped(id), ""); a.status != 204 {
			t.Errorf("delete %q: got %d %s", id, a.status, a.Text)
		}
	}
	if list := s.must("GET", "/rooms", ""); !strings.HasSuffix(list.Text, `"data":[]}`) {
		t.Errorf("left over: %s", list.Text)
	}
	// Not escaped, a slash parts. No path is redirected.
	for path, want := range map[string]string{
		"/rooms/a//b": "NOT_FOUND", "/rooms/../rooms": "NOT_FOUND", "/rooms//": "NOT_FOUND", "//rooms": "NOT_FOUND", "/rooms/": "ROOM_NOT_FOUND",
		"/rooms//active-users": "ROOM_NOT_FOUND", "/rooms/.": "ROOM_NOT_FOUND", "/rooms/..": "ROOM_NOT_FOUND", "/rooms/%FF": "ROOM_NOT_FOUND", "/rooms/a/..": "NOT_FOUND",
		"/rooms/" + strings.Repeat("x", 5000): "ROOM_NOT_FOUND",
	} {
		if a := s.call("GET", path, ""); a.status != 404 || a.Str("error") != want {
			t.Errorf("%s: got %d %s, want 404 %s", path, a.status, a.Text, want)
		}
	}
}

// quote writes JSON, which the query language takes, too.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// encodeURIComponent is JavaScript's.
func encodeURIComponent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func allEscaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

func TestBodies(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:write"]}`)
	large := `"` + strings.Repeat("x", liveblocks.BodyBytes) + `"`
	const text = "request body too large: the limit is 8388608 bytes"
	s.call("POST", "/rooms/r/broadcast-event", large).want(t, 413, "BODY_TOO_LARGE", text)
	// In chunks, without a length in the header.
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.HTTP.URL+"/v2/rooms/r/broadcast-event", struct{ *strings.Reader }{strings.NewReader(large)})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secretKey)
	res, err := s.HTTP.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 413 {
		t.Errorf("in chunks: got %d, want 413", res.StatusCode)
	}
	// Without the key it is not looked at.
	s.request("POST", "/v2/rooms/r/broadcast-event", large, "Authorization", "Bearer sk_x").want(t, 403, "INVALID_SECRET_KEY", "the secret key is not one of this server's")
}

// Whatever goes wrong, no key and no token shows in an answer or in the log.
func TestNoSecretsAreTold(t *testing.T) {
	s := serve(t)
	idToken := s.identify(`{"userId":"ada","userInfo":{"name":"Ada"}}`)
	access := s.must("POST", "/authorize-user", `{"userId":"ada","permissions":{"*":["*:write"]}}`).Str("token")
	secrets := []string{secretKey, otherKey, publicKey, idToken, access, string(signingSecrets["test"]), string(signingSecrets["other"]), "sk_wrong", "pk_wrong"}
	secrets = append(secrets, strings.Split(idToken, ".")[2], strings.Split(access, ".")[2])
	var told strings.Builder
	for _, key := range []string{secretKey, publicKey, "sk_wrong", "pk_wrong", idToken, access} {
		for _, c := range calls {
			for _, body := range []string{"", "{", `{"userId":` + quote(key) + `,"unknown":` + quote("x") + `}`} {
				parts := append(strings.SplitN(c.call, " ", 3), "")
				for _, a := range []answer{
					s.request(parts[0], "/v2"+parts[1], body, "Authorization", "Bearer "+key),
					s.request(parts[0], "/v2/c"+parts[1]+"?pubkey="+key, body, "Authorization", "Bearer "+key),
					s.request(parts[0], "/v2/nothing?tok="+key, body, "Authorization", key),
				} {
					fmt.Fprintln(&told, a.Text, a.header)
				}
			}
		}
	}
	s.must("POST", "/rooms", `{"id":"r","defaultAccesses":["*:read"]}`)
	s.enter("r", idToken)
	s.refused("other", access+"x")
	for where, text := range map[string]string{"an answer": told.String(), "the log": s.log.String()} {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %.12s…", where, secret)
			}
		}
	}
	if !strings.Contains(s.log.String(), "room created") {
		t.Error("the log does not say what was done")
	}
}

func TestMetricsHaveClosedLabels(t *testing.T) {
	s := serve(t)
	for i := range 5 {
		s.with(secretKey, fmt.Sprintf("GET /rooms/room-%d", i))
		s.with(secretKey, fmt.Sprintf("GET /rooms/room-%d/threads/%d", i, i))
		s.request("GET", fmt.Sprintf("/v2/nothing/%d", i), "")
		s.request("GET", fmt.Sprintf("/v2/c/rooms/%d/threads", i), "")
	}
	err := testutil.GatherAndCompare(s.metrics, strings.NewReader(`
# HELP usher_http_requests_total HTTP requests answered, by route and status code.
# TYPE usher_http_requests_total counter
usher_http_requests_total{code="404",route="/v2/"} 5
usher_http_requests_total{code="404",route="/v2/c/"} 5
usher_http_requests_total{code="404",route="/v2/rooms/{room}"} 5
usher_http_requests_total{code="404",route="/v2/rooms/{room}/threads/{…}"} 5
`), "usher_http_requests_total")
	if err != nil {
		t.Error(err)
	}
}

// clientCalls are calls of @liveblocks/core 3.24.2, and what is said of them.
var clientCalls = map[string]string{
	"GET /rooms/r/threads":                             "Comments are",
	"GET /rooms/acme%3Adoc%2F1/threads/delta":          "Comments are",
	"POST /rooms/r/threads/t/comments":                 "Comments are",
	"GET /rooms/r/thread-with-notification/t":          "Comments are",
	"PUT /rooms/r/attachments/a/upload/name.png":       "Comments are",
	"POST /rooms/r/text-mentions":                      "Comments are",
	"GET /threads":                                     "Comments are",
	"GET /inbox-notifications/delta":                   "Notifications are",
	"POST /rooms/r/inbox-notifications/read":           "Notifications are",
	"DELETE /inbox-notifications/n":                    "Notifications are",
	"GET /notification-settings":                       "Notifications are",
	"GET /rooms/r/subscription-settings":               "Notifications are",
	"GET /rooms/r/versions/delta":                      "version history is",
	"POST /rooms/r/storage/files/presigned-urls":       "files and Storage over HTTP are",
	"GET /rooms/r/storage":                             "files and Storage over HTTP are",
	"POST /rooms/r/ai/contextual-prompt":               "AI Copilots are",
	"POST /rooms/r/text-metadata":                      "Text Editor is",
	"POST /groups/find":                                "user groups are",
	"GET /urls/metadata?url=https%3A%2F%2Fexample.com": "previews of addresses are",
	"GET /something/new":                               "this part of Liveblocks is",
	"GET /":                                            "this part of Liveblocks is",
	"GET /rooms/%2Fthreads":                            "this part of Liveblocks is",
}

// Pages of every origin get to read that something is not here, at once.
func TestClient(t *testing.T) {
	s := serve(t)
	const origin = "https://app.example.com"
	for call, what := range clientCalls {
		method, path, _ := strings.Cut(call, " ")
		for _, key := range []string{"Bearer " + publicKey, "Bearer x.y.z", ""} {
			a := s.request(method, "/v2/c"+path, "{}", "Origin", origin, "Authorization", key, "X-LB-Client", "3.24.2")
			text := what + " not offered by this server"
			a.want(t, 404, "NOT_OFFERED", text)
			for name, want := range map[string]string{"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "X-LB-Warn", "X-LB-Warn": text, "Vary": "Origin"} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s: %s: got %q, want %q", call, name, got, want)
				}
			}
		}
	}
	a := s.request("GET", "/v2/c/threads", "")
	if a.header.Get("Access-Control-Allow-Origin") != "" || a.status != 404 {
		t.Errorf("without an origin: got %d %v", a.status, a.header)
	}
}

func TestPreflight(t *testing.T) {
	s := serve(t)
	for _, origin := range []string{"https://app.example.com", "http://localhost:3000", "null"} {
		a := s.request("OPTIONS", "/v2/c/rooms/r/threads", "", "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,content-type,x-lb-client")
		if a.status != 204 || a.Text != "" {
			t.Errorf("got %d %q, want 204", a.status, a.Text)
		}
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":  origin,
			"Access-Control-Allow-Headers": "authorization,content-type,x-lb-client",
			"Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
	// The secret key is for no page.
	a := s.request("OPTIONS", "/v2/rooms", "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST")
	if a.status != 405 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("got %d %v, want 405", a.status, a.header)
	}
}

// The guide that errors name is there.
var guide = regexp.MustCompile(`^docs/[a-z]+\.md$`)

func TestErrorsNameTheGuide(t *testing.T) {
	s := serve(t)
	for _, call := range []string{"GET /rooms/nowhere", "GET /rooms?query=x", "POST /rooms {}"} {
		if a := s.with(secretKey, call); !guide.MatchString(a.Str("docs")) {
			t.Errorf("%s: got docs %q", call, a.Str("docs"))
		}
	}
}
