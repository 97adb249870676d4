package livekit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twitchtv/twirp"
	"go.uber.org/goleak"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a server with sessions and the RoomService, as the command wires it.
type site struct {
	*sessiontest.Server
	log *lockedBuffer
}

func serve(t *testing.T, change ...func(*room.Config)) *site {
	t.Helper()
	s := &site{log: new(lockedBuffer)}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Server = sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) {
			c.Log = log
			for _, f := range change {
				f(c)
			}
		},
		Session: func(c *session.Config) { c.Log = log },
		Handler: func(s *sessiontest.Server, sessions http.Handler) http.Handler {
			public, _ := web.New(web.Config{
				Session: sessions,
				Twirp:   livekit.New(livekit.Config{Rooms: s.Rooms, Verifier: s.Verifier, Log: log}),
				Metrics: prometheus.NewRegistry(),
				Log:     log,
			})
			return public
		},
	})
	return s
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// admin returns a token like those that LiveKit's SDKs make for each call: it
// names no identity.
func (s *site) admin(room string) string {
	s.T.Helper()
	return s.Token(room, "", grant(tokens.VideoGrant{RoomAdmin: true, Room: room}))
}

func grant(v tokens.VideoGrant) func(*tokens.Claims) {
	return func(c *tokens.Claims) { c.Video = &v }
}

// An answer is what a call was answered with.
type answer struct {
	status int
	body   string
	fields map[string]any // of JSON
}

func (a answer) code() string { s, _ := a.fields["code"].(string); return s }

// get returns a field by its path, "permission.hidden".
func (a answer) get(path string) any { return sessiontest.Event{Fields: a.fields}.Get(path) }

// call makes a call in JSON.
func (s *site) call(method, token, body string) answer {
	s.T.Helper()
	header := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return s.post(method, header, strings.NewReader(body))
}

func (s *site) post(method string, header http.Header, body io.Reader) answer {
	s.T.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.HTTP.URL+"/twirp/livekit.RoomService/"+method, body)
	if err != nil {
		s.T.Fatal(err)
	}
	req.Header = header
	return s.do(req)
}

func (s *site) do(req *http.Request) answer {
	s.T.Helper()
	res, err := s.HTTP.Client().Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	a := answer{status: res.StatusCode, body: string(text)}
	if res.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(text, &a.fields); err != nil {
			s.T.Fatalf("%s: %v", text, err)
		}
	}
	return a
}

// update calls UpdateParticipant and fails the test unless it is granted.
func (s *site) update(body string) answer {
	s.T.Helper()
	a := s.call("UpdateParticipant", s.admin("lobby"), body)
	if a.status != http.StatusOK {
		s.T.Fatalf("got %d %s", a.status, a.body)
	}
	return a
}

// The RPCs that are served, each with a body that is wrong in every way that is
// looked at after the grant, and with one that is right.
var rpcs = []struct {
	method, wrong, right string
	status               int // of the right one
	code                 string
}{
	{"ListParticipants", `{"room":"lobby"}`, `{"room":"lobby"}`, 200, ""},
	{"GetParticipant", `{"room":"lobby","identity":"nobody"}`, `{"room":"lobby","identity":"bob"}`, 200, ""},
	{"UpdateParticipant", `{"room":"lobby","identity":"nobody","name":"` + strings.Repeat("n", 300) + `","permission":{"canPublishSources":["NONE"]}}`,
		`{"room":"lobby","identity":"bob","name":"Bob"}`, 200, ""},
	{"RemoveParticipant", `{"room":"lobby","identity":"nobody"}`, `{"room":"lobby","identity":"nobody"}`, 404, "not_found"},
}

var unimplemented = []string{"CreateRoom", "ListRooms", "DeleteRoom", "MutePublishedTrack", "UpdateSubscriptions",
	"SendData", "UpdateRoomMetadata", "ForwardParticipant", "MoveParticipant", "PerformRpc"}

func TestGrants(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	mint := func(key, secret string, from time.Time) string {
		token, err := tokens.Mint(key, auth.Secret(secret), tokens.Claims{
			Video: &tokens.VideoGrant{RoomAdmin: true, Room: "lobby"},
		}, time.Hour, from)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	now := time.Now()
	const denied, refused = "unauthenticated", "" // by the service, in plain text
	for name, c := range map[string]struct {
		authorization string
		granted       bool
		code, says    string
	}{
		"no token":         {"", false, denied, "permissions denied"},
		"no bearer":        {"Basic YWRhOmxvdmVsYWNl", false, refused, "invalid authorization header. Must start with Bearer"},
		"a bearer of none": {"Bearer", false, refused, "invalid authorization header. Must start with Bearer"},
		"nonsense":         {"Bearer abc", false, refused, "invalid authorization token"},
		"unknown key":      {"Bearer " + mint("nobody", sessiontest.Secret, now), false, refused, "invalid API key"},
		"other secret":     {"Bearer " + mint(sessiontest.Key, "another-secret-of-32-bytes-and-more", now), false, refused, "invalid authorization token: its signature"},
		"expired":          {"Bearer " + mint(sessiontest.Key, sessiontest.Secret, now.Add(-2*time.Hour)), false, refused, "invalid authorization token: it has expired"},
		"not yet valid":    {"Bearer " + mint(sessiontest.Key, sessiontest.Secret, now.Add(time.Hour)), false, refused, "invalid authorization token: it is not valid yet"},
		"may only join":    {"Bearer " + s.Token("lobby", "bob"), false, denied, "permissions denied"},
		"no video grant":   {"Bearer " + s.Token("", "bob", func(c *tokens.Claims) { c.Video = nil }), false, denied, "permissions denied"},
		"lists, creates":   {"Bearer " + s.Token("", "", grant(tokens.VideoGrant{RoomList: true, RoomCreate: true, Room: "lobby"})), false, denied, "permissions denied"},
		"of another room":  {"Bearer " + s.admin("hall"), false, denied, "permissions denied"},
		"of no room":       {"Bearer " + s.admin(""), false, denied, "permissions denied"},
		"admin":            {"Bearer " + s.admin("lobby"), true, "", ""},
		"lower case":       {"bearer " + s.admin("lobby"), true, "", ""},
		"admin and member": {"Bearer " + s.Token("lobby", "ada", grant(tokens.VideoGrant{RoomAdmin: true, RoomJoin: true, Room: "lobby"})), true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Content-Type": {"application/json"}}
			if c.authorization != "" {
				header.Set("Authorization", c.authorization)
			}
			for _, rpc := range rpcs {
				body, status, code := rpc.wrong, http.StatusUnauthorized, c.code
				if c.granted {
					body, status, code = rpc.right, rpc.status, rpc.code
				}
				a := s.post(rpc.method, header, strings.NewReader(body))
				if a.status != status || a.code() != code || !strings.Contains(a.body, c.says) {
					t.Errorf("%s: got %d %s, want %d %q %q", rpc.method, a.status, a.body, status, code, c.says)
				}
			}
			for _, method := range unimplemented {
				status, code := http.StatusNotImplemented, "unimplemented"
				if !c.granted && c.code == refused {
					status, code = http.StatusUnauthorized, ""
				}
				if a := s.post(method, header, strings.NewReader("{}")); a.status != status || a.code() != code {
					t.Errorf("%s: got %d %s, want %d %q", method, a.status, a.body, status, code)
				}
			}
		})
	}
}

// A token of one project sees nothing of another's room of the same name.
func TestProjectsAreApart(t *testing.T) {
	s := serve(t)
	keys, err := auth.NewKeys([]auth.Key{
		{ID: sessiontest.Key, Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: tokens.Format{}},
		{ID: "otherkey", Secret: auth.Secret(sessiontest.Secret), Project: "other", Format: tokens.Format{}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Verifier.SetKeys(keys)
	s.Join(s.Token("lobby", "bob"))
	other, err := tokens.Mint("otherkey", auth.Secret(sessiontest.Secret), tokens.Claims{
		Video: &tokens.VideoGrant{RoomAdmin: true, Room: "lobby"}}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if a := s.call("ListParticipants", other, `{"room":"lobby"}`); a.status != 200 || len(a.get("participants").([]any)) != 0 {
		t.Errorf("got %d %s, want nobody", a.status, a.body)
	}
	if a := s.call("RemoveParticipant", other, `{"room":"lobby","identity":"bob"}`); a.status != 404 {
		t.Errorf("got %d %s, want 404", a.status, a.body)
	}
}

func TestUnknown(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	for _, c := range []struct {
		method, room, identity string
		status                 int
	}{
		{"ListParticipants", "hall", "", 200},
		{"GetParticipant", "hall", "bob", 404},
		{"GetParticipant", "lobby", "ada", 404},
		{"UpdateParticipant", "hall", "bob", 404},
		{"UpdateParticipant", "lobby", "ada", 404},
		{"UpdateParticipant", "lobby", "", 404},
		{"RemoveParticipant", "hall", "bob", 404},
		{"RemoveParticipant", "lobby", "ada", 404},
	} {
		body, _ := json.Marshal(map[string]string{"room": c.room, "identity": c.identity, "name": "x"})
		a := s.call(c.method, s.admin(c.room), string(body))
		switch {
		case a.status != c.status:
			t.Errorf("%s of %s in %s: got %d %s, want %d", c.method, c.identity, c.room, a.status, a.body, c.status)
		case a.status == 200 && a.body != `{"participants":[]}`:
			t.Errorf("%s: got %s, want an empty list", c.method, a.body)
		case a.status == 404 && (a.code() != "not_found" || a.get("msg") != "participant does not exist"):
			t.Errorf("%s: got %s", c.method, a.body)
		}
	}
}

// What Twirp and the surface answer before anybody looks at what is asked.
func TestRequests(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	with := func(kind string) http.Header {
		return http.Header{"Content-Type": {kind}, "Authorization": {"Bearer " + s.admin("lobby")}}
	}
	if a := s.post("UpdateParticipant", with("application/json"), strings.NewReader(`{"room":`)); a.status != 400 || a.get("msg") != "the json request could not be decoded" {
		t.Errorf("broken JSON: got %d %s", a.status, a.body)
	}
	if a := s.post("UpdateParticipant", with("application/protobuf"), strings.NewReader("{}")); a.status != 400 || a.code() != "malformed" {
		t.Errorf("broken protobuf: got %d %s", a.status, a.body)
	}
	if a := s.post("ListParticipants", with("application/json; charset=utf-8"), strings.NewReader(`{"room":"lobby"}`)); a.status != 200 {
		t.Errorf("with a charset: got %d %s", a.status, a.body)
	}
	if a := s.post("ListParticipants", with("text/plain"), strings.NewReader("{}")); a.status != 404 || a.code() != "bad_route" {
		t.Errorf("text: got %d %s", a.status, a.body)
	}
	if a := s.post("Nothing", with("application/json"), strings.NewReader("{}")); a.status != 404 || a.code() != "bad_route" {
		t.Errorf("no such method: got %d %s", a.status, a.body)
	}
	req, _ := http.NewRequest(http.MethodGet, s.HTTP.URL+"/twirp/livekit.RoomService/ListParticipants", nil)
	if a := s.do(req); a.status != 404 || a.code() != "bad_route" {
		t.Errorf("GET: got %d %s", a.status, a.body)
	}

	req, _ = http.NewRequest(http.MethodOptions, s.HTTP.URL+"/twirp/livekit.RoomService/ListParticipants", nil)
	req.Header = http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"},
		"Access-Control-Request-Headers": {"authorization, content-type"}}
	res, err := s.HTTP.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if h := res.Header; res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "*" ||
		h.Get("Access-Control-Allow-Headers") != "authorization, content-type" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: got %d %v", res.StatusCode, h)
	}

	large := `{"room":"lobby","identity":"bob","metadata":"` + strings.Repeat("m", web.MaxAPIBytes) + `"}`
	for name, body := range map[string]io.Reader{
		"announced":     strings.NewReader(large),
		"not announced": io.MultiReader(strings.NewReader(large)),
	} {
		if a := s.post("UpdateParticipant", with("application/json"), body); a.status != 413 || !strings.Contains(a.body, "request body too large") {
			t.Errorf("too large, %s: got %d %s", name, a.status, a.body)
		}
	}
	a := s.post("UpdateParticipant", http.Header{"Content-Type": {"application/json"}}, io.MultiReader(strings.NewReader(large[:1<<20])))
	if a.status != 401 || a.code() != "unauthenticated" {
		t.Errorf("large, without a token: got %d %s", a.status, a.body)
	}
}

// Both of Twirp's encodings, through the generated clients.
func TestClients(t *testing.T) {
	for name, dial := range map[string]func(string, lk.HTTPClient, ...twirp.ClientOption) lk.RoomService{
		"protobuf": lk.NewRoomServiceProtobufClient,
		"JSON":     lk.NewRoomServiceJSONClient,
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			client := dial(s.HTTP.URL, s.HTTP.Client())
			ctx, err := twirp.WithHTTPRequestHeaders(t.Context(), http.Header{"Authorization": {"Bearer " + s.admin("lobby")}})
			if err != nil {
				t.Fatal(err)
			}
			bob, _ := s.Join(s.Token("lobby", "bob"))
			s.Join(s.Token("lobby", "eve", grant(tokens.VideoGrant{RoomJoin: true, Room: "lobby", Hidden: true})))

			list, err := client.ListParticipants(ctx, &lk.ListParticipantsRequest{Room: "lobby"})
			if err != nil || len(list.Participants) != 2 || list.Participants[0].Identity != "bob" || list.Participants[1].Identity != "eve" {
				t.Fatalf("got %v, %v; want bob and hidden eve", list, err)
			}
			info, err := client.UpdateParticipant(ctx, &lk.UpdateParticipantRequest{
				Room: "lobby", Identity: "bob", Name: "Bob", Metadata: "m", Attributes: map[string]string{"a": "1"},
				Permission: &lk.ParticipantPermission{CanPublish: true, CanPublishSources: []lk.TrackSource{lk.TrackSource_MICROPHONE}, CanSubscribe: true},
			})
			if err != nil || info.Name != "Bob" || info.Metadata != "m" || info.Attributes["a"] != "1" || !info.Permission.CanSubscribe ||
				info.Permission.CanPublishData || len(info.Permission.CanPublishSources) != 1 {
				t.Fatalf("got %v, %v", info, err)
			}
			got, err := client.GetParticipant(ctx, &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob"})
			if err != nil || got.Name != "Bob" || got.Sid != info.Sid {
				t.Fatalf("got %v, %v", got, err)
			}
			_, err = client.UpdateParticipant(ctx, &lk.UpdateParticipantRequest{Room: "lobby", Identity: "bob",
				Permission: &lk.ParticipantPermission{CanPublish: true, CanPublishSources: []lk.TrackSource{99}}})
			if e := twirpError(t, err); e.Code() != twirp.InvalidArgument || e.Meta("argument") != "permission.can_publish_sources" {
				t.Fatalf("an unknown source: got %v", err)
			}
			_, err = client.UpdateParticipant(ctx, &lk.UpdateParticipantRequest{Room: "lobby", Identity: "bob", Name: strings.Repeat("n", 257)})
			if e := twirpError(t, err); e.Code() != twirp.InvalidArgument || e.Meta("argument") != "name" {
				t.Fatalf("a long name: got %v", err)
			}
			if _, err := client.RemoveParticipant(ctx, &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob"}); err != nil {
				t.Fatal(err)
			}
			bob.ExpectClose(wire.Removed)
			_, err = client.GetParticipant(ctx, &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob"})
			if e := twirpError(t, err); e.Code() != twirp.NotFound {
				t.Fatalf("got %v, want not found", err)
			}
			_, err = client.ListParticipants(t.Context(), &lk.ListParticipantsRequest{Room: "lobby"})
			if e := twirpError(t, err); e.Code() != twirp.Unauthenticated {
				t.Fatalf("without a token: got %v", err)
			}
			_, err = client.ListRooms(ctx, &lk.ListRoomsRequest{})
			if e := twirpError(t, err); e.Code() != twirp.Unimplemented {
				t.Fatalf("got %v, want unimplemented", err)
			}
		})
	}
}

func twirpError(t *testing.T, err error) twirp.Error {
	t.Helper()
	var e twirp.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error of Twirp", err)
	}
	return e
}

// Nothing that lets anybody in is ever logged, however a call ends.
func TestLogHoldsNoSecrets(t *testing.T) {
	s := serve(t)
	token := s.Token("lobby", "bob", func(c *tokens.Claims) { c.Metadata = "private" })
	bob, joined := s.Join(token)
	refreshed := bob.Expect("refreshToken").Str("token")
	for _, h := range []string{"Bearer " + token, "Bearer " + refreshed, "Basic " + token, token, "Bearer " + token + "x", "Bearer " + s.admin("lobby")} {
		for _, rpc := range rpcs {
			header := http.Header{"Content-Type": {"application/json"}, "Authorization": {h}}
			s.post(rpc.method, header, strings.NewReader(rpc.right))
			s.post(rpc.method, header, strings.NewReader(rpc.wrong))
			s.post(rpc.method+"?access_token="+token, header, strings.NewReader(rpc.right))
		}
	}
	s.update(`{"room":"lobby","identity":"bob","metadata":"private, too","permission":{}}`)
	s.call("RemoveParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`)
	bob.ExpectClose(wire.Removed)
	s.post("GetParticipant", http.Header{"Authorization": {"Bearer " + refreshed}}, strings.NewReader("{}"))

	log := s.log.String()
	for _, want := range []string{"participant updated", "participant removed"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	for what, secret := range map[string]string{
		"a token": "eyJ", "a signature": token[strings.LastIndexByte(token, '.')+1:], "the API secret": sessiontest.Secret,
		"the session's secret": joined.Str("secret"), "metadata": "private",
	} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("the log holds %s: …%s", what, log[max(0, i-100):min(len(log), i+60)])
		}
	}
}
