package session_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// No token, no key's secret and no resume secret gets into logs, metrics,
// errors, or what a panic leaves behind.
func TestNothingSecretIsWritten(t *testing.T) {
	out := new(journal)
	registry := prometheus.NewRegistry()
	logger := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	refresh := make(chan bool, 1) // tells the next refresh to panic
	s := sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) {
			c.Log, c.Metrics = logger, registry
			sign := c.Refresh
			c.Refresh = func(g *auth.Grant, now auth.Current) (string, time.Time, error) {
				select {
				case <-refresh:
					panic(g)
				default:
				}
				return sign(g, now)
			}
		},
		Session: func(c *session.Config) { c.Log, c.Metrics = logger, registry },
		Log:     log.New(out, "", 0),
		Handler: func(_ *sessiontest.Server, h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Panic") != "" {
					panic(errors.New("a defect"))
				}
				h.ServeHTTP(w, r)
			})
		},
	})
	secrets := []string{"eyJ", sessiontest.Secret, "secret-for-tests", sessiontest.DailyAPIKey, "key-for-tests"}
	keep := func(token string) string {
		parts := strings.Split(token, ".")
		secrets = append(secrets, parts[len(parts)-1]) // the signature, in case the rest is cut
		return token
	}
	join := func(opts *websocket.DialOptions, m wire.Message) *sessiontest.Client {
		c := s.Dial(opts)
		c.Send(m)
		joined := c.Expect("joined")
		secrets = append(secrets, joined.Str("secret"))
		keep(c.Expect("refreshToken").Str("token"))
		return c
	}
	rights := func(c *livekit.Claims) { c.Video.RoomAdmin, c.Video.CanUpdateOwnMetadata = true, ptr(true) }
	ada := join(nil, wire.Message{Type: "join", Token: keep(s.Token("lobby", "ada", rights))})
	bob := join(&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + keep(s.Token("lobby", "bob"))}}}, wire.Message{Type: "join"})
	eve := join(&websocket.DialOptions{Subprotocols: []string{wire.Subprotocol, wire.BearerPrefix + keep(s.Token("lobby", "eve"))}}, wire.Message{Type: "join"})

	// Tokens that are refused, in every place that a token can be.
	good := s.Token("lobby", "mallory")
	parts := strings.Split(good, ".")
	for _, token := range []string{
		good + "x", parts[0] + "." + parts[1], parts[0] + "." + parts[1] + ".", "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"eyJ" + strings.Repeat("a", 100), strings.Repeat("eyJ", 1<<19),
		s.Token("lobby", "mallory", func(c *livekit.Claims) { c.NotBefore = time.Now().Add(time.Hour) }),
		s.Token("", "mallory"), s.Token("lobby", strings.Repeat("m", 300)),
		s.Token("lobby", "mallory", func(c *livekit.Claims) { c.Video.RoomJoin = false }),
	} {
		keep(token)
		if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got == 0 {
			t.Error("a bad token was accepted")
		}
		if len(token) < 4000 {
			_ = s.Dial(&websocket.DialOptions{Subprotocols: []string{wire.Subprotocol, wire.BearerPrefix + token}}).Refused(wire.Message{Type: "join"})
			_ = s.Dial(&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}}).Refused(wire.Message{Type: "join"})
		}
	}
	// Daily's, good and bad ones, of people who wait and of those who let them in.
	s.DailyRoom("call", knocking)
	host := join(nil, wire.Message{Type: "join", Token: keep(s.DailyToken("call", "host", owner))})
	selfSigned := keep(s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "call", "ud": "self", "k": true}))
	waiter, e := s.JoinAs(wire.Message{Token: selfSigned})
	host.OK(wire.Message{Type: "admitParticipant", SID: e.Str("session")})
	secrets = append(secrets, waiter.Expect("joined").Str("secret"))
	keep(waiter.Expect("refreshToken").Str("token"))
	for _, token := range []string{
		selfSigned + "x", s.SelfSigned("another-key-for-tests-of-32-bytes-and-more", map[string]any{"r": "call"}),
		s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "call", "exp": 1}), s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "call", "p": "nonsense"}),
		s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{}), s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "nowhere"}), sessiontest.DailyAPIKey,
	} {
		keep(token)
		if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token, Room: ""}); got == 0 {
			t.Error("a bad Daily token was accepted")
		}
	}
	host.SendText(`{"type":"updatePermissions","id":1000,"data":{"*":{"canSend":"` + selfSigned + `"},"` + selfSigned + `":{"` + selfSigned + `":1}}}`)
	if e := host.Reply(1000); strings.Contains(e.Text, selfSigned) {
		t.Errorf("a token comes back: %.200s", e.Text)
	}
	host.Ask(wire.Message{Type: "ejectParticipant", Identity: "self", Ban: true})
	for _, text := range []string{`{"type":"join","token":["` + good + `"]}`, `{"type":"` + good + `"}`, good, `{"type":"resume","session":"` + good + `","secret":"` + good + `"}`} {
		c := s.Dial(nil)
		c.SendText(text)
		_, _ = c.Closed()
	}
	// A session that does this and that, wrong things as well.
	ada.OK(wire.Message{Type: "updateMetadata", Name: ptr("Ada")})
	keep(ada.Expect("refreshToken").Str("token"))
	ada.SendText(`{"type":"` + good + `","id":1000}`)
	ada.SendText(`{"type":"publishData","id":1001,"payload":"` + good + `","encoding":"` + good + `"}`)
	ada.SendText(`{"type":"ping","token":{"` + good + `":1},"id":1002}`)
	ada.Reply(1002)
	ada.SendText(`{"type":"updateParticipant","id":1003,"identity":"bob","permission":{"canPublish":true,"canPublishSources":["` + good + `"]}}`)
	ada.Reply(1003)
	ada.SendText(`{"type":"updateParticipant","id":1004,"identity":"bob","permission":{"canSubscribe":true}}`)
	keep(bob.Expect("refreshToken").Str("token"))
	ada.SendText(`{"type":"removeParticipant","id":1005,"identity":"bob"}`)
	bob.ExpectClose(wire.Removed)
	_ = eve.WS.CloseNow()

	// A defect in a handler, and one in a session.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.HTTP.URL+"/session?access_token="+good, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Panic", "1")
	r.Header.Set("Authorization", "Bearer "+good)
	if resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r); err == nil {
		_ = resp.Body.Close()
		t.Error("the handler did not panic")
	}
	refresh <- true
	ada.Send(wire.Message{Type: "updateMetadata", Name: ptr("Ada again")})
	_, _ = ada.Closed()
	last := join(nil, wire.Message{Type: "join", Token: s.Token("lobby", "last")})
	leave(last)

	scrape := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := out.String()
	for _, want := range []string{"participant joined", "a defect", "panic"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for where, text := range map[string]string{"log": text, "metrics": scrape.Body.String()} {
		for _, secret := range secrets {
			if i := strings.Index(text, secret); secret != "" && i >= 0 {
				t.Errorf("the %s holds a secret: …%s…", where, text[max(0, i-200):min(len(text), i+50)])
			}
		}
	}
}

// What a crash of the whole process leaves behind holds no secret either.
func TestCrashLeavesNoSecret(t *testing.T) {
	if os.Getenv("USHER_TEST_CRASH") != "" {
		s := sessiontest.Serve(t, sessiontest.Options{})
		c, joined := s.Join(s.Token("lobby", "ada"))
		c.Expect("refreshToken")
		s.Rooms.Each(func(p *room.Participant) {
			panic(errors.Join(errors.New("crash of "+p.Identity), json.Unmarshal([]byte(joined.Text), new(int))))
		})
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashLeavesNoSecret$")
	cmd.Env = append(os.Environ(), "USHER_TEST_CRASH=1", "GOTRACEBACK=all")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("crash of ada")) || !bytes.Contains(out, []byte("goroutine ")) {
		t.Fatalf("it did not crash: %s", out)
	}
	for _, secret := range []string{"eyJ", sessiontest.Secret} {
		if i := bytes.Index(out, []byte(secret)); i >= 0 {
			t.Errorf("the crash shows a secret: %s", out[max(0, i-200):])
		}
	}
}
