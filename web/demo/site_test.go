package demo_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/web"
	"usher/web/browsertest"
	"usher/web/demo"
	"usher/web/sdk"
	api "usher/web/usher"
)

// All tests share one browser; each page is in a context of its own, as if it
// were somebody else's browser.
func TestMain(m *testing.M) { goleak.VerifyTestMain(browsertest.Share(m)) }

// A site is usher with the page and the SDK, as the command wires it, behind a
// door that can be shut. Another server can take its place.
type site struct {
	*sessiontest.Server
	t    *testing.T
	door *browsertest.Door
	URL  string
}

func serve(t *testing.T) *site { return serveThrough(t, nil) }

// serveThrough holds each connection to a session until gate is closed, if
// there is one.
func serveThrough(t *testing.T, gate <-chan struct{}) *site {
	t.Helper()
	s := &site{t: t, door: browsertest.NewDoor(t)}
	s.URL = s.door.URL()
	s.start(gate)
	return s
}

// start puts a new server, with nothing in its memory, behind the door.
func (s *site) start(gate <-chan struct{}) {
	s.t.Helper()
	s.Server = sessiontest.Serve(s.t, sessiontest.Options{
		Handler: func(server *sessiontest.Server, sessions http.Handler) http.Handler {
			held := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if gate != nil {
					select {
					case <-gate:
					case <-r.Context().Done():
						return
					}
				}
				sessions.ServeHTTP(w, r)
			})
			public, _ := web.New(web.Config{
				Session: held, Pages: demo.Handler(), SDK: sdk.Handler(), Metrics: prometheus.NewRegistry(),
				API: api.New(api.Config{Rooms: server.Rooms, Verifier: server.Verifier}),
			})
			return public
		},
	})
	s.door.Lead(s.HTTP.Listener.Addr().String())
}

// A tab is the page in a browser of its own.
type tab struct {
	*browsertest.Tab
	t *testing.T
}

// expected is what Chromium says of connections that are cut or given up, of
// sound before anybody has clicked, and of frames that wait in its own generator
// when a track is stopped; those of ours are counted in the media tests.
var expected = []string{"WebSocket connection to", "WebSocket is closed before", "Failed to load resource", "The AudioContext was not allowed to start", "VideoFrame was garbage collected"}

// open opens the page and joins with the token. The browser complains of nothing.
func (s *site) open(room, token string, before ...browsertest.Action) *tab {
	s.t.Helper()
	return &tab{browsertest.Fresh(s.t, s.address(room, token), expected, before...), s.t}
}

func (s *site) address(room, token string) string {
	return s.URL + "/" + url.PathEscape(room) + "#token=" + url.QueryEscape(token)
}

// sees waits until the element with that id holds the text.
func (p *tab) sees(id, text string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("document.getElementById(%q).textContent.includes(%s)", id, browsertest.Quote(text)))
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("document.querySelector(%s)?.checkVisibility()", browsertest.Quote(selector)))
	p.Do(chromedp.Click(selector))
}

// press clicks a button of somebody's, among the further ones if need be.
func (p *tab) press(identity, action string) {
	p.t.Helper()
	row := fmt.Sprintf("[data-identity=%q]", identity)
	selector := fmt.Sprintf("%s [data-action=%q]:not([aria-disabled=true])", row, action)
	p.Until(fmt.Sprintf("document.querySelector(%s)", browsertest.Quote(selector)))
	if p.Eval(fmt.Sprintf("String(document.querySelector(%s).checkVisibility())", browsertest.Quote(selector))) != "true" {
		p.click(row + " [data-action=more]")
	}
	p.click(selector)
}

// says types a message and sends it with the Enter key.
func (p *tab) says(text string) {
	p.t.Helper()
	p.Do(chromedp.SendKeys("#text", text+"\r"))
}

// video is the selector of somebody's picture.
func video(identity, kind string) string {
	return fmt.Sprintf(`[data-tile=%q][data-source=%q].live video`, identity, kind)
}

// moves waits until somebody's picture is seen to move.
func (p *tab) moves(identity, kind string) {
	p.t.Helper()
	got := p.Eval(`new Promise((done) => {
		const pen = Object.assign(document.createElement("canvas"), { width: 32, height: 18 }).getContext("2d", { willReadFrequently: true });
		const seen = new Set(), end = performance.now() + 20000;
		(function look() {
			const video = document.querySelector(` + browsertest.Quote(video(identity, kind)) + `);
			if (video?.videoWidth) {
				pen.drawImage(video, 0, 0, 32, 18);
				seen.add(pen.getImageData(0, 0, 32, 18).data.join());
			}
			if (seen.size >= 4) done("it moves");
			else if (performance.now() > end) done(seen.size + " pictures, " + (video ? video.videoWidth + " wide" : "no video"));
			else setTimeout(look, 30);
		})();
	})`)
	if got != "it moves" {
		p.t.Fatalf("the picture of %s does not move: %s; the page says:\n%s", identity, got, p.Eval("document.body.innerText"))
	}
}

// gone waits until no picture of somebody's is shown.
func (p *tab) gone(identity, kind string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("!document.querySelector(%s)", browsertest.Quote(video(identity, kind))))
}

func host(c *livekit.Claims) { c.Video.RoomAdmin = true }

// viewer is as in the link that usher serve --dev prints.
func viewer(c *livekit.Claims) {
	c.Video.CanPublish, c.Video.CanPublishData, c.Video.CanUpdateOwnMetadata = new(false), new(true), new(true)
}

func named(name string) func(*livekit.Claims) { return func(c *livekit.Claims) { c.Name = name } }
