package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/browsertest"
	"usher/web/sdk"
)

// policy is strict: the SDK asks for nothing but its scripts and its server.
const policy = "default-src 'none'; script-src 'self' %s; style-src 'self'; img-src data:; connect-src 'self' http: ws:; " +
	"base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// pages serves the tests' page, which may load scripts from elsewhere as well.
func pages(elsewhere string, token func() string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", fmt.Sprintf(policy, elsewhere))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><title>test</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>`)
	})
	mux.HandleFunc("/page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		text, err := os.ReadFile("test/page.js")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(text)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, token()) })
	return mux
}

// A site is usher with the SDK and the tests' page, behind a door that can be
// shut. Another server can take its place.
type site struct {
	*sessiontest.Server
	t       *testing.T
	door    *browsertest.Door
	URL     string
	browser context.Context // nil: the one that the tests share
}

func serve(t *testing.T, change ...func(*sessiontest.Options)) *site {
	t.Helper()
	s := &site{t: t, door: browsertest.NewDoor(t)}
	s.URL = s.door.URL()
	s.start(change...)
	return s
}

// start puts a new server, with nothing in its memory, behind the door.
func (s *site) start(change ...func(*sessiontest.Options)) {
	s.t.Helper()
	o := sessiontest.Options{Handler: func(_ *sessiontest.Server, sessions http.Handler) http.Handler {
		public, _ := web.New(web.Config{Session: sessions, SDK: sdk.Handler(), Metrics: prometheus.NewRegistry()})
		all := http.NewServeMux()
		page := pages("", func() string { return s.Token("lobby", "ada") })
		for _, path := range []string{"/page", "/page.js", "/token"} {
			all.Handle(path, page)
		}
		all.Handle("/", public)
		return all
	}}
	for _, f := range change {
		f(&o)
	}
	s.Server = sessiontest.Serve(s.t, o)
	s.door.Lead(s.Server.HTTP.Listener.Addr().String())
}

// A tab is the tests' page in a browser.
type tab struct {
	*browsertest.Tab
	t *testing.T
}

// expected is what Chromium says of connections that are cut or refused, and of its
// own generator of tracks: that all frames of ours are closed, package media tests.
var expected = []string{"WebSocket connection to", "WebSocket is closed before", "Failed to load resource", "VideoFrame was garbage collected"}

// open opens the page. The browser complains of nothing.
func (s *site) open() *tab {
	s.t.Helper()
	return s.openAt(s.URL + "/page")
}

func (s *site) openAt(address string) *tab {
	s.t.Helper()
	return s.visit(address).ready()
}

// ready waits for the tests' page.
func (p *tab) ready() *tab {
	p.t.Helper()
	p.js(`new Promise((done) => { const look = () => window.ready ? done(true) : setTimeout(look, 5); look(); })`)
	return p
}

// visit opens any page, which may say more than is expected of them all.
func (s *site) visit(address string, more ...string) *tab {
	s.t.Helper()
	expected := append(more, expected...)
	if s.browser == nil {
		return &tab{browsertest.Fresh(s.t, address, expected), s.t}
	}
	return &tab{browsertest.New(s.t, s.browser, address, expected), s.t}
}

// join opens the page and joins with the token.
func (s *site) join(token string) *tab {
	s.t.Helper()
	p := s.open()
	p.js(`make().connect(location.origin, ` + quote(token) + `)`)
	return p
}

// quote is a value as JavaScript, as JSON.stringify writes it.
func quote(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n")
}

// js evaluates an expression, waits if it is a promise, and returns its value as JSON.
func (p *tab) js(expression string) string {
	p.t.Helper()
	return p.Eval(`(async () => JSON.stringify(await (` + expression + `)) ?? "undefined")()`)
}

// is checks the value of an expression.
func (p *tab) is(expression, want string) {
	p.t.Helper()
	if got := p.js(expression); got != want {
		p.t.Errorf("%s: got %s, want %s", expression, got, want)
	}
}

// until waits until the expression is true, looking whenever the room has an event.
func (p *tab) until(expression string) {
	p.t.Helper()
	if v := p.js(`soon(() => ` + expression + `)`); v != `""` {
		p.t.Fatalf("waiting for %s; the room says %s", expression, v)
	}
}

// heard waits until there have been n events of the name.
func (p *tab) heard(event string, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("events(%q).length >= %d", event, n))
}

// refused returns what a promise was rejected with.
func (p *tab) refused(promise string) (e struct {
	Name, Message, Permission, Layer, ReasonName, CloseReason string
	Code                                                      any
}) {
	p.t.Helper()
	var text string
	if err := json.Unmarshal([]byte(p.js(`outcome(`+promise+`)`)), &text); err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		p.t.Fatal(err)
	}
	if e.Name == "" {
		p.t.Errorf("%s: got %s, want an error", promise, text)
	}
	return e
}

func host(c *livekit.Claims)  { c.Video.RoomAdmin = true }
func named(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = new(true) }

// elsewhere is a server of another origin with the tests' page.
func elsewhere(t *testing.T, s *site) string {
	t.Helper()
	other := httptest.NewServer(pages(s.URL, func() string { return "" }))
	t.Cleanup(other.Close)
	return other.URL
}

// pageOf is the address of the page there, with the SDK of the site.
func pageOf(origin string, s *site) string {
	return origin + "/page?sdk=" + url.QueryEscape(s.URL+"/sdk/usher.js")
}

// expired is a token that has run out.
func (s *site) expired() string {
	s.t.Helper()
	token, err := livekit.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret),
		livekit.Claims{Identity: "ada", Video: &livekit.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, time.Now().Add(-3*time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *site) room(name string) *room.Room {
	s.t.Helper()
	r, ok := s.Rooms.Lookup("test", name)
	if !ok {
		s.t.Fatalf("no room %s", name)
	}
	return r
}

func origins(list ...string) func(*sessiontest.Options) {
	return func(o *sessiontest.Options) { o.Session = func(c *session.Config) { c.Origins = list } }
}

// message is a client's message, of its text.
func message(text string) (m wire.Message) {
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		panic(err)
	}
	return m
}
