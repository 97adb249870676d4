package livekit_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twitchtv/twirp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

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
	log   *lockedBuffer
	twirp http.Handler
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
		Handler: func(server *sessiontest.Server, sessions http.Handler) http.Handler {
			s.twirp = livekit.New(livekit.Config{Rooms: server.Rooms, Verifier: server.Verifier, Log: log})
			public, _ := web.New(web.Config{
				Session: sessions,
				Twirp:   s.twirp,
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

// The RPCs, each with the grant it needs, with a body that is wrong in every way
// that is looked at after the grant, and with one that is right.
var rpcs = []struct {
	method, grant, wrong, right string
	status                      int // of the right one
	code                        string
}{
	{"ListParticipants", "admin", `{"room":"lobby"}`, `{"room":"lobby"}`, 200, ""},
	{"GetParticipant", "admin", `{"room":"lobby","identity":"nobody"}`, `{"room":"lobby","identity":"bob"}`, 200, ""},
	{"UpdateParticipant", "admin", `{"room":"lobby","identity":"nobody","name":"` + strings.Repeat("n", 300) + `","permission":{"canPublishSources":["NONE"]}}`,
		`{"room":"lobby","identity":"bob","name":"Bob"}`, 200, ""},
	{"RemoveParticipant", "admin", `{"room":"lobby","identity":"nobody","revokeTokenTs":"-1"}`, `{"room":"lobby","identity":"nobody"}`, 404, "not_found"},
	{"MutePublishedTrack", "admin", `{"room":"lobby","identity":"nobody","trackSid":"TR_none"}`, `{"room":"lobby","identity":"bob","track_sid":"TR_none","muted":true}`, 200, ""},
	{"UpdateSubscriptions", "admin", `{"room":"lobby","identity":"nobody","trackSids":["TR_none"]}`, `{"room":"lobby","identity":"bob","track_sids":["TR_none"],"subscribe":true}`, 200, ""},
	{"SendData", "admin", `{"room":"lobby","data":"` + strings.Repeat("AAAA", 400) + `","nonce":"AAAA"}`, `{"room":"lobby","data":"AAAA","kind":"LOSSY"}`, 200, ""},
	{"UpdateRoomMetadata", "admin", `{"room":"lobby","metadata":"` + strings.Repeat("m", 2000) + `"}`, `{"room":"lobby","metadata":"m"}`, 200, ""},
	{"PerformRpc", "admin", `{"room":"lobby"}`, `{"room":"lobby","destination_identity":"nobody","method":"m"}`, 404, "not_found"},
	{"ListRooms", "list", `{"names":["lobby"]}`, `{"names":["lobby"]}`, 200, ""},
	{"CreateRoom", "create", `{"name":"lobby","metadata":"` + strings.Repeat("m", 2000) + `"}`, `{"name":"lobby","empty_timeout":10}`, 200, ""},
	{"MoveParticipant", "move", `{"room":"lobby","identity":"nobody","destinationRoom":"hall"}`, `{"room":"lobby","identity":"nobody","destination_room":"hall"}`, 404, "not_found"},
	{"ForwardParticipant", "move", `{"room":"lobby","identity":"nobody","destinationRoom":"hall"}`, `{"room":"lobby","identity":"bob","destination_room":"hall"}`, 501, "unimplemented"},
	{"DeleteRoom", "create", `{"room":"lobby"}`, `{"room":"lobby"}`, 200, ""}, // the last one
}

func TestGrants(t *testing.T) {
	now := time.Now()
	mint := func(key, secret string, from time.Time) string {
		token, err := tokens.Mint(key, auth.Secret(secret), tokens.Claims{
			Video: &tokens.VideoGrant{RoomAdmin: true, Room: "lobby"},
		}, time.Hour, from)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	with := func(v tokens.VideoGrant) func(*site) string {
		return func(s *site) string { return "Bearer " + s.Token(v.Room, "", grant(v)) }
	}
	// refreshed is a token that a session has got.
	refreshed := func(room string) func(*site) string {
		return func(s *site) string {
			c, _ := s.Join(s.Token(room, "ada", grant(tokens.VideoGrant{RoomJoin: true, RoomAdmin: true, RoomCreate: true, RoomList: true, Room: room})))
			return "Bearer " + c.Expect("refreshToken").Str("token")
		}
	}
	plain := func(authorization string) func(*site) string { return func(*site) string { return authorization } }
	const denied, refused = "unauthenticated", "" // by the service, in plain text
	for name, c := range map[string]struct {
		authorization func(*site) string
		grants        string
		code, says    string // of what is not granted
	}{
		"no token":         {plain(""), "", denied, "permissions denied"},
		"no bearer":        {plain("Basic YWRhOmxvdmVsYWNl"), "", refused, "invalid authorization header. Must start with Bearer"},
		"a bearer of none": {plain("Bearer"), "", refused, "invalid authorization header. Must start with Bearer"},
		"nonsense":         {plain("Bearer abc"), "", refused, "invalid authorization token"},
		"unknown key":      {plain("Bearer " + mint("nobody", sessiontest.Secret, now)), "", refused, "invalid API key"},
		"other secret":     {plain("Bearer " + mint(sessiontest.Key, "another-secret-of-32-bytes-and-more", now)), "", refused, "invalid authorization token: its signature"},
		"expired":          {plain("Bearer " + mint(sessiontest.Key, sessiontest.Secret, now.Add(-2*time.Hour))), "", refused, "invalid authorization token: it has expired"},
		"not yet valid":    {plain("Bearer " + mint(sessiontest.Key, sessiontest.Secret, now.Add(time.Hour))), "", refused, "invalid authorization token: it is not valid yet"},
		"revoked": {func(s *site) string {
			b := s.Rooms.Batch()
			if _, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", TokenID: "gone"}); err != nil {
				t.Fatal(err)
			}
			return "Bearer " + s.Token("lobby", "", grant(tokens.VideoGrant{RoomAdmin: true, Room: "lobby"}), func(c *tokens.Claims) { c.TokenID = "gone" })
		}, "", refused, "invalid authorization token: it was revoked"},
		"no video grant":     {func(s *site) string { return "Bearer " + s.Token("", "bob", func(c *tokens.Claims) { c.Video = nil }) }, "", denied, "permissions denied"},
		"may only join":      {with(tokens.VideoGrant{RoomJoin: false, Room: "lobby"}), "", denied, "permissions denied"},
		"of another room":    {with(tokens.VideoGrant{RoomAdmin: true, Room: "hall"}), "", denied, "permissions denied"},
		"creates":            {with(tokens.VideoGrant{RoomCreate: true}), "create", denied, "permissions denied"},
		"lists":              {with(tokens.VideoGrant{RoomList: true}), "list", denied, "permissions denied"},
		"lists, creates":     {with(tokens.VideoGrant{RoomList: true, RoomCreate: true, Room: "lobby"}), "create list", denied, "permissions denied"},
		"admin":              {with(tokens.VideoGrant{RoomAdmin: true, Room: "lobby"}), "admin", denied, "permissions denied"},
		"moves":              {with(tokens.VideoGrant{RoomAdmin: true, Room: "lobby", DestinationRoom: "hall"}), "admin move", denied, "permissions denied"},
		"moves elsewhere":    {with(tokens.VideoGrant{RoomAdmin: true, Room: "lobby", DestinationRoom: "attic"}), "admin", denied, "permissions denied"},
		"moves from another": {with(tokens.VideoGrant{RoomAdmin: true, Room: "hall", DestinationRoom: "hall"}), "", denied, "permissions denied"},
		"only a destination": {with(tokens.VideoGrant{Room: "lobby", DestinationRoom: "hall"}), "", denied, "permissions denied"},
		"of no room":         {with(tokens.VideoGrant{RoomAdmin: true}), "", denied, "permissions denied"},
		"all there is":       {with(tokens.VideoGrant{RoomAdmin: true, RoomCreate: true, RoomList: true, Room: "lobby", DestinationRoom: "hall"}), "admin create list move", denied, ""},
		"it could join": {func(s *site) string {
			return "Bearer " + s.Token("", "ada", grant(tokens.VideoGrant{RoomAdmin: true, RoomJoin: true}))
		}, "", denied, "permissions denied"},
		"admin and member": {func(s *site) string {
			return "Bearer " + s.Token("lobby", "ada", grant(tokens.VideoGrant{RoomAdmin: true, RoomJoin: true, Room: "lobby"}))
		}, "admin", denied, "permissions denied"},
		"a lower case bearer": {func(s *site) string { return "bearer " + s.admin("lobby") }, "admin", denied, "permissions denied"},
		"lower case claims": {func(s *site) string {
			return "Bearer " + signed(s.T, `{"iss":"`+sessiontest.Key+`","exp":`+fmt.Sprint(now.Add(time.Hour).Unix())+`,"video":{"roomadmin":true,"room":"lobby","destinationroom":"hall","roomlist":true}}`)
		}, "admin move list", denied, "permissions denied"},
		"a session's":               {refreshed("lobby"), "admin create list", denied, "permissions denied"},
		"a session's, of elsewhere": {refreshed("hall"), "", denied, "permissions denied"},
	} {
		for kind, encode := range encodings {
			t.Run(name+"/"+kind, func(t *testing.T) {
				s := serve(t, func(c *room.Config) {
					c.Limits = room.DefaultLimits
					c.Limits.MetadataBytes, c.Limits.DataBytes = 1000, 1000
				})
				s.Join(s.Token("lobby", "bob"))
				header := http.Header{"Content-Type": {"application/" + kind}}
				if a := c.authorization(s); a != "" {
					header.Set("Authorization", a)
				}
				for _, rpc := range rpcs {
					granted := slices.Contains(strings.Fields(c.grants), rpc.grant)
					body, status, code := rpc.wrong, http.StatusUnauthorized, c.code
					if granted {
						body, status, code = rpc.right, rpc.status, rpc.code
					}
					a := s.post(rpc.method, header, bytes.NewReader(encode(t, rpc.method, body)))
					if a.status != status || status != 200 && a.code() != code || !granted && !strings.Contains(a.body, c.says) {
						t.Errorf("%s: got %d %.300s, want %d %q %q", rpc.method, a.status, a.body, status, code, c.says)
					}
				}
			})
		}
	}
}

// Each encoding of a request that is given in JSON.
var encodings = map[string]func(*testing.T, string, string) []byte{
	"json": func(_ *testing.T, _, body string) []byte { return []byte(body) },
	"protobuf": func(t *testing.T, method, body string) []byte {
		t.Helper()
		m, ok := reflect.TypeFor[lk.RoomService]().MethodByName(method)
		if !ok {
			t.Fatalf("there is no %s", method)
		}
		request := reflect.New(m.Type.In(1).Elem()).Interface().(proto.Message)
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(body), request); err != nil {
			t.Fatal(err)
		}
		b, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		return b
	},
}

// signed is a token with these very claims.
func signed(t testing.TB, claims string) string {
	t.Helper()
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(sessiontest.Secret))
	mac.Write([]byte(text))
	return text + "." + b64.EncodeToString(mac.Sum(nil))
}

// A session's own token is good for its own room, whatever it grants.
func TestSessionTokensAreForTheirRoom(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("hall", "bob"))
	c, _ := s.Join(s.Token("lobby", "ada", grant(tokens.VideoGrant{RoomJoin: true, RoomAdmin: true, RoomCreate: true, RoomList: true, Room: "lobby"})))
	token := c.Expect("refreshToken").Str("token")
	if a := s.call("ListRooms", token, `{}`); a.status != 200 || strings.Contains(a.body, `"hall"`) || !strings.Contains(a.body, `"lobby"`) {
		t.Errorf("listing all rooms: got %d %s, want its own", a.status, a.body)
	}
	for method, body := range map[string]string{
		"ListRooms": `{"names":["lobby","hall"]}`, "CreateRoom": `{"name":"another"}`, "DeleteRoom": `{"room":"hall"}`,
		"ListParticipants": `{"room":"hall"}`, "MoveParticipant": `{"room":"lobby","identity":"ada","destinationRoom":"hall"}`,
	} {
		if a := s.call(method, token, body); a.status != 401 || a.code() != "unauthenticated" {
			t.Errorf("%s %s: got %d %s", method, body, a.status, a.body)
		}
	}
	if _, there := s.Rooms.Lookup("test", "another"); there {
		t.Error("it made a room")
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
			if e := twirpError(t, err); e.Code() != twirp.Unauthenticated {
				t.Fatalf("an administrator of one room lists rooms: got %v", err)
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
