package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/web"
	"usher/web/demo"
	"usher/web/sdk"
	api "usher/web/usher"
)

// All tests share one browser; each page is in a context of its own, as if it
// were somebody else's browser.
var shared struct {
	once sync.Once
	ctx  context.Context
	err  error
	end  func()
}

type tests struct{ m *testing.M }

// Run ends the browser, before anybody looks for what was left behind.
func (t tests) Run() int {
	code := t.m.Run()
	if shared.end != nil {
		shared.end()
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// browser starts Chromium with a camera and a microphone that are not there.
func browser(t *testing.T) context.Context {
	t.Helper()
	program := os.Getenv("USHER_CHROMIUM")
	if program == "" {
		t.Skip("NO BROWSER: set USHER_CHROMIUM to a Chromium, or run make test, which installs one where it can")
	}
	shared.once.Do(func() {
		alloc, release := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
			chromedp.ExecPath(program),
			chromedp.NoSandbox, // tests may run as root, which Chromium's sandbox refuses
			chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-quic", true),
			chromedp.Flag("use-fake-device-for-media-stream", "fps=15"),
			chromedp.Flag("use-fake-ui-for-media-stream", true),
			chromedp.WSURLReadTimeout(time.Minute),
		)...)
		first, _ := chromedp.NewContext(alloc)
		shared.ctx = first
		shared.end = func() {
			_ = chromedp.Cancel(first)
			release()
		}
		// The first action's context is the browser's life.
		_, shared.err = chromedp.Run(first, chromedp.Navigate("about:blank"))
	})
	if shared.err != nil {
		t.Fatalf("starting %s: %v", program, shared.err)
	}
	return shared.ctx
}

// A site is usher with the page and the SDK, as the command wires it, behind a
// door that can be shut. Another server can take its place.
type site struct {
	*sessiontest.Server
	t    *testing.T
	door *door
	URL  string
}

func serve(t *testing.T) *site { return serveThrough(t, nil) }

// serveThrough holds each connection to a session until gate is closed, if
// there is one.
func serveThrough(t *testing.T, gate <-chan struct{}) *site {
	t.Helper()
	s := &site{t: t, door: newDoor(t)}
	s.URL = "http://" + s.door.Addr().String()
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
	s.door.lead(s.HTTP.Listener.Addr().String())
}

// A door passes connections on to a server. It can cut them, and stay shut.
type door struct {
	net.Listener
	mu    sync.Mutex
	to    string // empty while it is shut
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

func newDoor(t *testing.T) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l, conns: map[net.Conn]struct{}{}}
	d.wg.Go(func() { // ends with the listener
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				d.wg.Go(func() { d.pass(c) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		d.shut()
		d.wg.Wait()
	})
	return d
}

func (d *door) lead(to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = to
}

func (d *door) pass(in net.Conn) {
	defer in.Close()
	out := d.enter(in)
	if out == nil {
		return
	}
	defer out.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, in)
	delete(d.conns, out)
}

func (d *door) enter(in net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.to == "" {
		return nil
	}
	out, err := net.Dial("tcp", d.to)
	if err != nil {
		return nil
	}
	d.conns[in], d.conns[out] = struct{}{}, struct{}{}
	return out
}

// cut ends all connections, without a word.
func (d *door) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.Close()
	}
}

// shut cuts, and lets nobody in until it leads somewhere again.
func (d *door) shut() {
	d.lead("")
	d.cut()
}

// A tab is the page in a browser of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// expected is what Chromium says of connections that are cut or given up, of
// sound before anybody has clicked, and of frames that wait in its own generator
// when a track is stopped; those of ours are counted in the media tests.
var expected = []string{"WebSocket connection to", "WebSocket is closed before", "Failed to load resource", "The AudioContext was not allowed to start", "VideoFrame was garbage collected"}

// open opens the page and joins with the token. The browser complains of nothing.
func (s *site) open(room, token string, before ...chromedp.Action[chromedp.Void]) *tab {
	t := s.t
	t.Helper()
	opened, cancel := chromedp.NewContext(browser(t), chromedp.WithNewBrowserContext())
	ctx, release := context.WithTimeout(opened, 90*time.Second)
	complaints := chromedp.Console(opened)
	done := make(chan struct{})
	go func() { // ends with the tab
		defer close(done)
		for m, err := range complaints {
			if err != nil {
				return
			}
			known := slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(m.Text, text) })
			if !known {
				t.Errorf("the page complains: %s %s", m.Type, m.Text)
			}
		}
	}()
	t.Cleanup(func() {
		release()
		cancel()
		<-done
	})
	if err := chromedp.Do(ctx, append(before, chromedp.Navigate(s.address(room, token)))...); err != nil {
		t.Fatal(err)
	}
	return &tab{t, ctx}
}

func (s *site) address(room, token string) string {
	return s.URL + "/" + url.PathEscape(room) + "#token=" + url.QueryEscape(token)
}

// until waits until the expression is true, looking whenever the page changes.
func (p *tab) until(expression string) {
	p.t.Helper()
	seen, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`new Promise((done) => {
		const look = () => { if (`+expression+`) end(true) };
		const watch = new MutationObserver(look);
		const late = setTimeout(() => end(false), 20000);
		const end = (seen) => { watch.disconnect(); clearTimeout(late); done(seen); };
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		look();
	})`, awaited))
	if err != nil || !seen {
		page, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.t.Fatalf("waiting for %s: %v; the page says:\n%s", expression, err, page)
	}
}

func awaited(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }

// sees waits until the element with that id holds the text.
func (p *tab) sees(id, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.getElementById(%q).textContent.includes(%s)", id, quote(text)))
}

func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

func (p *tab) eval(expression string) string {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression, awaited))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.querySelector(%s)?.checkVisibility()", quote(selector)))
	p.do(chromedp.Click(selector))
}

// press clicks a button of somebody's, among the further ones if need be.
func (p *tab) press(identity, action string) {
	p.t.Helper()
	row := fmt.Sprintf("[data-identity=%q]", identity)
	selector := fmt.Sprintf("%s [data-action=%q]:not(:disabled)", row, action)
	p.until(fmt.Sprintf("document.querySelector(%s)", quote(selector)))
	if p.eval(fmt.Sprintf("String(document.querySelector(%s).checkVisibility())", quote(selector))) != "true" {
		p.click(row + " [data-action=more]")
	}
	p.click(selector)
}

// says types a message and sends it with the Enter key.
func (p *tab) says(text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys("#text", text+"\r"))
}

// video is the selector of somebody's picture.
func video(identity, kind string) string {
	return fmt.Sprintf(`[data-tile=%q][data-source=%q].live video`, identity, kind)
}

// moves waits until somebody's picture is seen to move.
func (p *tab) moves(identity, kind string) {
	p.t.Helper()
	got := p.eval(`new Promise((done) => {
		const pen = Object.assign(document.createElement("canvas"), { width: 32, height: 18 }).getContext("2d", { willReadFrequently: true });
		const seen = new Set(), end = performance.now() + 20000;
		(function look() {
			const video = document.querySelector(` + quote(video(identity, kind)) + `);
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
		p.t.Fatalf("the picture of %s does not move: %s; the page says:\n%s", identity, got, p.eval("document.body.innerText"))
	}
}

// gone waits until no picture of somebody's is shown.
func (p *tab) gone(identity, kind string) {
	p.t.Helper()
	p.until(fmt.Sprintf("!document.querySelector(%s)", quote(video(identity, kind))))
}

func host(c *livekit.Claims) { c.Video.RoomAdmin = true }

// viewer is as in the link that usher serve --dev prints.
func viewer(c *livekit.Claims) {
	c.Video.CanPublish, c.Video.CanPublishData, c.Video.CanUpdateOwnMetadata = new(false), new(true), new(true)
}

func named(name string) func(*livekit.Claims) { return func(c *livekit.Claims) { c.Name = name } }
