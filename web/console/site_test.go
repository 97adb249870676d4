package console_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/web"
	"usher/web/browsertest"
	"usher/web/console"
	roomservice "usher/web/livekit"
	"usher/web/usher"
	"usher/web/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(browsertest.Share(m)) }

// A transport answers the requests of webhooks.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A site is a server with the console, as the command wires it. Its webhooks go
// to a backend that fails.
type site struct{ *sessiontest.Server }

func serve(t *testing.T) *site {
	t.Helper()
	sender, err := webhook.New(webhook.Config{
		Store: store.NewMemory(), Encode: roomservice.EncodeWebhook,
		Targets: []webhook.Target{{Project: "test", URL: "https://ada:pass@app.example.com/hook?key=hidden", KeyID: sessiontest.Key, Secret: auth.Secret(sessiontest.Secret)}},
		Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"300"}}, Body: http.NoBody, Request: r}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = sender.Stop(ctx)
	})
	return &site{sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) { c.Observer = sender },
		Handler: func(s *sessiontest.Server, sessions http.Handler) http.Handler {
			public, _ := web.New(web.Config{
				Session: sessions, Console: console.Handler(), Metrics: prometheus.NewRegistry(),
				Twirp: roomservice.New(roomservice.Config{Rooms: s.Rooms, Verifier: s.Verifier}),
				API:   usher.New(usher.Config{Rooms: s.Rooms, Verifier: s.Verifier, Outbox: sender.Outbox}),
			})
			return public
		},
	})}
}

func (s *site) grant(v tokens.VideoGrant) string {
	s.T.Helper()
	return s.Token("", "", func(c *tokens.Claims) { c.Video = &v })
}

// A tab is the console in a browser of its own.
type tab struct {
	*browsertest.Tab
	t *testing.T
}

// open opens the console. Scripts run before those of the page.
func open(t *testing.T, s *site, scripts ...string) *tab {
	t.Helper()
	before := []browsertest.Action{chromedp.EmulateViewport(1280, 800)}
	for _, script := range scripts {
		before = append(before, browsertest.Script(script))
	}
	// Chromium's word for a refusal, which the page tells in its own.
	return &tab{browsertest.Fresh(t, s.HTTP.URL+console.Address, []string{"Failed to load resource"}, before...), t}
}

// sees waits until an element that the selector finds holds the text.
func (p *tab) sees(selector, text string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("[...document.querySelectorAll(%s)].some((e) => e.checkVisibility() && e.textContent.includes(%s))", browsertest.Quote(selector), browsertest.Quote(text)))
}

func (p *tab) gone(selector string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("![...document.querySelectorAll(%s)].some((e) => e.checkVisibility())", browsertest.Quote(selector)))
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.Do(chromedp.Click(selector + ":enabled"))
}

// follow clicks a link.
func (p *tab) follow(selector string) {
	p.t.Helper()
	p.Do(chromedp.Click(selector))
}

// fill puts a text into a field, as pasting does.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.Eval(fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.value = %s; e.dispatchEvent(new Event("input", { bubbles: true })); e.dispatchEvent(new Event("change", { bubbles: true })); return "" })()`, browsertest.Quote(selector), browsertest.Quote(text)))
}

func (p *tab) goTo(hash string) {
	p.t.Helper()
	p.Eval(fmt.Sprintf("location.hash = %s", browsertest.Quote(hash)))
}

// settled waits until a person is shown with all there is, and nothing moves
// away from under a click any more.
func (p *tab) settled() {
	p.t.Helper()
	p.Until("document.querySelector('.state')?.textContent && !['', '…'].includes(document.getElementById('why-camera').textContent)")
}

func (p *tab) signIn(key, secret string) {
	p.t.Helper()
	p.fill("#key", key)
	p.fill("#secret", secret)
	p.click("#by-key button")
}

// in returns a console that is signed in with the key.
func in(t *testing.T, s *site) *tab {
	t.Helper()
	p := open(t, s)
	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("h1", "Rooms")
	return p
}

func host(c *tokens.Claims) { c.Video.RoomAdmin = true }
