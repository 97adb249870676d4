package demo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/browsertest"
	"usher/web/demo"
)

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
		"/demo/demo.js": "text/javascript", "/demo/stage.js": "text/javascript", "/demo/words.js": "text/javascript",
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

// Two people meet in the page, talk and react; one may not chat any more and is
// told why, may again, and is removed.
func TestTwoPagesMeet(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host))
	ada.sees("status", "Connected")
	ada.Until("location.hash === ''") // the token is in no history
	bob := s.open("lobby", s.Token("lobby", "bob", named("Bob")))
	ada.sees("people", "Bob")
	bob.sees("people", "ada")
	ada.sees("events", "Bob joined.")
	bob.sees("refreshes", "No. 1")
	bob.sees("left", "in 9 min")
	bob.Until("document.querySelector('[data-permission=canPublishData] .why-so').textContent === 'token: as it was signed'")

	bob.says("hello, ada")
	ada.sees("messages", "hello, ada")
	ada.says("hello, Bob")
	bob.sees("messages", "hello, Bob")
	ada.Eval(`new MutationObserver(() => { if (document.querySelector("[data-tile=bob] .reaction")) document.body.dataset.cheered = "yes" })
		.observe(document.body, { subtree: true, childList: true }), ""`)
	bob.click(`[data-reaction="Hooray"]`)
	ada.Until("document.body.dataset.cheered === 'yes'")

	ada.press("bob", "chat")
	bob.sees("events", "Your permissions were changed: you may now be on stage, see and hear the stage.")
	ada.sees("people", "no chat")
	bob.says("can you hear me?")
	bob.sees("refusal", "canPublishData")
	bob.sees("refusal", "an administrator took it away")
	bob.says("and now?") // the server explains once, the page each time
	bob.Until("document.querySelectorAll('#messages .refused').length === 2 && document.getElementById('refusal').textContent.includes('canPublishData')")
	bob.Until("document.querySelector('[data-permission=canPublishData] .why-so').textContent.includes('layer “live”')")
	ada.press("bob", "chat")
	bob.sees("events", "you may now be on stage, send messages, see and hear the stage.")
	bob.says("here I am again")
	ada.sees("messages", "here I am again")
	if got := ada.Eval("document.getElementById('messages').textContent"); strings.Contains(got, "hear me") {
		t.Errorf("what was refused arrived: %s", got)
	}
	bob.sees("refreshes", "No. 3") // one to begin with, one for each change

	ada.press("bob", "remove")
	ada.press("bob", "remove")
	bob.sees("notice", "You were removed (4508)")
	bob.sees("notice", "ask for one that is issued from now on. To join, paste another token below.")
	bob.Until("!document.getElementById('past').hidden")
	for _, gone := range []string{"text", "permissions", "turn-camera"} { // what promises something
		bob.Until(fmt.Sprintf("!document.getElementById(%q).checkVisibility()", gone))
	}
	ada.sees("events", "Bob was removed.")
	ada.Until("!document.querySelector('[data-identity=bob]')")
	bob.Until("!document.getElementById('door').hidden") // a token of later would do
}

// A page whose connection is cut resumes by itself: it misses nothing, and what
// it says meanwhile arrives once. One that is told not to come back does not,
// and says why.
func TestPageComesBack(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	token := s.Token("lobby", "ada")
	ada := s.open("lobby", token)
	ada.sees("status", "Connected")
	bob.Expect("participantJoined")

	for round := range 2 {
		s.door.Shut()
		ada.sees("cut", "The connection was lost.")
		ada.sees("status", "Reconnecting…")
		bob.ExpectWhere("ada reconnecting", func(e sessiontest.Event) bool { return e.Str("participant.state") == "reconnecting" })
		missed := fmt.Sprintf("did you miss this, %d?", round)
		bob.OK(wire.Message{Type: "publishData", Topic: "chat", Payload: []byte(browsertest.Quote(missed))})
		said := fmt.Sprintf("said while cut, %d", round)
		ada.says(said)
		s.door.Lead(s.HTTP.Listener.Addr().String())
		bob.ExpectWhere("what ada said", func(e sessiontest.Event) bool { return e.Str("payload") == said })
		ada.Until(fmt.Sprintf("[...document.querySelectorAll('#messages p')].filter((l) => l.textContent.includes(%s)).length === 1", browsertest.Quote(missed)))
		ada.Until(fmt.Sprintf("[...document.querySelectorAll('#events p')].filter((l) => l.textContent.includes('nothing was lost')).length === %d", round+1))
		ada.Until("document.querySelectorAll('#messages .waiting').length === 0 && document.getElementById('cut').textContent === ''")
	}
	bob.Sync()
	heard := 0
	for _, e := range bob.Seen() {
		if strings.HasPrefix(e.Str("payload"), "said while cut") {
			heard++
		}
	}
	if heard != 2 {
		t.Errorf("bob heard %d messages, want each of 2 once", heard)
	}

	s.Join(token) // the same identity, elsewhere
	ada.sees("notice", "Taken over (4507)")
	ada.click("#again")
	ada.Until("document.getElementById('status').textContent === 'Connected' && document.getElementById('notice').hidden")
	ada.click("#leave")
	ada.sees("notice", "You left (1000)")
	ada.Until("document.activeElement.id === 'again'")
}

// A page that is moved to another room shows that one, is heard there, and comes
// back there: by its session, and when that is gone, with its token. A call of
// the application is answered.
func TestPageIsMoved(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	cleo, _ := s.Join(s.Token("hall", "cleo"))
	ada := s.open("lobby", s.Token("lobby", "ada"))
	ada.sees("status", "Connected")
	ada.sees("people", "bob")
	move := func(from, to string) {
		t.Helper()
		b := s.Rooms.Batch()
		if err := s.Rooms.Move(b, "test", from, to, "ada"); err != nil {
			t.Fatal(err)
		}
		b.Flush()
	}
	move("lobby", "hall")
	ada.sees("events", "You were moved to hall.")
	ada.Until("document.getElementById('room').textContent === 'hall' && document.title === 'hall · usher'")
	ada.Until("document.querySelector('[data-identity=cleo]') && !document.querySelector('[data-identity=bob]')")
	ada.Until("document.querySelectorAll('[data-identity=ada]').length === 1 && document.getElementById('count').textContent === '2'")
	bob.ExpectWhere("ada leave", func(e sessiontest.Event) bool { return e.Str("reason") == "MIGRATION" })
	ada.says("hello, hall")
	cleo.ExpectWhere("what ada said", func(e sessiontest.Event) bool { return e.Str("payload") == "hello, hall" })

	r, _ := s.Rooms.Lookup("test", "hall")
	var failed *room.RPCError
	if _, err := r.Perform(t.Context(), room.Target{Identity: "ada"}, "dance", ""); !errors.As(err, &failed) || failed.Code != 1400 {
		t.Errorf("a call of the page: got %v, want code 1400", err)
	}

	s.door.Cut()
	ada.sees("events", "The session goes on; nothing was lost.")
	ada.says("still here")
	cleo.ExpectWhere("what ada said", func(e sessiontest.Event) bool { return e.Str("payload") == "still here" })

	// Moved back while it is cut, it is told when it comes again.
	s.door.Shut()
	cleo.ExpectWhere("ada reconnecting", func(e sessiontest.Event) bool { return e.Str("participant.state") == "reconnecting" })
	move("hall", "lobby")
	s.door.Lead(s.HTTP.Listener.Addr().String())
	ada.sees("events", "You were moved to lobby.")
	ada.Until("document.querySelector('[data-identity=bob]') && !document.querySelector('[data-identity=cleo]')")
	move("lobby", "hall")
	ada.sees("room", "hall")

	s.Join(s.Token("hall", "ada")) // elsewhere
	ada.sees("notice", "Taken over (4507)")
	ada.click("#again")
	ada.sees("events", "You are in hall as ada.") // not in the room of the token that it came with
}

// A page without a token asks for one, and says what is wrong with one. A link
// does as well.
func TestPasting(t *testing.T) {
	s := serve(t)
	ada := s.open("", "")
	ada.Until("document.activeElement.id === 'token'")
	paste := func(token string) {
		t.Helper()
		ada.Eval("document.getElementById('token').value = " + browsertest.Quote(token))
		ada.click("#join button")
	}
	paste("nonsense")
	ada.sees("notice", "The token is not valid (4500)")
	paste(s.Token("hall", "ada"))
	ada.sees("status", "Connected")
	ada.sees("room", "hall")
	ada.Until("document.getElementById('door').hidden && document.activeElement.id === 'text'")
	ada.click("#leave")
	ada.click("#again")
	ada.sees("status", "Connected")
	ada.click("#leave")
	ada.Until("!document.getElementById('notice').hidden")
	ada.Eval("location.hash = 'token=nonsense'") // where nothing is left by it, nobody is asked
	ada.sees("notice", "The token is not valid (4500)")
	paste(s.address("den", s.Token("den", "ada")))
	ada.sees("room", "den")
}

// While it is not known whether a token lets in, the page says so and asks for
// no other one. Who does not want to wait gets the form back.
func TestConnecting(t *testing.T) {
	gate := make(chan struct{})
	s := serveThrough(t, gate)
	const asking, waiting = "document.getElementById('door').checkVisibility()", "document.getElementById('joining').checkVisibility()"
	ada := s.open("", "")
	ada.Until(asking + " && !" + waiting)
	ada.Eval("document.getElementById('token').value = " + browsertest.Quote(s.Token("lobby", "ada")))
	ada.click("#join button")
	ada.Until(waiting + " && !" + asking)
	ada.sees("status", "Connecting…")
	ada.click("#leave")
	ada.Until(asking + " && !" + waiting)
	ada.Until("document.getElementById('again').textContent === 'Try again'")
	ada.click("#again")
	ada.Until(waiting + " && !" + asking + " && document.getElementById('notice').hidden")
	close(gate)
	ada.sees("status", "Connected")
	ada.Until("!" + waiting + " && !" + asking)
}

// A refusal says in words who decided it, and what helps.
func TestRefusalWords(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", func(c *livekit.Claims) { c.Video.CanPublishData = new(bool) }))
	ada.sees("status", "Connected")
	ada.says("hello?")
	ada.sees("refusal", "Refused: sending messages needs canPublishData, and your token does not allow it. A token that allows it, or a host, can change that.")
	ada.click(`[data-reaction="Heart"]`)
	ada.sees("word", "Your reaction was refused: sending messages needs canPublishData, and your token does not allow it.")
	ada.Eval("document.getElementById('turn-hand').hidden = false, ''")
	ada.click("#turn-hand")
	ada.sees("word", "Your hand was not raised: sending presence needs canUpdatePresence, and your token does not allow it.")
	for denial, want := range map[string]string{
		`permission: "canPublish", layer: "live"`:  "publishing needs canPublish, and an administrator took it away. Ask a host for it.",
		`permission: "canPublish", layer: "token"`: "publishing needs canPublish, and your token does not allow it. A token that allows it, or a host, can change that.",
		`permission: "canPublish", layer: "room"`:  "publishing needs canPublish, and the room does not allow it. A token that allows it, or a host, can change that.",
		`permission: "canPublish", layer: "other"`: "publishing needs canPublish, and the layer other denies it.",
		`permission: "canPublish"`:                 "publishing needs canPublish, and nothing allows it.",
		`permission: "hidden", layer: "token"`:     "whoever is hidden publishes nothing.",
	} {
		got := ada.Eval(`import("/demo/words.js").then((words) => words.refusalWords({ code: "not_allowed", ` + denial + ` }))`)
		if got != want {
			t.Errorf("%s: got %q, want %q", denial, got, want)
		}
	}
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
		"__proto__",
	}
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host, named(corpus[1])))
	ada.sees("status", "Connected")
	for _, id := range []string{"tiles", "people", "claims", "raw"} { // one's own name is nobody's friend either
		ada.sees(id, "onerror")
	}
	elements := func() string {
		return ada.Eval(`JSON.stringify([...new Set([...document.querySelectorAll("#inside *")].map((e) => e.localName))].sort())`)
	}
	for _, text := range corpus {
		evil, _ := s.Join(s.Token("lobby", text, func(c *livekit.Claims) {
			c.Name, c.Metadata, c.Attributes = "name "+text, "metadata "+text, map[string]string{"key " + text: "value " + text, "hand": "up"}
			c.Video.CanUpdateOwnMetadata = new(true)
		}))
		payload, _ := json.Marshal("chat " + text)
		evil.OK(wire.Message{Type: "publishData", Topic: "chat", Payload: payload})
		evil.OK(wire.Message{Type: "publishData", Topic: "reaction", Payload: payload})
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
	want := `["bdi","button","dd","details","div","dl","dt","fieldset","form","h2","h3","input","label","legend","li","ol","p","path","pre","section","span","summary","svg","time","ul","video"]`
	ada.Until(`document.querySelectorAll("#people .controls-of").length === ` + fmt.Sprint(len(corpus)))
	if got := elements(); got != want {
		t.Errorf("the page is made of %s, want %s", got, want)
	}
	if got := ada.Eval("String(window.hacked) + document.querySelectorAll('.reaction').length"); got != "undefined0" {
		t.Errorf("a script of somebody else's ran in the page, or its text rose as a reaction: %s", got)
	}
}
