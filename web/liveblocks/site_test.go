package liveblocks_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"usher/auth"
	tokens "usher/auth/liveblocks"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/liveblocks"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second on a connection whose body it gave up.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// Keys of the two projects. The one is also sessiontest's.
const (
	secretKey = "sk_test_0123456789abcdef0123456789abcdef"
	publicKey = "pk_test_0123456789abcdef0123456789abcdef"
	otherKey  = "sk_other_0123456789abcdef0123456789abcde"
)

// signingSecrets are what the projects' tokens are signed with.
var signingSecrets = map[string]auth.Secret{
	"test":  auth.Secret("signs-the-tokens-of-test-0123456789"),
	"other": auth.Secret("signs-the-tokens-of-other-012345678"),
}

// A logged text may be read while it grows.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A site is a server with sessions and Liveblocks' API.
type site struct {
	*sessiontest.Server
	log     *logged
	metrics *prometheus.Registry
	format  auth.Format
	door    *tokens.Door
	api     http.Handler
	base    string // where the API is; empty: at the server
}

func serve(t *testing.T, change ...func(*room.Config)) *site {
	t.Helper()
	s := &site{log: new(logged), metrics: prometheus.NewRegistry(), format: tokens.New(tokens.Config{ReadersBroadcast: true})}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Server = sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) {
			for _, f := range change {
				f(c)
			}
		},
		Session: func(c *session.Config) { c.Log = log },
		Handler: func(server *sessiontest.Server, sessions http.Handler) http.Handler {
			keys := []auth.Key{{ID: sessiontest.Key, Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: livekit.Format{}}}
			var door []tokens.DoorEntry
			for project, key := range map[string]string{"test": secretKey, "other": otherKey} {
				signing := tokens.NewKey(s.format, project, signingSecrets[project])
				keys = append(keys, signing)
				door = append(door, tokens.DoorEntry{Project: project, Secret: auth.Secret(key), Public: strings.Replace(key, "sk_", "pk_", 1), Key: signing, Format: s.format})
			}
			all, err := auth.NewKeys(keys, nil)
			if err != nil {
				t.Fatal(err)
			}
			server.Verifier.SetKeys(all)
			s.door = tokens.NewDoor(door)
			s.api = liveblocks.New(liveblocks.Config{Rooms: server.Rooms, Door: s.door, Log: log})
			public, _ := web.New(web.Config{
				Session:          sessions,
				Liveblocks:       s.api,
				LiveblocksClient: liveblocks.Client(),
				Metrics:          s.metrics, Log: log,
			})
			return public
		},
	})
	return s
}

// An answer of the API.
type answer struct {
	sessiontest.Event
	status int
	header http.Header
}

// request sends a request as it is: nothing of the path is cleaned, no redirect
// is followed.
func (s *site) request(method, path, body string, headers ...string) answer {
	s.T.Helper()
	req, err := http.NewRequestWithContext(s.T.Context(), method, cmp.Or(s.base, s.HTTP.URL)+path, strings.NewReader(body))
	if err != nil {
		s.T.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := *s.HTTP.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	a := answer{sessiontest.Event{Text: strings.TrimSpace(string(text))}, res.StatusCode, res.Header}
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &a.Fields); err != nil {
			s.T.Fatalf("%s %s: %q: %v", method, path, text, err)
		}
	}
	return a
}

// call is a request of the project's backend.
func (s *site) call(method, path, body string) answer {
	s.T.Helper()
	return s.request(method, "/v2"+path, body, "Authorization", "Bearer "+secretKey)
}

// must is a call that has to succeed.
func (s *site) must(method, path, body string) answer {
	s.T.Helper()
	a := s.call(method, path, body)
	if a.status != http.StatusOK && a.status != http.StatusNoContent {
		s.T.Fatalf("%s %s %s: got %d %s", method, path, body, a.status, a.Text)
	}
	return a
}

// want checks an error: every one has a message.
func (a answer) want(t *testing.T, status int, code, message string) {
	t.Helper()
	if a.status != status || a.Str("error") != code || a.Str("message") != message {
		t.Errorf("got %d %s, want %d %s %q", a.status, a.Text, status, code, message)
	}
}

// identify returns an ID token.
func (s *site) identify(body string) string {
	s.T.Helper()
	return s.must("POST", "/identify-user", body).Str("token")
}

// enter joins a room over the native protocol.
func (s *site) enter(room, token string) (*sessiontest.Client, sessiontest.Event) {
	s.T.Helper()
	c := s.Dial(nil)
	c.Send(wire.Message{Type: "join", Room: room, Token: token})
	return c, c.Expect("joined")
}

// refused tries to enter, and returns the close code.
func (s *site) refused(room, token string) wire.CloseCode {
	s.T.Helper()
	return s.Dial(nil).Refused(wire.Message{Type: "join", Room: room, Token: token})
}
