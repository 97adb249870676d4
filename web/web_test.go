package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"usher/web"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second on a connection whose body it gave up.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// A log that tests may read while it is written.
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

// A site is the surface, listening.
type site struct {
	public, admin string // base URLs; admin is empty without one
	log           *lockedBuffer
	metrics       *prometheus.Registry
	ready         atomic.Bool
}

// token must never be seen in a log.
const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2VjcmV0"

func serve(t *testing.T, separateAdmin bool) *site {
	t.Helper()
	s := &site{log: &lockedBuffer{}, metrics: prometheus.NewRegistry()}
	s.ready.Store(true)
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	says := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", what, r.PathValue("room"), r.URL.Path)
		})
	}
	public, admin := web.New(web.Config{
		Session: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			_ = c.Close(4000, "bye")
		}),
		Twirp: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/twirp/panic":
				panic(token)
			case "/twirp/late":
				_, _ = io.WriteString(w, "begun")
				panic(errors.New(token))
			case "/twirp/abort":
				panic(http.ErrAbortHandler)
			case "/twirp/bug":
				var none []int
				_ = none[len(r.URL.Path)]
			}
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "twirp %d %v", n, err)
		}),
		Liveblocks:       says("liveblocks"),
		LiveblocksClient: says("liveblocks client"),
		Pages:            says("page"),
		SDK:              says("sdk"),
		Console:          says("console"),
		Ready:            s.ready.Load,
		Metrics:          s.metrics,
		SeparateAdmin:    separateAdmin,
		Log:              log,
	})
	start := func(h http.Handler) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := web.NewServer(h, log)
		done := make(chan struct{})
		go func() { // ends with the Close below
			defer close(done)
			_ = srv.Serve(l)
		}()
		t.Cleanup(func() {
			http.DefaultClient.CloseIdleConnections()
			_ = srv.Close()
			<-done
		})
		return "http://" + l.Addr().String()
	}
	s.public = start(public)
	if separateAdmin {
		s.admin = start(admin)
	} else if admin != nil {
		t.Error("an admin handler without an admin address")
	}
	return s
}

func ask(t *testing.T, method, url string, headers ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil && method != http.MethodHead {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(body)), res.Header
}

const jsonNotFound = `{"code":"not_found","message":"there is nothing at this address"}`

func TestAddresses(t *testing.T) {
	const signal = "the LiveKit signal protocol is not served here yet; connect to /session with the usher.v1 protocol"
	type answer struct {
		status int
		body   string // a prefix
	}
	nothing := answer{404, jsonNotFound}
	tests := []struct {
		request         string
		together        answer // clients' address without an admin address
		clients, admins answer // both addresses, with one
	}{
		{"GET /healthz", answer{200, "ok"}, answer{200, "ok"}, answer{200, "ok"}},
		{"GET /readyz", answer{200, "ready"}, answer{200, "ready"}, answer{200, "ready"}},
		{"GET /metrics", answer{200, "# HELP"}, nothing, answer{200, "# HELP"}},
		{"POST /twirp/livekit.RoomService/X", answer{200, "twirp 0 <nil>"}, nothing, answer{200, "twirp 0 <nil>"}},
		{"GET /debug/pprof/", nothing, nothing, answer{200, "<html>"}},
		{"GET /debug/pprof/cmdline", nothing, nothing, answer{200, ""}},
		{"GET /session", answer{426, "WebSocket protocol violation"}, answer{426, "WebSocket protocol violation"}, nothing},
		{"GET /rtc", answer{501, signal}, answer{501, signal}, nothing},
		{"GET /rtc/v1/validate?access_token=" + token, answer{501, signal}, answer{501, signal}, nothing},
		{"GET /", answer{200, "page"}, answer{200, "page"}, nothing},
		{"HEAD /", answer{200, ""}, answer{200, ""}, answer{404, ""}},
		{"POST /lobby", answer{405, `{"code":"method_not_allowed"`}, answer{405, `{"code":"method_not_allowed"`}, nothing},
		{"GET /lobby", answer{200, "page lobby"}, answer{200, "page lobby"}, nothing},
		{"GET /a%2Fb%20c", answer{200, "page a/b c"}, answer{200, "page a/b c"}, nothing},
		{"GET /demo/demo.js", answer{200, "page  /demo/demo.js"}, answer{200, "page  /demo/demo.js"}, nothing},
		{"GET /sdk/usher.js", answer{200, "sdk  /sdk/usher.js"}, answer{200, "sdk  /sdk/usher.js"}, nothing},
		{"GET /sdk/media/index.js", answer{200, "sdk  /sdk/media/index.js"}, answer{200, "sdk  /sdk/media/index.js"}, nothing},
		{"POST /sdk/usher.js", answer{405, `{"code":"method_not_allowed"`}, answer{405, `{"code":"method_not_allowed"`}, nothing},
		{"GET /sdk", nothing, nothing, nothing},
		{"GET /demo/a/b", nothing, nothing, nothing},
		{"GET /lobby/x", nothing, nothing, nothing},
		{"GET /v7?roomId=r&tok=" + token, answer{426, "WebSocket protocol violation"}, answer{426, "WebSocket protocol violation"}, nothing},
		{"GET /v8?roomId=r&tok=" + token, answer{426, "WebSocket protocol violation"}, answer{426, "WebSocket protocol violation"}, nothing},
		{"GET /ai/v7", answer{426, "WebSocket protocol violation"}, answer{426, "WebSocket protocol violation"}, nothing},
		{"GET /ai", nothing, nothing, nothing},
		{"POST /v2/rooms", answer{200, "liveblocks  /v2/rooms"}, nothing, answer{200, "liveblocks  /v2/rooms"}},
		{"GET /v2/rooms/a%2F%2Fb", answer{200, "liveblocks  /v2/rooms/a//b"}, nothing, answer{200, "liveblocks  /v2/rooms/a//b"}},
		{"GET /v2/rooms//x/../y", answer{200, "liveblocks  /v2/rooms//x/../y"}, nothing, answer{200, "liveblocks  /v2/rooms//x/../y"}},
		{"GET /v2/rooms/%2E%2E", answer{200, "liveblocks  /v2/rooms/.."}, nothing, answer{200, "liveblocks  /v2/rooms/.."}},
		{"GET /v2/c/rooms/x/threads", answer{200, "liveblocks client  /v2/c/rooms"}, answer{200, "liveblocks client  /v2/c/rooms"}, answer{200, "liveblocks  /v2/c/rooms"}},
		{"GET /v2/c/../rooms", answer{200, "liveblocks client  /v2/c/../rooms"}, answer{200, "liveblocks client  /v2/c/../rooms"}, answer{200, "liveblocks  /v2/c/../rooms"}},
		{"GET /v2", nothing, nothing, nothing},
		{"GET /favicon.ico", nothing, nothing, nothing},
		{"GET /console", answer{200, "console  /console"}, nothing, answer{200, "console  /console"}},
		{"GET /console/console.js", answer{200, "console  /console/console.js"}, nothing, answer{200, "console  /console/console.js"}},
		{"POST /console", answer{405, `{"code":"method_not_allowed"`}, nothing, answer{405, `{"code":"method_not_allowed"`}},
		{"GET /console/", nothing, nothing, nothing},
	}
	one, two := serve(t, false), serve(t, true)
	for _, test := range tests {
		method, path, _ := strings.Cut(test.request, " ")
		for _, at := range []struct {
			name, base string
			want       answer
		}{
			{"together", one.public, test.together},
			{"clients", two.public, test.clients},
			{"admins", two.admin, test.admins},
		} {
			status, body, header := ask(t, method, at.base+path)
			if status != at.want.status || !strings.HasPrefix(body, at.want.body) {
				t.Errorf("%s, %s: got %d %.80q, want %d %q", test.request, at.name, status, body, at.want.status, at.want.body)
			}
			if header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("%s, %s: no referrer policy", test.request, at.name)
			}
		}
	}
}

func TestWebSocketPassesThrough(t *testing.T) {
	s := serve(t, true)
	c, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.public, "http")+"/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	_, _, err = c.Read(t.Context())
	if websocket.CloseStatus(err) != 4000 {
		t.Errorf("got %v, want close code 4000", err)
	}
}

func TestNotReady(t *testing.T) {
	s := serve(t, false)
	s.ready.Store(false)
	if status, body, _ := ask(t, "GET", s.public+"/readyz"); status != 503 || body != "stopping" {
		t.Errorf("readyz: got %d %q, want 503 stopping", status, body)
	}
	if status, _, _ := ask(t, "GET", s.public+"/healthz"); status != 200 {
		t.Errorf("healthz: got %d, want 200: a stopping server is healthy", status)
	}
}

func TestPreflight(t *testing.T) {
	s := serve(t, false)
	status, body, header := ask(t, "OPTIONS", s.public+"/twirp/livekit.RoomService/ListParticipants",
		"Origin", "https://app.example.com",
		"Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type")
	if status != 204 || body != "" {
		t.Errorf("got %d %q, want 204 without a body", status, body)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Access-Control-Allow-Headers": "authorization,content-type",
		"Access-Control-Allow-Methods": "POST",
	} {
		if got := header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", name, got, want)
		}
	}
	if _, _, header := ask(t, "POST", s.public+"/twirp/x"); header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("the answer itself may not be read by pages")
	}
}

func TestPanicEndsTheRequestOnly(t *testing.T) {
	s := serve(t, false)
	status, body, _ := ask(t, "POST", s.public+"/twirp/panic?access_token="+token, "Authorization", "Bearer "+token)
	if want := `{"code":"internal","message":"internal error"}`; status != 500 || body != want {
		t.Errorf("got %d %q, want 500 %q", status, body, want)
	}
	if status, body, _ := ask(t, "POST", s.public+"/twirp/late"); status != 200 || body != "begun" {
		t.Errorf("panic after the answer began: got %d %q", status, body)
	}
	if status, _, _ := ask(t, "POST", s.public+"/twirp/bug"); status != 500 {
		t.Errorf("got %d, want 500", status)
	}
	if _, err := http.Post(s.public+"/twirp/abort", "", nil); err == nil {
		t.Error("an aborted answer arrived")
	}
	log := s.log.String()
	for _, want := range []string{"panic=string", "panic=*errors.errorString", "index out of range", "web_test.go"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q", want)
		}
	}
	// What a log line must never hold, wherever the request had it.
	for _, secret := range []string{token, "access_token", "Bearer"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestLimits(t *testing.T) {
	s := serve(t, false)
	if status, _, _ := ask(t, "GET", s.public+"/healthz", "X", strings.Repeat("a", web.MaxHeaderBytes-1<<10)); status != 200 {
		t.Errorf("headers below the limit: got %d, want 200", status)
	}
	if status, _, _ := ask(t, "GET", s.public+"/healthz", "X", strings.Repeat("a", web.MaxHeaderBytes)); status != 431 {
		t.Errorf("headers above the limit: got %d, want 431", status)
	}
	res, err := http.Post(s.public+"/twirp/x", "application/json", bytes.NewReader(make([]byte, web.MaxAPIBytes+1)))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("body above the limit: got %d, want 413", res.StatusCode)
	}
	// Without a length in the header, the reader finds out.
	res, err = http.Post(s.public+"/twirp/x", "application/json", io.MultiReader(bytes.NewReader(make([]byte, web.MaxAPIBytes+1))))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); !strings.Contains(string(body), "request body too large") {
		t.Errorf("body above the limit in chunks: got %q", body)
	}
}

func TestMetricsHaveClosedLabels(t *testing.T) {
	s := serve(t, false)
	for i := range 5 {
		ask(t, "GET", fmt.Sprintf("%s/room-%d?token=%d", s.public, i, i))
		ask(t, "GET", fmt.Sprintf("%s/deep/%d", s.public, i))
	}
	err := testutil.GatherAndCompare(s.metrics, strings.NewReader(`
# HELP usher_http_requests_total HTTP requests answered, by route and status code.
# TYPE usher_http_requests_total counter
usher_http_requests_total{code="200",route="/{room}"} 5
usher_http_requests_total{code="404",route="/"} 5
`), "usher_http_requests_total")
	if err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(s.metrics); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestWithoutOptionalHandlers(t *testing.T) {
	public, _ := web.New(web.Config{Session: http.NotFoundHandler(), Metrics: prometheus.NewRegistry()})
	srv := httptest.NewServer(public)
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for _, path := range []string{"/", "/lobby", "/twirp/x", "/console", "/v2/rooms", "/v2/c/threads"} {
		if status, body, _ := ask(t, "GET", srv.URL+path); status != 404 || body != jsonNotFound {
			t.Errorf("%s: got %d %q, want 404", path, status, body)
		}
	}
	if status, _, _ := ask(t, "GET", srv.URL+"/readyz"); status != 200 {
		t.Errorf("readyz: got %d, want 200", status)
	}
}
