package sdk_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
)

// snippets are the pieces of docs/browser-sdk.md in a language.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/browser-sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		list = append(list, m[1])
	}
	return list
}

// guide is the page of docs/browser-sdk.md, for a server elsewhere.
func guide(t *testing.T, s *site) string {
	t.Helper()
	const server = "http://127.0.0.1:7880"
	pages := snippets(t, "html")
	if len(pages) != 1 || strings.Count(pages[0], server) != 2 {
		t.Fatalf("docs/browser-sdk.md has no page that names %s twice", server)
	}
	return strings.ReplaceAll(pages[0], server, s.URL)
}

// anywhere lets pages of every origin in, as usher serve --dev does.
func anywhere(o *sessiontest.Options) {
	o.Session = func(c *session.Config) { c.AnyOrigin = true }
}

// The page of the guide does what the guide says.
func TestGuide(t *testing.T) {
	s := serve(t, anywhere)
	page := guide(t, s)
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/call.html" {
			_, _ = io.WriteString(w, page)
		}
	}))
	t.Cleanup(there.Close)

	open := func(token string) *tab {
		p := s.visit(there.URL+"/call.html", "missing: canPublish decided by: live")
		p.Do(chromedp.SendKeys("#token", token), chromedp.Click("#join"))
		return p
	}
	videos := func(n int) string { return fmt.Sprintf(`document.querySelectorAll("#stage video").length === %d`, n) }
	people := func(text string) string {
		return fmt.Sprintf(`document.getElementById("people").textContent.includes(%q)`, text)
	}

	ada := open(s.Token("call", "ada", host))
	ada.Until(people("ada: on stage"))
	bob := open(s.Token("call", "bob"))
	bob.Until(people("ada: on stage"))
	ada.Until(people("bob: on stage"))
	for i, p := range []*tab{ada, bob} {
		p.Do(chromedp.Click("#camera"))
		for _, q := range []*tab{ada, bob} {
			q.Until(videos(i + 1))
		}
	}
	for _, p := range []*tab{ada, bob} {
		p.js(`Promise.all([...document.querySelectorAll("#stage video")].map((v) => new Promise((done) => {
			let frames = 0; // each picture moves
			const count = () => ++frames > 5 ? done() : v.requestVideoFrameCallback(count);
			v.requestVideoFrameCallback(count);
		})))`)
	}
	ada.Do(chromedp.Click("#people button"))
	for _, p := range []*tab{ada, bob} {
		p.Until(people("bob: listening"))
		p.Until(videos(1))
	}
	bob.Do(chromedp.Click("#camera"))
	bob.Until(`document.getElementById("state").textContent.includes("needs canPublish; an administrator took it away")`)
	ada.Do(chromedp.Click("#people button"))
	bob.Until(people("bob: on stage"))
	bob.Do(chromedp.Click("#camera"))
	for _, p := range []*tab{ada, bob} {
		p.Until(videos(2))
	}
}

// The pieces of the guide run as they are written, in a page that is in a room.
func TestGuideSnippets(t *testing.T) {
	s := serve(t)
	bob := s.join(s.Token("call", "bob"))
	ada := s.join(s.Token("call", "ada", named))
	pieces := snippets(t, "js")
	if len(pieces) < 2 {
		t.Fatalf("docs/browser-sdk.md has %d pieces of JavaScript", len(pieces))
	}
	for _, piece := range pieces {
		ada.js(`(async () => { const { RoomEvent, capabilities } = sdk, show = (text) => { throw new Error(text) }; ` + piece + `})()`)
	}
	bob.heard("dataReceived", 2)
	bob.is(`events("dataReceived").map(([bytes, , , topic, , identity, json]) => [new TextDecoder().decode(bytes), topic ?? "", identity, json ?? null])`,
		`[["hi","chat","ada",null],["{\"reaction\":\"👏\"}","","ada",{"reaction":"👏"}]]`)
	bob.until(`who("ada").name === "Ada" && who("ada").metadata === "…" && who("ada").attributes.hand === "up" && who("ada").presence.cursor?.y === 2`)
	if got, err := s.room("call").Perform(t.Context(), room.Target{Identity: "ada"}, "roll", ""); err != nil || got != "4" {
		t.Errorf("got %q, %v", got, err)
	}
	ada.heard("tokenRefreshed", 1)
}
