package liveblocks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"net/http"
	"net/http/httptest"

	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
)

// plain hides that a listener is of TCP, so that net/http accepts for it.
type plain struct{ net.Listener }

// The same is said however the bytes come: in turns of a poller, by its front or
// by net/http, and with a goroutine for each, in memory and over TLS.
func TestTransports(t *testing.T) {
	for name, serve := range map[string]func() *sessiontest.Server{
		"front": func() *sessiontest.Server { return sessiontest.Serve(t, sessiontest.Options{}) },
		"net/http": func() *sessiontest.Server {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return sessiontest.Serve(t, sessiontest.Options{Listener: plain{l}})
		},
		"memory": func() *sessiontest.Server {
			return sessiontest.Serve(t, sessiontest.Options{Listener: sessiontest.NewMemory()})
		},
		"TLS": func() *sessiontest.Server { return sessiontest.Serve(t, sessiontest.Options{}).OverTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve().For(t)
			create(s, "design", open(mayWrite))
			var people []*sessiontest.Liveblocks
			for n := range 10 {
				// As long as an address may be, and longer, which net/http takes.
				filler := strings.Repeat("x", n*1700)
				c := s.DialLiveblocksAt(s.LiveblocksURL("/v8", "design", sessiontest.LiveblocksVersion, url.Values{"tok": {s.IDToken(fmt.Sprint("p", n))}, "x": {filler}}), nil)
				c.Expect(104)
				c.Present(fmt.Sprintf(`{"n":%d}`, n))
				people = append(people, c)
			}
			edit(s, "design", room.LiveblocksChange{Default: &mayRead})
			for n, c := range people {
				c.Broadcast(fmt.Sprint(n))
			}
			for n, c := range people {
				for range len(people) - 1 {
					c.Expect(103)
				}
				if v := follow(t, c); v.scopes != `["*:read"]` || len(v.users) != len(people)-1 {
					t.Errorf("%d believes %+v", n, v)
				}
			}
			s.DialLiveblocks("elsewhere", s.IDToken("x")).ExpectClose(4001)
			edit(s, "design", room.LiveblocksChange{Default: &[]string{}})
			for _, c := range people {
				c.ExpectClose(4001)
			}
		})
	}
}

// Without an upgrade there is an HTTP answer, as for the native protocol.
func TestNoUpgrade(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	r, err := http.Get(strings.Replace(s.LiveblocksURL("/v8", "x", "3.24.2", nil), "ws", "http", 1))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("got %s", r.Status)
	}
}

// A client that does not read delays nobody, is closed with a code that says "come
// back", and what is kept for it is bounded.
func TestSlowReceiver(t *testing.T) {
	const bound = 100 << 10
	reg := prometheus.NewRegistry()
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		c.Metrics = reg
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReliableBytes = bound
	}})
	slow := s.RawLiveblocks("design", writer(s, "slow"))
	_ = slow.Conn.(*net.TCPConn).SetReadBuffer(4096)
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	bob, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	filler := strings.Repeat("x", 20000)
	most := int64(0)
	var reading sync.WaitGroup
	put := false
	for n := 0; n < 400 || !put && n < 4000; n++ {
		ada.Broadcast(fmt.Sprintf(`{"n":%d,"f":%q}`, n, filler))
		if got := bob.Expect(103).Fields["event"].(map[string]any)["n"]; got != float64(n) {
			t.Fatalf("bob got %v, want %d", got, n)
		}
		most = max(most, s.Rooms.WaitingBytes())
		if !put && n%10 == 9 && counted(t, reg, "usher_slow_receivers_total", "") > 0 {
			put = true
			reading.Go(func() { // it reads on, and learns why
				if code, reason := slow.Closed(); code != 1013 {
					t.Errorf("the slow one got %d %q, want 1013", code, reason)
				}
			})
		}
	}
	if !put {
		t.Error("the slow one stays")
	}
	reading.Wait()
	if most > 10*bound {
		t.Errorf("up to %d bytes waited", most)
	}
}

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

// The token comes in the address. It gets into no log, metric or answer.
func TestNothingSecretIsWritten(t *testing.T) {
	out := new(journal)
	registry := prometheus.NewRegistry()
	logger := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := sessiontest.Serve(t, sessiontest.Options{
		Room:    func(c *room.Config) { c.Log, c.Metrics = logger, registry },
		Session: func(c *session.Config) { c.Log, c.Metrics = logger, registry },
	})
	token := writer(s, "ada")
	parts := strings.Split(token, ".")
	ada, tap := s.TapLiveblocks("design", token)
	ada.Present(`{}`)
	said := []string{ada.Frames()[0]}
	for _, bad := range []string{token[:len(token)-8] + "AAAAAAAA", parts[0] + "." + parts[1], s.Token("design", "kit"), s.ExpiredToken("late"), s.IDToken("nobody")} {
		c := s.DialLiveblocks("nowhere", bad)
		_, reason := c.Closed()
		said = append(said, reason)
	}
	_, reason := s.DialLiveblocksAt(s.LiveblocksURL("/v8", "design", "3.24.2", url.Values{"pubkey": {"pk_wrong_and_secret"}}), nil).Closed()
	said = append(said, reason)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	s.Sessions.Close()
	all := out.String() + rec.Body.String() + strings.Join(said, "\n") + string(tap.Bytes())
	for _, secret := range []string{parts[1], parts[2], "tok=", "pk_wrong"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q was written", secret)
		}
	}
	for _, kind := range []string{"updatePresence", "broadcastEvent", "fetchYdoc"} {
		if !strings.Contains(rec.Body.String(), `usher_messages_total{kind="`+kind+`"}`) {
			t.Errorf("messages are not counted as %s", kind)
		}
	}
	var state map[string]any
	if err := json.Unmarshal([]byte(said[0]), &state); err != nil {
		t.Fatal(err)
	}
}
