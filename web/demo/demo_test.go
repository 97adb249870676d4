package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/browsertest"
	"usher/web/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFiles(t *testing.T) {
	h := demo.Handler()
	get := func(path, tag string) *http.Response {
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Result()
	}
	page := ""
	for path, kind := range map[string]string{
		"/": "text/html", "/lobby": "text/html", "/a%20room": "text/html", "/demo": "text/html",
		"/demo/demo.js": "text/javascript", "/demo/session.js": "text/javascript", "/demo/words.js": "text/javascript",
		"/demo/demo.css": "text/css", "/demo/icon.svg": "image/svg+xml",
	} {
		res := get(path, "")
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || len(body) == 0 {
			t.Errorf("%s: got %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := res.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if strings.Contains(res.Header.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy is unsafe", path)
		}
		if again := get(path, res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: got %d for what the browser has, want 304", path, again.StatusCode)
		}
		if kind == "text/html" {
			if page != "" && page != string(body) {
				t.Errorf("%s is another page", path)
			}
			page = string(body)
		}
	}
	for _, path := range []string{"/demo/index.html", "/demo/nothing.js", "/demo/", "/a/b"} {
		if res := get(path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, res.StatusCode)
		}
	}
}

// A site is a server with the page, as the command wires it.
type site struct {
	*sessiontest.Server
	wires *wires
}

func serve(t *testing.T) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{wires: &wires{Listener: l}}
	s.Server = sessiontest.Serve(t, sessiontest.Options{
		Listener: s.wires,
		Handler: func(_ *sessiontest.Server, sessions http.Handler) http.Handler {
			public, _ := web.New(web.Config{Session: sessions, Pages: demo.Handler(), Metrics: prometheus.NewRegistry()})
			return public
		},
	})
	return s
}

// wires is a listener whose connections can be cut.
type wires struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (w *wires) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.conns = append(w.conns, c)
	}
	return c, err
}

// count is how many connections there have been.
func (w *wires) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// cut ends all connections but the first ones, without a word.
func (w *wires) cut(first int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns[first:] {
		_ = c.Close()
	}
}

// A tab is the page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens the page in a new tab of the browser and joins with the token.
func open(t *testing.T, browser context.Context, s *site, room, token string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	complaints := chromedp.Console(ctx)
	done := make(chan struct{})
	go func() { // ends with the tab
		defer close(done)
		for m, err := range complaints {
			if err != nil {
				return
			}
			t.Errorf("the page complains: %s %s", m.Type, m.Text)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(s.HTTP.URL+"/"+url.PathEscape(room)+"#token="+url.QueryEscape(token))); err != nil {
		t.Fatal(err)
	}
	return &tab{t, ctx}
}

// until waits until the expression is true, looking whenever the page changes.
func (p *tab) until(expression string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`new Promise((done) => {
		const look = () => { if (`+expression+`) { watch.disconnect(); done(true) } };
		const watch = new MutationObserver(look);
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		look();
	})`, awaited))
	if err != nil {
		page, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.t.Fatalf("waiting for %s: %v; the page says:\n%s", expression, err, page)
	}
}

func awaited(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }

// sees waits until the element with that id holds the text.
func (p *tab) sees(id, text string) {
	p.t.Helper()
	quoted, _ := json.Marshal(text)
	p.until(fmt.Sprintf("document.getElementById(%q).textContent.includes(%s)", id, quoted))
}

func (p *tab) eval(expression string) string {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// press clicks a button of somebody's.
func (p *tab) press(identity, action string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Click(fmt.Sprintf(`[data-identity=%q] [data-action=%q]:enabled`, identity, action))); err != nil {
		p.t.Fatalf("pressing %s of %s: %v", action, identity, err)
	}
}

// says types a message and sends it with the Enter key.
func (p *tab) says(text string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.SendKeys("#text", text+"\r")); err != nil {
		p.t.Fatal(err)
	}
}

func host(c *livekit.Claims) { c.Video.RoomAdmin = true }

// Two people meet in the page, talk, one is demoted and told why it may not,
// promoted again, and removed.
func TestTwoPagesMeet(t *testing.T) {
	s := serve(t)
	browser := browsertest.Open(t)
	ada := open(t, browser, s, "lobby", s.Token("lobby", "ada", host))
	ada.sees("status", "Connected")
	bob := open(t, browser, s, "lobby", s.Token("lobby", "bob", func(c *livekit.Claims) { c.Name = "Bob" }))
	ada.sees("people", "Bob")
	bob.sees("people", "ada")
	ada.sees("events", "Bob joined.")
	bob.sees("tokens", "in 9 min")

	bob.says("hello, ada")
	ada.sees("messages", "hello, ada")
	ada.says("hello, Bob")
	bob.sees("messages", "hello, Bob")

	ada.press("bob", "demote")
	bob.sees("events", "Your permissions were changed: you may now receive tracks.")
	ada.sees("people", "listener")
	bob.says("can you hear me?")
	bob.sees("refusal", "canPublishData")
	bob.sees("refusal", "a change made during the session")
	bob.says("and now?") // the server explains once, the page each time
	bob.until("document.querySelectorAll('#messages .refused').length === 2 && document.getElementById('refusal').textContent.includes('canPublishData')")
	ada.press("bob", "promote")
	bob.sees("events", "you may now publish tracks, send messages, receive tracks.")
	bob.says("here I am again")
	ada.sees("messages", "here I am again")
	if got := ada.eval("document.getElementById('messages').textContent"); strings.Contains(got, "hear me") {
		t.Errorf("what was refused arrived: %s", got)
	}
	bob.until("document.querySelectorAll('#tokens tr').length === 3") // one to begin with, one for each change

	ada.press("bob", "remove")
	ada.press("bob", "remove")
	bob.sees("notice", "You were removed (4508)")
	ada.sees("events", "Bob was removed.")
	ada.until("!document.querySelector('[data-identity=bob]')")
	bob.until("!document.getElementById('door').hidden") // a token of later would do
}

// A page whose connection is cut resumes by itself: it misses nothing, and what
// it says meanwhile arrives once. One that is told not to come back does not,
// and says why.
func TestPageComesBack(t *testing.T) {
	s := serve(t)
	browser := browsertest.Open(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	others := s.wires.count()
	token := s.Token("lobby", "ada")
	ada := open(t, browser, s, "lobby", token)
	ada.sees("status", "Connected")
	bob.Expect("participantJoined")

	for round := range 3 {
		s.wires.cut(others)
		bob.ExpectWhere("ada reconnecting", func(e sessiontest.Event) bool { return e.Str("participant.state") == "reconnecting" })
		missed := fmt.Sprintf("did you miss this, %d?", round)
		payload, _ := json.Marshal(missed)
		bob.OK(wire.Message{Type: "publishData", Topic: "chat", Payload: payload})
		said := fmt.Sprintf("said while cut, %d", round)
		ada.says(said)
		bob.ExpectWhere("what ada said", func(e sessiontest.Event) bool { return e.Str("payload") == said })
		ada.until(fmt.Sprintf("[...document.querySelectorAll('#messages p')].filter((l) => l.textContent.includes(%s)).length === 1", payload))
		ada.until(fmt.Sprintf("[...document.querySelectorAll('#events p')].filter((l) => l.textContent.includes('nothing was lost')).length === %d", round+1))
		ada.until("document.querySelectorAll('#messages .waiting').length === 0")
	}
	bob.Sync()
	heard := 0
	for _, e := range bob.Seen() {
		if strings.HasPrefix(e.Str("payload"), "said while cut") {
			heard++
		}
	}
	if heard != 3 {
		t.Errorf("bob heard %d messages, want each of 3 once", heard)
	}

	s.Join(token) // the same identity, elsewhere
	ada.sees("notice", "Taken over (4507)")
	ada.until("!document.getElementById('again').hidden")
	if err := chromedp.Do(ada.ctx, chromedp.Click("#again")); err != nil {
		t.Fatal(err)
	}
	ada.until("document.getElementById('status').textContent === 'Connected' && document.getElementById('notice').hidden")
	if err := chromedp.Do(ada.ctx, chromedp.Click("#leave")); err != nil {
		t.Fatal(err)
	}
	ada.sees("notice", "You left (1000)")
}

// A page without a token asks for one, and says what is wrong with one.
func TestPasting(t *testing.T) {
	s := serve(t)
	browser := browsertest.Open(t)
	ada := open(t, browser, s, "", "")
	paste := func(token string) {
		t.Helper()
		if err := chromedp.Do(ada.ctx, chromedp.SendKeys("#token", token), chromedp.Click("#join button")); err != nil {
			t.Fatal(err)
		}
	}
	paste("nonsense")
	ada.sees("notice", "The token is not valid (4500)")
	paste(s.Token("hall", "ada"))
	ada.sees("status", "Connected")
	ada.sees("room", "hall")
	ada.until("document.getElementById('door').hidden && document.activeElement.id === 'text'")
}

// What others call themselves and say is shown as text, whatever it is.
func TestNothingIsMarkup(t *testing.T) {
	corpus := []string{
		`<script>window.hacked = 1</script>`,
		`<img src=x onerror="window.hacked = 1">`,
		`<svg/onload=window.hacked=1>`,
		`"><iframe srcdoc="<script>parent.hacked=1</script>">`,
		`'"><a href="javascript:window.hacked=1">click</a>`,
		`</bdi></li><style>*{display:none}</style>`,
		`${window.hacked=1}{{window.hacked=1}}`,
		`<b>&lt;&amp;&#x3c;</b>` + "\u202e\u2066evil\u0000",
	}
	s := serve(t)
	browser := browsertest.Open(t)
	ada := open(t, browser, s, "lobby", s.Token("lobby", "ada", host))
	ada.sees("status", "Connected")
	elements := func() string {
		return ada.eval(`JSON.stringify([...new Set([...document.querySelectorAll("#inside *")].map((e) => e.localName))].sort())`)
	}
	for _, text := range corpus {
		evil, _ := s.Join(s.Token("lobby", text, func(c *livekit.Claims) {
			c.Name, c.Metadata, c.Attributes = "name "+text, "metadata "+text, map[string]string{"key " + text: "value " + text}
			c.Video.CanUpdateOwnMetadata = new(true)
		}))
		payload, _ := json.Marshal("chat " + text)
		evil.OK(wire.Message{Type: "publishData", Topic: "chat", Payload: payload})
		evil.OK(wire.Message{Type: "publishData", Topic: "topic " + text, Payload: payload})
		evil.OK(wire.Message{Type: "publishTrack", Kind: "data", Name: &text})
		name := "renamed " + text
		evil.OK(wire.Message{Type: "updateMetadata", Name: &name})
		ada.sees("messages", "chat "+text)
		for _, shown := range []string{"renamed " + text, text, "metadata " + text, "key " + text, "value " + text} {
			ada.sees("people", shown)
		}
		ada.sees("events", "topic "+text)
		ada.sees("events", "is now called renamed "+text)
	}
	want := `["bdi","button","div","form","h2","h3","input","label","li","p","section","span","table","tbody","td","th","thead","time","tr","ul"]`
	ada.until(`document.querySelectorAll("#people .actions").length === ` + fmt.Sprint(len(corpus)))
	if got := elements(); got != want {
		t.Errorf("the page is made of %s, want %s", got, want)
	}
	if got := ada.eval("String(window.hacked)"); got != "undefined" {
		t.Error("a script of somebody else's ran in the page")
	}
}
