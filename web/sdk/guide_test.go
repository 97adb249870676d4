package sdk_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"usher/session"
	"usher/session/sessiontest"
)

// guide is the page of docs/browser-sdk.md, for a server elsewhere.
func guide(t *testing.T, s *site) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/browser-sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "```html\n")
	page, _, closed := strings.Cut(after, "```")
	const server = "http://127.0.0.1:7880"
	if !found || !closed || strings.Count(page, server) != 2 {
		t.Fatalf("docs/browser-sdk.md has no page that names %s twice", server)
	}
	return strings.ReplaceAll(page, server, s.URL)
}

// openCamera starts a browser whose camera and microphone are not there.
func openCamera(t *testing.T) context.Context {
	t.Helper()
	program := os.Getenv("USHER_CHROMIUM")
	if program == "" {
		t.Skip("NO BROWSER: set USHER_CHROMIUM to a Chromium, or run make test, which installs one where it can")
	}
	alloc, release := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // tests may run as root, which Chromium's sandbox refuses
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=10"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
	)...)
	t.Cleanup(release)
	first, _ := chromedp.NewContext(alloc, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() { _ = chromedp.Cancel(first) })
	if _, err := chromedp.Run(first, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	ctx, cancel := context.WithTimeout(first, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// The page of the guide does what the guide says.
func TestGuide(t *testing.T) {
	s := serve(t, func(o *sessiontest.Options) { o.Session = func(c *session.Config) { c.AnyOrigin = true } })
	browser := openCamera(t)
	page := guide(t, s)
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/call.html" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, page)
		}
	}))
	t.Cleanup(there.Close)

	open := func(token string) *tab {
		ctx, cancel := chromedp.NewContext(browser)
		t.Cleanup(cancel)
		p := &tab{t, ctx, s}
		if err := chromedp.Do(ctx, chromedp.Navigate(there.URL+"/call.html"),
			chromedp.SendKeys("#token", token), chromedp.Click("#join")); err != nil {
			t.Fatal(err)
		}
		return p
	}
	// until looks whenever the page changes.
	until := func(p *tab, expression string) {
		t.Helper()
		v := p.js(`new Promise((done) => {
			const look = () => { if (` + expression + `) { watch.disconnect(); done("") } };
			const watch = new MutationObserver(look);
			watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
			setTimeout(() => done(document.body.innerText + " " + document.getElementById("stage").outerHTML), 30000);
			look();
		})`)
		if v != `""` {
			t.Fatalf("waiting for %s; the page: %s", expression, v)
		}
	}
	press := func(p *tab, what string) {
		t.Helper()
		if err := chromedp.Do(p.ctx, chromedp.Click(what)); err != nil {
			t.Fatal(err)
		}
	}
	videos := func(n int) string { return fmt.Sprintf(`document.querySelectorAll("#stage video").length === %d`, n) }
	people := func(text string) string {
		return fmt.Sprintf(`document.getElementById("people").textContent.includes(%q)`, text)
	}

	ada := open(s.Token("call", "ada", host))
	until(ada, people("ada: on stage"))
	bob := open(s.Token("call", "bob"))
	until(bob, people("ada: on stage"))
	until(ada, people("bob: on stage"))
	for i, p := range []*tab{ada, bob} {
		press(p, "#camera")
		for _, q := range []*tab{ada, bob} {
			until(q, videos(i+1))
		}
	}
	for _, p := range []*tab{ada, bob} {
		p.js(`Promise.all([...document.querySelectorAll("#stage video")].map((v) => new Promise((done) => {
			let frames = 0; // each picture moves
			const count = () => ++frames > 5 ? done() : v.requestVideoFrameCallback(count);
			v.requestVideoFrameCallback(count);
		})))`)
	}
	press(ada, "#people button")
	for _, p := range []*tab{ada, bob} {
		until(p, people("bob: listening"))
		until(p, videos(1))
	}
	press(bob, "#camera")
	until(bob, `document.getElementById("state").textContent.includes("needs canPublish; an administrator took it away")`)
	press(ada, "#people button")
	until(bob, people("bob: on stage"))
	press(bob, "#camera")
	for _, p := range []*tab{ada, bob} {
		until(p, videos(2))
	}
}
