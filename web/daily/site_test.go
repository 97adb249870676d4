package daily_test

import (
	"bytes"
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
	tokens "usher/auth/daily"
	"usher/auth/livekit"
	"usher/room"
	"usher/room/store"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/daily"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second on a connection whose body it gave up.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// Keys of the two projects, and what their tokens are signed with. The one has two
// keys.
const (
	apiKey      = sessiontest.DailyAPIKey
	secondKey   = "a-second-api-key-for-tests-of-32-bytes"
	otherKey    = "other-api-key-for-tests-of-32-bytes-and"
	tokenSecret = "signs-the-tokens-of-test-0123456789-abc"
	otherSecret = "signs-the-tokens-of-other-0123456789-ab"
	otherDomain = "00000000-1111-4222-8333-444444444444"
)

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

// A site is a server with sessions and Daily's API.
type site struct {
	*sessiontest.Server
	log   *logged
	store store.Store
}

// Options change how a site is made. Each may be nil.
type options struct {
	room   func(*room.Config)
	domain func(*tokens.Domain)
	api    func(*daily.Config)
	store  store.Store
}

func serve(t *testing.T, all ...options) *site {
	t.Helper()
	var o options
	if len(all) > 0 {
		o = all[0]
	}
	if o.store == nil {
		o.store = store.NewMemory()
	}
	s := &site{log: new(logged), store: o.store}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Server = sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) {
			c.Store, c.Log = s.store, log
			if o.room != nil {
				o.room(c)
			}
		},
		Session: func(c *session.Config) { c.Log = log },
		Handler: func(server *sessiontest.Server, sessions http.Handler) http.Handler {
			domain := sessiontest.Domain()
			domain.Name = "acme"
			domain.APIKeys = append(domain.APIKeys, auth.Secret(secondKey))
			domain.TokenSecret = auth.Secret(tokenSecret)
			if o.domain != nil {
				o.domain(&domain)
			}
			server.Domains.Set([]tokens.Domain{domain, {Project: "other", Name: "other", ID: otherDomain, Strict: true,
				APIKeys: []auth.Secret{auth.Secret(otherKey)}, TokenSecret: auth.Secret(otherSecret)}})
			keys := []auth.Key{{ID: sessiontest.Key, Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: livekit.Format{}}}
			known, err := auth.NewKeys(append(keys, server.Domains.Keys()...), nil)
			if err != nil {
				t.Fatal(err)
			}
			server.Verifier.SetKeys(known)
			c := daily.Config{Rooms: server.Rooms, Verifier: server.Verifier, Domains: server.Domains, Store: s.store, Log: log}
			if o.api != nil {
				o.api(&c)
			}
			api, err := daily.New(c)
			if err != nil {
				t.Fatal(err)
			}
			public, _ := web.New(web.Config{Session: sessions, Daily: api, Metrics: prometheus.NewRegistry(), Log: log})
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
	req, err := http.NewRequestWithContext(s.T.Context(), method, s.HTTP.URL+path, strings.NewReader(body))
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
	a := answer{sessiontest.Event{Text: string(text)}, res.StatusCode, res.Header}
	if len(text) > 0 && text[0] == '{' {
		if err := json.Unmarshal(text, &a.Fields); err != nil {
			s.T.Fatalf("%s %s: %q: %v", method, path, text, err)
		}
	}
	return a
}

// call is a request of the domain's backend.
func (s *site) call(method, path, body string) answer {
	s.T.Helper()
	return s.with(apiKey, method, path, body)
}

func (s *site) with(key, method, path, body string) answer {
	s.T.Helper()
	return s.request(method, "/v1"+path, body, "Authorization", "Bearer "+key)
}

// must is a call that has to succeed: with 200, whatever it did (§0).
func (s *site) must(method, path, body string) answer {
	s.T.Helper()
	a := s.call(method, path, body)
	if a.status != http.StatusOK {
		s.T.Fatalf("%s %s %s: got %d %s", method, path, body, a.status, a.Text)
	}
	return a
}

// want checks an error: its status, its word, and the whole text.
func (a answer) want(t testing.TB, status int, code, info string) {
	t.Helper()
	if a.status != status || a.Str("error") != code || a.Str("info") != info || len(a.Fields) != 2 {
		t.Errorf("got %d %s, want %d %s %q", a.status, a.Text, status, code, info)
	}
}

// is checks an answer to the letter.
func (a answer) is(t testing.TB, status int, text string) {
	t.Helper()
	if a.status != status || a.Text != text {
		t.Errorf("got %d %s, want %d %s", a.status, a.Text, status, text)
	}
}

// token returns a meeting token with those properties, which are JSON.
func (s *site) token(properties string) string {
	s.T.Helper()
	return s.must("POST", "/meeting-tokens", `{"properties":`+properties+`}`).Str("token")
}

// enter joins a room over the native protocol. The token may be empty.
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

// sid is the session's id as it was told.
func sid(joined sessiontest.Event) string { return joined.Str("session") }
