package daily_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	tokens "usher/auth/daily"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/web/daily"
)

// calls are one of each that is served, with what they are answered when somebody
// is in the room "r" all the time.
var calls = []string{
	`GET /`, `GET `, `POST / {"properties":{"enable_chat":true}}`,
	`GET /rooms`, `POST /rooms {}`, `GET /rooms/r`, `POST /rooms/r {}`, `DELETE /rooms/gone`,
	`GET /rooms/r/presence`, `POST /rooms/r/eject {"ids":["nobody"]}`,
	`POST /rooms/r/update-permissions {"data":{"nobody":{"canSend":true}}}`,
	`POST /rooms/r/send-app-message {"data":{}}`, `POST /rooms/r/set-session-data {"data":{}}`, `GET /rooms/r/get-session-data`,
	`POST /batch/rooms {"rooms":[]}`, `DELETE /batch/rooms {"rooms":[]}`,
	`POST /meeting-tokens {}`, `GET /meeting-tokens/TOKEN`, `POST /meeting-tokens/revoke {"user_id":"somebody"}`,
	`GET /presence`,
}

// elsewhere are calls that the developers of the log and of webhooks test.
var elsewhere = []string{`GET /meetings`, `GET /meetings/m`, `GET /meetings/m/participants`,
	`GET /webhooks`, `POST /webhooks {}`, `GET /webhooks/w`, `POST /webhooks/w {}`, `DELETE /webhooks/w`}

// unoffered are calls for what is not here.
var unoffered = map[string]string{
	"GET /recordings":                     "recording",
	"GET /recordings/x/access-link":       "recording",
	"DELETE /recordings/x":                "recording",
	"POST /rooms/r/recordings/start":      "recording",
	"POST /rooms/r/recordings/stop":       "recording",
	"POST /rooms/r/live-streaming/start":  "live streaming",
	"POST /rooms/r/transcription/start":   "transcription",
	"GET /transcript":                     "transcription",
	"GET /transcript/x/access-link":       "transcription",
	"POST /rooms/r/dialOut/start":         "dialing out",
	"POST /rooms/r/pinless-call-update":   "dialing in",
	"POST /dialin/pinlessCallUpdate":      "dialing in",
	"GET /domain-dialin-config":           "dialing in",
	"POST /rooms/r/sipRefer":              "SIP",
	"POST /buy-phone-number":              "telephony",
	"GET /purchased-phone-numbers":        "telephony",
	"GET /list-available-numbers":         "telephony",
	"DELETE /release-phone-number/x":      "telephony",
	"POST /batch-processor":               "the batch processor",
	"GET /batch-processor/x/access-link":  "the batch processor",
	"GET /logs":                           "the log of calls",
	"GET /logs/api":                       "the log of calls",
	"POST /rooms/r/live-streaming/update": "live streaming",
	"POST /rooms/r/recordings/update":     "recording",
	"POST /rooms/r/dialOut/stop":          "dialing out",
	"POST /rooms/r/sipCallTransfer":       "SIP",
	"PATCH /recordings/x":                 "recording",
}

// parts are the method, path and body of a call.
func parts(call string) (method, path, body string) {
	p := append(strings.SplitN(call, " ", 3), "", "")
	return p[0], p[1], p[2]
}

// §0: whatever works is answered with 200, and is JSON.
func TestEverythingThatWorksIs200(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	s.must("POST", "/rooms", `{"name":"gone"}`)
	token := s.token(`{"room_name":"r","user_id":"ada"}`)
	s.enter("", token)
	for _, call := range calls {
		method, path, body := parts(strings.ReplaceAll(call, "TOKEN", token))
		a := s.call(method, path, body)
		if a.status != 200 || a.header.Get("Content-Type") != "application/json; charset=utf-8" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %v %s", call, a.status, a.header, a.Text)
		}
	}
}

// §0: a request without a good header is a 400, one with a wrong key is a 401
// whose body says nothing more. Nothing is done for it, whatever else is right or
// wrong with the request.
func TestKeys(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	s.must("POST", "/rooms", `{"name":"gone"}`)
	token := s.token(`{"room_name":"r","is_owner":true}`)
	before := s.must("GET", "/rooms", "").Text
	headers := map[string]struct {
		header string
		status int
	}{
		"none":             {"", 400},
		"no scheme":        {apiKey, 400},
		"another scheme":   {"Basic " + apiKey, 400},
		"empty":            {"Bearer ", 400},
		"only a scheme":    {"Bearer", 400},
		"several words":    {"Bearer " + apiKey + " " + apiKey, 400},
		"unknown":          {"Bearer x", 401},
		"of another case":  {"Bearer " + strings.ToUpper(apiKey), 401},
		"too short":        {"Bearer " + apiKey[:len(apiKey)-1], 401},
		"too long":         {"Bearer " + apiKey + "x", 401},
		"the token secret": {"Bearer " + tokenSecret, 401},
		"a token":          {"Bearer " + token, 401},
		"the domain's id":  {"Bearer " + sessiontest.DailyDomain, 401},
		"LiveKit's":        {"Bearer " + sessiontest.Secret, 401},
	}
	all := append(append([]string{}, calls...), elsewhere...)
	for call := range unoffered {
		all = append(all, call)
	}
	for name, h := range headers {
		for _, call := range all {
			method, path, body := parts(call)
			for _, body := range []string{body, "{"} {
				var header []string
				if h.header != "" {
					header = []string{"Authorization", h.header}
				}
				a := s.request(method, "/v1"+path, body, header...)
				switch h.status {
				case 400:
					a.want(t, 400, "authorization-header-error", `missing or malformed authorization header: it has to be "Authorization: Bearer <API key>"`)
				case 401:
					a.is(t, 401, `{"error":"authentication-error"}`)
				}
				if t.Failed() {
					t.Fatalf("%s, %s", name, call)
				}
			}
		}
	}
	if after := s.must("GET", "/rooms", "").Text; after != before {
		t.Errorf("got %s, want %s", after, before)
	}
	// A domain has two keys at once, and the scheme may be written as one likes.
	if a := s.with(secondKey, "GET", "/rooms/r", ""); a.status != 200 {
		t.Errorf("the second key: got %d %s", a.status, a.Text)
	}
	if a := s.request("GET", "/v1/rooms/r", "", "Authorization", "bearer  "+apiKey+" "); a.status != 200 {
		t.Errorf("got %d %s, want 200", a.status, a.Text)
	}
}

// A key belongs to one domain, and reaches nothing of another.
func TestDomainsAreApart(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	token := s.token(`{"room_name":"r","user_id":"ada"}`)
	s.enter("", token)
	for _, call := range calls {
		method, path, body := parts(strings.ReplaceAll(call, "TOKEN", token))
		switch a := s.with(otherKey, method, path, body); {
		case strings.Contains(call, "/rooms/r"):
			a.want(t, 404, "not-found", "room r not found")
		case strings.Contains(call, "TOKEN"):
			a.want(t, 400, "invalid-request-error", "the token is not one of this domain")
		case path == "/presence":
			a.is(t, 200, `{}`)
		}
	}
	s.with(otherKey, "POST", "/meeting-tokens/revoke", `{"token":"`+token+`"}`).
		want(t, 400, "invalid-request-error", "the token is not one of this domain")
	s.with(otherKey, "GET", "/rooms/r", "").want(t, 404, "not-found", "room r not found")
	if a := s.with(otherKey, "POST", "/rooms", `{"name":"r"}`); a.status != 200 || a.Str("url") != "https://other.daily.co/r" {
		t.Errorf("got %d %s", a.status, a.Text)
	}
	s.must("GET", "/rooms/r/presence", "").is(t, 200, s.must("GET", "/rooms/r/presence", "").Text)
	if n := s.must("GET", "/rooms/r/presence", "").Get("total_count"); n != 1.0 {
		t.Errorf("got %v people, want 1", n)
	}
}

// §0: one slash at the end is passed over.
func TestTrailingSlashes(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"", "/", "/rooms", "/rooms/", "/presence", "/presence/"} {
		s.must("GET", path, "")
	}
	s.must("POST", "/rooms/", `{"name":"r"}`)
	s.must("GET", "/rooms/r/", "")
	s.must("GET", "/rooms/r/presence/", "")
	s.must("POST", "/meeting-tokens/", "")
	for _, path := range []string{"//", "//rooms", "/rooms//", "/rooms/r//"} {
		s.call("GET", path, "").want(t, 404, "not-found", "there is nothing at this address")
	}
}

// §0: bodies are JSON whatever their content type says, and may be missing where
// nothing is needed.
func TestContentTypes(t *testing.T) {
	s := serve(t)
	for i, kind := range []string{"", "application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"} {
		a := s.request("POST", "/v1/rooms", fmt.Sprintf(`{"name":"r%d"}`, i), "Authorization", "Bearer "+apiKey, "Content-Type", kind)
		if a.status != 200 || a.Str("name") != fmt.Sprint("r", i) {
			t.Errorf("%q: got %d %s", kind, a.status, a.Text)
		}
	}
	for _, body := range []string{"", " \n", "{}", `{"properties":{}}`, `{"properties":null}`} {
		s.must("POST", "/rooms", body)
		s.must("POST", "/meeting-tokens", body)
		s.must("POST", "/", body)
	}
}

// §0: what is no JSON is json-parsing-error, and what is none of an API's words
// invalid-request-error.
func TestBrokenBodies(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	for _, call := range calls {
		method, path, _ := parts(call)
		if method != "POST" && path != "/batch/rooms" {
			continue
		}
		for body, want := range map[string]string{
			"{":                    "json-parsing-error",
			"{}x":                  "json-parsing-error",
			"\xff":                 "json-parsing-error",
			`{"a":01}`:             "json-parsing-error",
			"[]":                   "invalid-request-error",
			"7":                    "invalid-request-error",
			"null":                 "invalid-request-error",
			`{"unknown_member":1}`: "invalid-request-error",
		} {
			if a := s.call(method, path, body); a.status != 400 || a.Str("error") != want || a.Str("info") == "" {
				t.Errorf("%s %s: got %d %s, want 400 %s", call, body, a.status, a.Text, want)
			}
		}
	}
	s.call("POST", "/rooms", "{").want(t, 400, "json-parsing-error", "the request is not JSON: unexpected end of JSON input, at byte 1")
	s.call("POST", "/rooms", `{"exp":1}`).want(t, 400, "invalid-request-error", "unknown parameter 'exp'; there are name, privacy, properties")
	s.call("POST", "/rooms", `{"properties":[]}`).want(t, 400, "invalid-request-error", "properties is not an object")
	s.call("POST", "/rooms", `{"name":7}`).want(t, 400, "invalid-request-error", "name is not a string")
}

func TestNotOffered(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	for call, what := range unoffered {
		method, path, _ := parts(call)
		s.call(method, path, "{}").want(t, 404, "not-found", what+" is not offered by this server")
		s.call(method, path+"/", "{").want(t, 404, "not-found", what+" is not offered by this server")
	}
}

func TestUnknownAddresses(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/nothing", "/rooms/r/nothing", "/rooms/r/eject/x", "/Rooms", "/rooms/r/presence/x", "/meetings/x/y", "/rooms/%zz", "/batch", "/meeting-tokens/a/b"} {
		if path == "/rooms/%zz" {
			continue // no client of Go's sends that
		}
		s.call("GET", path, "").want(t, 404, "not-found", "there is nothing at this address")
		s.request("GET", "/v1"+path, "").want(t, 404, "not-found", "there is nothing at this address")
	}
}

// Wrong methods are 404 as well; HEAD is GET without a body.
func TestMethods(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	for path, allow := range map[string]string{
		"":                            "GET, POST",
		"/rooms":                      "GET, POST",
		"/rooms/r":                    "DELETE, GET, POST",
		"/rooms/r/presence":           "GET",
		"/rooms/r/eject":              "POST",
		"/rooms/r/update-permissions": "POST",
		"/rooms/r/send-app-message":   "POST",
		"/rooms/r/set-session-data":   "POST",
		"/rooms/r/get-session-data":   "GET",
		"/batch/rooms":                "DELETE, POST",
		"/meeting-tokens":             "POST",
		"/meeting-tokens/revoke":      "POST",
		"/presence":                   "GET",
		"/meetings":                   "GET",
		"/webhooks":                   "GET, POST",
		"/webhooks/w":                 "DELETE, GET, POST",
	} {
		for _, method := range []string{"PUT", "PATCH", "OPTIONS", "GET", "POST", "DELETE"} {
			if !strings.Contains(allow, method) {
				s.call(method, path, "").want(t, 404, "not-found", fmt.Sprintf("%s is no method of this address, %s is", method, allow))
			}
		}
	}
	for _, path := range []string{"", "/rooms", "/rooms/r", "/presence"} {
		if a := s.call("HEAD", path, ""); a.status != 200 || a.Text != "" || a.header.Get("Content-Length") == "0" {
			t.Errorf("HEAD %s: got %d %v %q", path, a.status, a.header, a.Text)
		}
	}
}

// A body ends at 8 MiB, whatever its length says.
func TestBodiesAreBounded(t *testing.T) {
	s := serve(t)
	body := `{"properties":{"x":"` + strings.Repeat("x", 8<<20) + `"}}`
	s.call("POST", "/rooms", body).want(t, 400, "invalid-request-error", "the request body is too large: the limit is 8388608 bytes")
	// Properties of one room end earlier.
	a := s.call("POST", "/rooms", `{"properties":{"x":"`+strings.Repeat("x", 64<<10)+`"}}`)
	a.want(t, 400, "invalid-request-error", "the properties would have 65544 bytes, the limit is 65536")
	if n := s.must("GET", "/rooms", "").Get("total_count"); n != 0.0 {
		t.Errorf("got %v rooms, want 0", n)
	}
}

// §0: a defect is server-error and nothing more, and the server goes on.
func TestPanics(t *testing.T) {
	s := serve(t, options{api: func(c *daily.Config) {
		c.RoomURL = func(string) string { panic("a secret thing") }
	}})
	s.call("POST", "/rooms", `{"name":"r"}`).is(t, 500, `{"error":"server-error"}`)
	s.must("GET", "/presence", "")
	if !strings.Contains(s.log.String(), "panic in a request") {
		t.Error("the panic was not logged")
	}
}

// bare is the API without sockets, for a bubble of virtual time.
func bare(t testing.TB, change func(*tokens.Domain)) (call func(key, method, path, body string) *httptest.ResponseRecorder, rooms *room.Rooms, domains *tokens.Domains) {
	t.Helper()
	kept := store.NewMemory()
	rooms, err := room.New(room.Config{Store: kept})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		rooms.Close()
		_ = kept.Close()
	})
	d := sessiontest.Domain()
	d.APIKeys = append(d.APIKeys, auth.Secret(secondKey))
	if change != nil {
		change(&d)
	}
	domains = tokens.NewDomains([]tokens.Domain{d})
	keys, err := auth.NewKeys(domains.Keys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := daily.New(daily.Config{Rooms: rooms, Verifier: auth.NewVerifier(keys, 0), Domains: domains, Store: kept, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return func(key, method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/v1"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}, rooms, domains
}

// nobody is the other end of somebody who does not listen.
type nobody struct{}

func (nobody) TryWrite(frames [][]byte) (n int, err error) {
	for _, f := range frames {
		n += len(f)
	}
	return n, nil
}

func (n nobody) WriteSome(frames [][]byte) (int, error) { return n.TryWrite(frames) }
func (nobody) Farewell([]byte, room.Cause, string)      {}
func (nobody) Hurry()                                   {}
func (nobody) Abort()                                   {}
func (nobody) Dialect() int                             { return 0 }
func (nobody) Encode(room.Event) []byte                 { return nil }

// start is a start of the API with what a store has.
func start(t *testing.T, kept store.Store) error {
	t.Helper()
	rooms, err := room.New(room.Config{Store: kept})
	if err != nil {
		t.Fatal(err)
	}
	defer rooms.Close()
	domains := tokens.NewDomains([]tokens.Domain{sessiontest.Domain()})
	_, err = daily.New(daily.Config{Rooms: rooms, Verifier: auth.NewVerifier(nil, 0), Domains: domains, Store: kept})
	return err
}

// §0: rate limits, for each key and route by itself, as documented.
func TestRateLimits(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		calls              int
		every              time.Duration // one more after
	}{
		"the usual":      {"GET", "/rooms/r", "", 100, 50 * time.Millisecond},
		"deleting":       {"DELETE", "/rooms/none", "", 50, 600 * time.Millisecond},
		"recordings":     {"GET", "/recordings", "", 50, 600 * time.Millisecond},
		"batch creation": {"POST", "/batch/rooms", `{"rooms":[]}`, 10, 3 * time.Second},
		"batch deletion": {"DELETE", "/batch/rooms", `{"rooms":[]}`, 10, 3 * time.Second},
		"starting":       {"POST", "/rooms/r/recordings/start", "{}", 5, time.Second},
		"even nonsense":  {"POST", "/rooms", "{", 100, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call, _, _ := bare(t, func(d *tokens.Domain) { d.RateLimits = true })
				limited := func(key string) bool {
					w := call(key, c.method, c.path, c.body)
					if w.Code == http.StatusTooManyRequests {
						if got := w.Body.String(); got != `{"error":"rate-limit-error","info":"too many calls, try again later"}` || w.Header().Get("Retry-After") == "" {
							t.Fatalf("got %v %s", w.Header(), got)
						}
					}
					return w.Code == http.StatusTooManyRequests
				}
				for i := range c.calls {
					if limited(apiKey) {
						t.Fatalf("call %d was refused", i+1)
					}
				}
				for i := range 2 { // the refused call takes nothing
					if !limited(apiKey) {
						t.Fatalf("call %d was not refused", c.calls+1+i)
					}
				}
				if limited(secondKey) {
					t.Error("another key was refused")
				}
				if w := call(apiKey, "GET", "/presence", ""); w.Code != 200 {
					t.Errorf("another route: got %d", w.Code)
				}
				time.Sleep(c.every - time.Millisecond)
				if !limited(apiKey) {
					t.Error("not refused a moment before its time")
				}
				time.Sleep(time.Millisecond)
				if limited(apiKey) {
					t.Error("refused when its time had come")
				}
				if !limited(apiKey) {
					t.Error("one more was not refused")
				}
				time.Sleep(time.Hour)
				for i := range c.calls {
					if limited(apiKey) {
						t.Fatalf("an hour later call %d was refused", i+1)
					}
				}
			})
		})
	}
}

// Without rate_limits nobody is refused.
func TestNoRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, _, _ := bare(t, nil)
		for i := range 300 {
			if w := call(apiKey, "DELETE", "/rooms/none", ""); w.Code != 404 {
				t.Fatalf("call %d: got %d", i+1, w.Code)
			}
		}
	})
}
