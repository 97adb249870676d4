package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/browsertest"
	"usher/web/console"
	roomservice "usher/web/livekit"
	"usher/web/usher"
	"usher/web/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFiles(t *testing.T) {
	h := console.Handler()
	get := func(path, tag string) *http.Response {
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Result()
	}
	for path, kind := range map[string]string{
		"/console": "text/html", "/console/console.js": "text/javascript", "/console/console.css": "text/css", "/console/icon.svg": "image/svg+xml",
	} {
		res := get(path, "")
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || len(body) == 0 {
			t.Errorf("%s: got %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		policy := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q has no %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is unsafe", path)
		}
		if again := get(path, res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: got %d for what the browser has, want 304", path, again.StatusCode)
		}
	}
	for _, path := range []string{"/", "/console/index.html", "/console/nothing.js", "/console/"} {
		if res := get(path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, res.StatusCode)
		}
	}
}

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

// A tab is the console in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens the console in a new tab of the browser. Scripts run before those
// of the page.
func open(t *testing.T, browser context.Context, s *site, scripts ...string) *tab {
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
			if !strings.Contains(m.Text, "Failed to load resource") { // Chromium's word for a refusal, which the page tells in its own
				t.Errorf("the page complains: %s %s", m.Type, m.Text)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	p := &tab{t, ctx}
	for _, script := range scripts {
		p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
			return err
		}))
	}
	p.do(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(s.HTTP.URL+console.Address))
	return p
}

// patience is how long one thing may take to be seen.
const patience = 30 * time.Second

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx); err != nil { // the tab opens, for longer than the timeout
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.t.Fatalf("%v; the page says:\n%s", err, text)
	}
}

// until waits until the expression is true, looking whenever the page changes.
func (p *tab) until(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise((done) => {
		const look = () => { if (`+expression+`) { watch.disconnect(); document.removeEventListener("focusin", look); done(true) } };
		const watch = new MutationObserver(look);
		watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
		document.addEventListener("focusin", look);
		look();
	})`, awaited))
	if err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.t.Fatalf("waiting for %s: %v; the page says:\n%s", expression, err, text)
	}
}

func awaited(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// sees waits until an element that the selector finds holds the text.
func (p *tab) sees(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("[...document.querySelectorAll(%s)].some((e) => e.checkVisibility() && e.textContent.includes(%s))", quote(selector), quote(text)))
}

func (p *tab) gone(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf("![...document.querySelectorAll(%s)].some((e) => e.checkVisibility())", quote(selector)))
}

func (p *tab) eval(expression string) string {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(selector + ":enabled"))
}

// follow clicks a link.
func (p *tab) follow(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(selector))
}

// fill puts a text into a field, as pasting does.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.value = %s; e.dispatchEvent(new Event("input", { bubbles: true })); e.dispatchEvent(new Event("change", { bubbles: true })); return "" })()`, quote(selector), quote(text)))
}

func (p *tab) goTo(hash string) {
	p.t.Helper()
	p.eval(fmt.Sprintf("location.hash = %s", quote(hash)))
}

// settled waits until a person is shown with all there is, and nothing moves
// away from under a click any more.
func (p *tab) settled() {
	p.t.Helper()
	p.until("document.querySelector('.state')?.textContent && !['', '…'].includes(document.getElementById('why-camera').textContent)")
}

func (p *tab) signIn(key, secret string) {
	p.t.Helper()
	p.fill("#key", key)
	p.fill("#secret", secret)
	p.click("#by-key button")
}

// in returns a console that is signed in with the key.
func in(t *testing.T, browser context.Context, s *site) *tab {
	t.Helper()
	p := open(t, browser, s)
	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("h1", "Rooms")
	return p
}

func host(c *tokens.Claims) { c.Video.RoomAdmin = true }

// Who may come in, with what, and what those are told who may not.
func TestSigningIn(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	browser := browsertest.Open(t)
	p := open(t, browser, s)
	p.signIn("nokey", sessiontest.Secret)
	p.sees("#by-key-problem", "The server does not know this API key.")
	p.signIn(sessiontest.Key, "another-secret-of-more-than-32-bytes")
	p.sees("#by-key-problem", "The secret is not the one that belongs to this key.")
	expired, err := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{Video: &tokens.VideoGrant{RoomAdmin: true}}, time.Minute, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{
		"nonsense":              "This is no token",
		s.Token("lobby", "ada"): "this token administers nothing",
		s.grant(tokens.VideoGrant{RoomAdmin: true, RoomJoin: true}): "administers neither a room nor the project",
		expired: "The token has run out.",
	} {
		p.fill("#token", token)
		p.click("#by-token button")
		p.until(fmt.Sprintf("document.getElementById('by-token-problem').textContent.toLowerCase().includes(%s)", quote(strings.ToLower(want))))
	}

	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("#rooms", "lobby")
	p.sees("#who", sessiontest.Key)
	if got := p.eval(`JSON.stringify([document.getElementById("secret").value, localStorage.length, sessionStorage.length, document.cookie, location.href.includes("secret")])`); got != `["",0,0,"",false]` {
		t.Errorf("the page keeps %s", got)
	}
	p.click("#out")
	p.sees("#outcome", "You are signed out.")
	p.gone("#view")
	if got := p.eval(`document.getElementById("view").textContent + location.hash`); got != "" {
		t.Errorf("after signing out there is %s", got)
	}
	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("#rooms", "lobby")
	p.do(chromedp.Reload())
	p.sees("#door", "Sign in")

	// A token of a room leads to it, and nowhere else.
	p.fill("#token", s.grant(tokens.VideoGrant{RoomAdmin: true, Room: "lobby"}))
	p.click("#by-token button")
	p.sees("#people", "bob")
	p.goTo("#/webhooks")
	p.until("location.hash === '#/room/lobby'")
	p.goTo("#/revocations")
	p.sees("h1", "Revocations")
	p.click("#out")

	// The project's own leads everywhere, and what it is not good for is not offered.
	p.fill("#token", s.grant(tokens.VideoGrant{RoomAdmin: true}))
	p.click("#by-token button")
	p.follow("[data-room=lobby]")
	p.follow("[data-identity=bob]")
	p.sees(".notice", "sign in with the API key")
	p.sees("#why-camera", "Given by the token")
	p.gone("#move")
	p.click("#remove")
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "bob was removed.")
	p.sees("#view", "Nobody is here.")
}

// Without WebCrypto the page says why it cannot sign.
func TestInsecureContext(t *testing.T) {
	s := serve(t)
	p := open(t, browsertest.Open(t), s, `Object.defineProperty(Crypto.prototype, "subtle", { get() { return undefined } })`)
	p.sees("#insecure", "over plain http from another machine")
	p.until("document.querySelector('#by-key button').disabled")
	p.fill("#token", s.grant(tokens.VideoGrant{RoomAdmin: true}))
	p.click("#by-token button")
	p.sees("h1", "Rooms")
}

// Rooms come and go by themselves; they are made, described, found and deleted.
func TestRooms(t *testing.T) {
	s := serve(t)
	p := in(t, browsertest.Open(t), s)
	p.sees("#view", "No room lives.")
	bob, _ := s.Join(s.Token("lobby", "bob"))
	p.sees("[data-room=lobby]", "1 person")
	p.click("#new-room")
	p.fill("dialog input", "stage")
	p.fill("dialog textarea", "made by hand")
	p.click("dialog button[type=submit]")
	p.sees("h1", "stage")
	p.sees(".metadata", "made by hand")
	p.click("#edit-room")
	p.fill("dialog textarea", "changed")
	p.click("dialog button[type=submit]")
	p.sees(".metadata", "changed")
	p.goTo("#/rooms")
	p.sees("#rooms", "stage")
	p.fill("input[type=search]", "LOB")
	p.gone("[data-room=stage]")
	p.sees("#rooms", "lobby")
	p.follow("[data-room=lobby]")
	p.sees(".facts", "since")
	p.click("#delete-room")
	p.click("dialog button[type=submit]")
	bob.ExpectClose(wire.RoomDeleted)
	p.sees("#outcome", "is deleted")
	p.gone("[data-room=lobby]")
}

// A switch is felt by the session at once, and the page says who decided.
func TestPermissions(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob", func(c *tokens.Claims) { c.Name = "Bob" }))
	bob.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	p := in(t, browsertest.Open(t), s)
	p.goTo("#/room/lobby/bob")
	p.sees("#why-camera", "Given by the token, issued")
	p.sees("#tracks", "camera")
	p.settled()
	p.click("[data-right=camera]")
	p.sees("#said", "Done: Bob may no longer publish camera. It is in force.")
	p.sees("#why-camera", "Taken live by "+sessiontest.Key)
	p.sees("#why-camera", "the token, issued")
	p.gone("#tracks li")
	bob.Expect("trackUnpublished")
	if e := bob.Ask(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"}); e.Str("code") != "not_allowed" || e.Str("layer") != "live" {
		t.Errorf("got %s", e.Text)
	}
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	p.sees("#tracks", "microphone")

	// Two at once go one after another, and neither undoes the other.
	p.eval(`(() => { for (const s of ["microphone", "screen_share"]) document.querySelector("[data-right=" + s + "]").click(); return "" })()`)
	bob.Expect("trackUnpublished")
	p.until(`["camera", "microphone", "screen_share"].every((s) => { const i = document.querySelector("[data-right=" + s + "]"); return !i.checked && !i.ariaBusy && document.getElementById("why-" + s).textContent.startsWith("Taken live") })`)
	p.until(`document.querySelector("[data-right=screen_share_audio]").checked`)
	p.click("[data-right=camera]")
	p.sees("#why-camera", "Given live")
	bob.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})

	p.click("[data-right=canPublishData]")
	p.sees("#said", "Done: Bob may no longer send data and presence.")
	payload, _ := json.Marshal("hi")
	if e := bob.Ask(wire.Message{Type: "publishData", Payload: payload}); e.Str("code") != "not_allowed" {
		t.Errorf("got %s", e.Text)
	}

	// Somebody else's change shows by itself.
	mod, _ := s.Join(s.Token("lobby", "mod", host))
	mod.OK(wire.Message{Type: "updateParticipant", Identity: "bob", Permission: &wire.Permission{CanSubscribe: true, Hidden: true}})
	p.until(`document.querySelector("[data-right=hidden]").checked`)
	p.sees("#why-hidden", "Given live by mod")
	p.sees(".title", "hidden")

	// Name, metadata and attributes; what is written is not overwritten.
	p.fill("#person-name", "Robert")
	mod.OK(wire.Message{Type: "updateParticipant", Identity: "bob", Permission: &wire.Permission{CanSubscribe: true, CanPublish: true}})
	p.until(`!document.querySelector("[data-right=hidden]").checked && document.querySelector("#person-name").value === "Robert"`)
	p.fill("#person-metadata", "at the door")
	p.click("#save")
	p.sees("#outcome", "Saved")
	bob.ExpectWhere("the new name", func(e sessiontest.Event) bool {
		return e.Str("participant.name") == "Robert" && e.Str("participant.metadata") == "at the door"
	})
	p.sees("#people", "Robert")

	bob.Send(wire.Message{Type: "leave"})
	p.sees(".person", "Is not here. What was stated about them holds")
	p.until(`document.querySelector("[data-right=camera]").disabled`)
}

// What is done to people reaches them.
func TestActs(t *testing.T) {
	s := serve(t)
	p := in(t, browsertest.Open(t), s)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	cleo, _ := s.Join(s.Token("lobby", "cleo"))
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	p.goTo("#/room/lobby/bob")
	p.settled()
	p.click("#tracks button")
	p.sees("#said", "microphone is muted.")
	p.sees("#tracks", "muted")
	bob.ExpectWhere("the mute", func(e sessiontest.Event) bool { return strings.Contains(e.Text, `"muted":true`) })

	// To one, to all.
	p.click("#send-one")
	p.fill("dialog textarea", "only you, ñ")
	p.fill("dialog input", "news")
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "Sent to 1 person.")
	p.click("#send")
	p.fill("dialog textarea", "everybody")
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "Sent to everybody")
	only := bob.Expect("data")
	if only.Str("topic") != "news" || only.Str("payload") != "b25seSB5b3UsIMOx" {
		t.Errorf("got %s", only.Text)
	}
	if e := cleo.Expect("data"); e.Str("payload") != "ZXZlcnlib2R5" {
		t.Errorf("got %s", e.Text)
	}

	p.click("#move")
	p.fill("dialog input", "hall")
	p.click("dialog button[type=submit]")
	if e := bob.Expect("moved"); e.Str("room.name") != "hall" {
		t.Errorf("got %s", e.Text)
	}
	bob.Send(wire.Message{Type: "movedAck"})
	p.sees("#outcome", "bob was moved to hall.")
	p.follow("#outcome a")
	p.sees("h1", "hall")
	p.settled()
	p.click("#move")
	p.fill("dialog input", "hall")
	p.click("dialog button[type=submit]")
	p.until(`document.querySelector("dialog .refusal").textContent !== ""`)
	p.click("dialog .quiet")

	p.click("#remove")
	p.click("dialog button[type=submit]")
	bob.ExpectClose(wire.Removed)
	p.sees("#outcome", "bob was removed.")

	// Revoked, listed, and lifted.
	token := s.Token("lobby", "cleo", func(c *tokens.Claims) { c.TokenID = "of-cleo" })
	p.goTo("#/room/lobby/cleo")
	p.sees("#person-title", "cleo")
	p.settled()
	p.click("#revoke")
	p.until(`document.querySelector("dialog select").value === "person"`)
	p.fill("dialog input[maxlength]", "spam")
	p.click("dialog button[type=submit]")
	cleo.ExpectClose(wire.TokenRevoked)
	p.sees("#outcome", "Revoked: cleo in the room lobby.")
	if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != wire.TokenRevoked {
		t.Errorf("the token is answered with %d", got)
	}
	p.goTo("#/revocations")
	p.sees("#revocations", "spam")
	p.sees("#revocations", "bob in the room hall") // by removing
	p.click(`#revocations li:first-child [data-lift]`)
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "lifted")
	p.until(`!document.getElementById("revocations").textContent.includes("spam")`)
	s.Join(token)

	// The own key: the page goes on with tokens of later.
	p.click("#new-revocation")
	p.fill("dialog select", "key")
	p.eval(`(() => { const i = [...document.querySelectorAll("dialog .field")].find((f) => f.textContent.startsWith("API key")).querySelector("input"); i.value = "testkey"; i.dispatchEvent(new Event("input")); return "" })()`)
	p.sees("dialog .notice", "This is the key that you are signed in with.")
	p.click("dialog button[type=submit]")
	p.sees("#revocations", "every token that comes from the key testkey")
}

// A token of the workshop lets in; the command makes the same one.
func TestMakingTokens(t *testing.T) {
	s := serve(t)
	p := in(t, browsertest.Open(t), s)
	p.goTo("#/tokens")
	p.sees("#make-hint", "has to name a room")
	p.fill("#make-room", "the lab")
	p.sees("#make-hint", "has to name an identity")
	p.fill("#make-identity", "o'neil")
	p.fill("#make-name", "O’Neil")
	p.fill("#make-canPublishData", "false")
	p.fill("#make-valid", "1h")
	p.click("#make-camera")
	p.click("#make-roomRecord")
	if got, want := p.eval(`document.getElementById("command").textContent`),
		`usher token create --join --room 'the lab' --identity 'o'\''neil' --name 'O’Neil' --can-publish-data=false --can-publish-source camera --grant '{"roomRecord":true}' --valid-for 1h`; got != want {
		t.Errorf("the command is\n%s\nwant\n%s", got, want)
	}
	p.click("#make")
	p.until(`document.getElementById("made").value !== ""`)
	c, joined := s.Join(p.eval(`document.getElementById("made").value`))
	if joined.Str("room.name") != "the lab" {
		t.Errorf("got %s", joined.Text)
	}
	c.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	for _, m := range []wire.Message{{Type: "publishTrack", Kind: "audio", Source: "microphone"}, {Type: "publishData", Payload: json.RawMessage(`"x"`)}} {
		if e := c.Ask(m); e.Str("code") != "not_allowed" {
			t.Errorf("got %s", e.Text)
		}
	}
	p.sees("#preview", `"sub": "o'neil"`)
	p.follow("summary")
	p.fill("details textarea:nth-of-type(1)", "x")
	p.eval(`(() => { const a = document.querySelectorAll("details textarea")[1]; a.value = "{"; a.dispatchEvent(new Event("input", { bubbles: true })); return "" })()`)
	p.sees("#make-problem", "Attributes: ")
	p.gone(".made")
}

// Whatever is pasted: what it is, and what is wrong with it.
func TestReadingTokens(t *testing.T) {
	s := serve(t)
	p := in(t, browsertest.Open(t), s)
	p.goTo("#/tokens")
	expired, _ := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{Identity: "ada", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lab"}}, time.Minute, time.Now().Add(-time.Hour))
	forged, _ := tokens.Mint(sessiontest.Key, auth.Secret("another-secret-of-more-than-32-bytes"), tokens.Claims{Identity: "ada", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lab"}}, time.Hour, time.Now())
	const header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
	for _, test := range []struct{ token, what, report string }{
		{s.Token("lab", "ada"), "This is a LiveKit token. This server takes it.", "receive the tracks of the others"},
		{expired, "This is a LiveKit token.", "it expired 59m"},
		{forged, "This is a LiveKit token.", "DOES NOT HOLD"},
		{s.Token("", "ada"), "This is a LiveKit token.", "it names no room, so nobody can join with it"},
		{"Bearer " + expired, "This is no token.", "leave it out"},
		{"a.b", "This is no token.", "this has 2"},
		// {"k":"id","pid":"p","uid":"ada","exp":1}
		{header + "eyJrIjoiaWQiLCJwaWQiOiJwIiwidWlkIjoiYWRhIiwiZXhwIjoxfQ.x", "It is refused: this version of usher reads LiveKit tokens only.", "it expired more than 10 years ago"},
		// {"r":"standup","d":"1","iat":1}
		{header + "eyJyIjoic3RhbmR1cCIsImQiOiIxIiwiaWF0IjoxfQ.x", "This is a Daily meeting token.", `"standup"`},
	} {
		p.fill("#pasted", test.token)
		p.sees("#what", test.what)
		p.until(fmt.Sprintf("document.getElementById('report').textContent.includes(%s)", quote(test.report)))
	}
	p.fill("#pasted", "sk_dev_verysecret")
	p.sees("#what", "a Liveblocks secret key")
	p.until("document.getElementById('report').textContent === ''")
	p.fill("#pasted", s.Token("lab", "ada"))
	p.sees("#claims", `"sub": "ada"`)
}

// The outbox of a backend that fails.
func TestOutbox(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	p := in(t, browsertest.Open(t), s)
	p.goTo("#/webhooks")
	p.sees("#targets h2", "https://app.example.com/hook")
	p.sees("#targets", "failing")
	p.sees("#targets", "2 events")
	p.sees("#targets", "room_started of lobby: failed (status 503)")
	p.until(`/in 4 min|in 5 min/.test(document.getElementById("targets").textContent)`)
	if text := p.eval("document.body.textContent"); strings.Contains(text, "pass") || strings.Contains(text, "hidden") {
		t.Errorf("the page shows a secret: %s", text)
	}
}

// A server that cannot be reached is said so, and asked again.
func TestUnreachable(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	p := open(t, browsertest.Open(t), s, `const real = fetch; window.fetch = (...args) => window.down ? Promise.reject(new TypeError("down")) : real(...args)`)
	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("#rooms", "lobby")
	p.eval(`String(window.down = true)`)
	p.sees("#trouble", "The server cannot be reached. Trying again in")
	p.sees("#rooms", "lobby") // what was seen last stays
	p.eval(`String(window.down = false)`)
	p.gone("#trouble")
}

// What others call themselves and say is shown as text, whatever it is.
func TestNothingIsMarkup(t *testing.T) {
	corpus := []string{
		`<script>window.hacked = 1</script>`,
		`<img src=x onerror="window.hacked = 1">`,
		`"><iframe srcdoc="<script>parent.hacked=1</script>">`,
		`'"><a href="javascript:window.hacked=1">click</a>`,
		`</bdi></li><style>*{display:none}</style>`,
		`javascript:window.hacked=1//../%2e%2e/#?`,
		`<b>&lt;&amp;&#x3c;</b>` + "\u202e\u2066evil",
	}
	s := serve(t)
	p := in(t, browsertest.Open(t), s)
	foreign := func(when string) {
		t.Helper()
		if got := p.eval(`String(window.hacked) + document.querySelectorAll("script:not([src]), img, iframe, style, b, svg, a:not([href^='#'])").length`); got != "undefined0" {
			t.Errorf("%s: %s", when, got)
		}
	}
	for _, text := range corpus {
		evil, _ := s.Join(s.Token(text, text, func(c *tokens.Claims) {
			c.Name, c.Metadata, c.Attributes = "name "+text, "metadata "+text, map[string]string{"key " + text: "value " + text}
			c.RoomConfig, _ = json.Marshal(map[string]string{"metadata": "of the room " + text})
		}))
		evil.OK(wire.Message{Type: "publishTrack", Kind: "data", Name: &text})
		p.goTo("#/rooms")
		p.sees("#rooms", text)
		p.goTo("#/room/" + strings.ReplaceAll(urlEscape(text), "+", "%20"))
		p.sees("h1", text)
		p.sees("#people", "name "+text)
		p.sees(".metadata", "of the room "+text)
		p.follow("#people a")
		p.sees("#person-title", text)
		p.until(fmt.Sprintf("document.querySelector('#person-metadata').value === %s", quote("metadata "+text)))
		p.sees("#why-camera", "Given by the token")
		p.click("[data-right=canPublishData]")
		p.sees("#said", "Done")
		p.click("#remove")
		p.sees("dialog", text)
		foreign(text)
		p.click("dialog button[type=submit]")
		p.sees("#outcome", text)
		foreign(text)
		p.goTo("#/tokens")
		p.fill("#pasted", s.Token(text, text, func(c *tokens.Claims) { c.Name = text }))
		p.sees("#what", "server")
		p.goTo("#/revocations")
		p.sees("#revocations", text)
		foreign(text)
	}
}

func urlEscape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// From the first key press to a permission that was taken, without a mouse.
func TestKeyboard(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	p := open(t, browsertest.Open(t), s)
	press := func(keys string) { t.Helper(); p.do(chromedp.KeyEvent(keys)) }
	// tabTo goes on with the tab key until the selector's element has the focus.
	tabTo := func(selector string) {
		t.Helper()
		p.until(fmt.Sprintf("document.querySelector(%s)", quote(selector)))
		for range 60 {
			press(kb.Tab)
			if p.eval(fmt.Sprintf("String(document.activeElement.matches(%s))", quote(selector))) == "true" {
				return
			}
		}
		t.Fatalf("the tab key never reaches %s", selector)
	}
	tabTo("#key")
	press(sessiontest.Key)
	press(kb.Tab)
	press(sessiontest.Secret)
	press(kb.Enter)
	tabTo("[data-room=lobby]")
	press(kb.Enter)
	tabTo("[data-identity=bob]")
	press(kb.Enter)
	p.until("document.activeElement.id === 'person-title'")
	p.until("document.querySelector('[data-right=camera]:enabled:checked')")
	tabTo("[data-right=camera]")
	press(" ")
	p.sees("#said", "Done: bob may no longer publish camera.")
	bob.Expect("participantUpdated")
	p.until("document.activeElement.matches('[data-right=camera]')") // what polls leaves the focus alone
	p.eval(`(() => { document.getElementById("person-title").focus(); return "" })()`)
	tabTo("#remove")
	press(kb.Enter)
	p.until("document.querySelector('dialog:modal')")
	press(kb.Escape)
	p.gone("dialog")
	p.until("document.activeElement.id === 'remove'")
	press(kb.Enter)
	tabTo("dialog button[type=submit]")
	press(kb.Enter)
	bob.ExpectClose(wire.Removed)

	// Everything that can be used has a name for a screen reader.
	for _, hash := range []string{"#/rooms", "#/room/lobby/bob", "#/webhooks", "#/revocations", "#/tokens"} {
		p.goTo(hash)
		p.until("document.querySelector('#view h1')")
		if got := p.eval(`JSON.stringify([...document.querySelectorAll("button, input, select, textarea, a")].filter((e) => e.checkVisibility() &&
			!(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML))`); got != "[]" {
			t.Errorf("%s: without a name: %s", hash, got)
		}
	}
}

// look makes the page as large as a screen, and light or dark.
func (p *tab) look(width, height int64, scheme string) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	}))
}

// On a phone and on a desktop nothing is cut off; pictures are for people to
// look at, in USHER_SCREENSHOTS.
func TestLooks(t *testing.T) {
	folder := os.Getenv("USHER_SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	s := serve(t)
	browser := browsertest.Open(t)
	for _, name := range []string{"lobby", "all-hands", "standup with a rather long name that goes on and on"} {
		s.Join(s.Token(name, "host", host, func(c *tokens.Claims) {
			c.Name = "Grace Hopper"
			c.RoomConfig = json.RawMessage(`{"maxParticipants":200,"metadata":"{\"topic\":\"Quarterly review\",\"stage\":\"main\"}"}`)
		}))
	}
	ada, _ := s.Join(s.Token("all-hands", "ada", func(c *tokens.Claims) {
		c.Name, c.Metadata, c.Attributes = "Ada Lovelace", `{"seat":12}`, map[string]string{"hand": "raised", "team": "engines"}
	}))
	ada.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	ada.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	s.Join(s.Token("all-hands", "recorder-1", func(c *tokens.Claims) { c.Video.Hidden, c.Video.Recorder, c.Kind = true, true, auth.Kind("agent") }))
	s.Join(s.Token("all-hands", "auth0|61f0c2b7d3a9e1004be0a7c2-with-a-very-long-identity", func(c *tokens.Claims) { c.Video.CanPublish = new(bool) }))
	p := in(t, browser, s)
	p.goTo("#/room/all-hands/ada")
	p.click("[data-right=screen_share]")
	p.sees("#said", "Done")
	p.goTo("#/revocations")
	for _, body := range []room.Revocation{{Identity: "mallory", Reason: "spam in three rooms"}, {KeyID: "APIold", Reason: "leaked"}, {Room: "old-stage"}, {TokenID: "7f3a", Expires: time.Now().Add(time.Hour)}} {
		body.Project, body.Until, body.By = "test", time.Now().Add(-time.Minute), "ada"
		b := s.Rooms.Batch()
		if _, err := s.Rooms.Revoke(b, body); err != nil {
			t.Fatal(err)
		}
		b.Flush()
	}
	expired, _ := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{Identity: "ada", Name: "Ada", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lab", CanPublishSources: []string{"camera", "webcam"}}}, time.Minute, time.Now().Add(-time.Hour))
	views := []struct{ name, hash, shown, text string }{
		{"rooms", "#/rooms", "#rooms", "standup"},
		{"room", "#/room/all-hands", "#people", "auth0"},
		{"person", "#/room/all-hands/ada", "#why-screen_share", "Taken live"},
		{"webhooks", "#/webhooks", "#targets", "failing"},
		{"revocations", "#/revocations", "#revocations", "leaked"},
		{"tokens", "#/tokens", "#report", "it expired"},
	}
	screens := []struct {
		name          string
		width, height int64
	}{{"phone", 390, 844}, {"desktop", 1280, 800}}
	for _, screen := range screens {
		for _, scheme := range []string{"light", "dark"} {
			p.look(screen.width, screen.height, scheme)
			for _, v := range views {
				p.goTo(v.hash)
				if v.name == "tokens" {
					p.until("document.querySelector('#pasted')")
					p.fill("#make-room", "lab")
					p.fill("#make-identity", "ada")
					p.fill("#pasted", expired)
				}
				p.sees(v.shown, v.text)
				p.eval(`(() => { document.getElementById("outcome").hidden = true; scrollTo(0, 0); return "" })()`)
				p.shot(filepath.Join(folder, "console-"+v.name+"-"+screen.name+"-"+scheme+".png"))
				wide := p.eval(fmt.Sprintf(`JSON.stringify([document.documentElement.scrollWidth > %d ? "the page" : "", ...[...document.querySelectorAll("body *")].filter((e) =>
					e.checkVisibility() && !e.closest(".skip, option") && (e.getBoundingClientRect().right > %d + 1 || e.matches("button, .chip, nav a, label") && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")).map((e) => e.outerHTML.slice(0, 120))].filter(Boolean))`, screen.width, screen.width))
				if wide != "[]" {
					t.Errorf("%s on the %s: too wide: %s", v.name, screen.name, wide)
				}
			}
			p.goTo("#/room/all-hands/ada")
			p.settled()
			p.click("#revoke")
			p.sees("dialog", "Revoke tokens")
			p.shot(filepath.Join(folder, "console-revoke-"+screen.name+"-"+scheme+".png"))
			p.click("dialog .quiet")
		}
	}
	out := open(t, browser, s)
	for _, screen := range screens {
		for _, scheme := range []string{"light", "dark"} {
			out.look(screen.width, screen.height, scheme)
			out.sees("h1", "Sign in")
			out.shot(filepath.Join(folder, "console-door-"+screen.name+"-"+scheme+".png"))
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "console-*.png"))
	if want := (len(views) + 2) * 4; err != nil || len(files) < want {
		t.Errorf("there are %d pictures, want %d: %v", len(files), want, err)
	}
}

func (p *tab) shot(name string) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(name, picture, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
