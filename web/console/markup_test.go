package console_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	tokens "usher/auth/livekit"
	"usher/session/wire"
	"usher/web/browsertest"
)

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
	p := in(t, s)
	foreign := func(when string) {
		t.Helper()
		if got := p.Eval(`String(window.hacked) + document.querySelectorAll("script:not([src]), img, iframe, style, b, svg, a:not([href^='#'])").length`); got != "undefined0" {
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
		p.Until(fmt.Sprintf("document.querySelector('#person-metadata').value === %s", browsertest.Quote("metadata "+text)))
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
