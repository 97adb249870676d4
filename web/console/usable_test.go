package console_test

import (
	"testing"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// screens are those that the page is to be of use on, and how large in CSS pixels
// what is pressed has to be there.
var screens = map[string]struct {
	show  func(p *tab)
	least float64
}{
	"phone":   {func(p *tab) { p.Phone(360, 740) }, 44},
	"narrow":  {func(p *tab) { p.Window(360, 740) }, 24},
	"desktop": {func(p *tab) { p.Window(1280, 800) }, 24},
}

// usable checks what is on the page now: what can be pressed is large enough,
// nothing is cut off, texts can be read, and the outline is in order.
func (p *tab) usable(when string, least float64) {
	p.t.Helper()
	for what, list := range map[string][]string{
		"too small": p.TooSmall(least), "cut off": p.CutOff("table"), "outline": p.Outline(),
	} {
		for _, line := range list {
			p.t.Errorf("%s: %s: %s", when, what, line)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		p.Prefer("prefers-color-scheme", scheme)
		for _, line := range p.Faint("dialog") {
			p.t.Errorf("%s, %s: faint: %s", when, scheme, line)
		}
	}
}

// Every part of the console, empty and full, on a phone and on a desktop.
func TestUsable(t *testing.T) {
	s := serve(t)
	full := func() {
		ada, _ := s.Join(s.Token("all-hands", "auth0|61f0c2b7d3a9e1004be0a7c2-with-a-very-long-identity", host, func(c *tokens.Claims) {
			c.Name, c.Attributes = "Ada Lovelace", map[string]string{"hand": "raised", "a-long-attribute-name": "and-a-value-of-some-length"}
		}))
		ada.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
		ada.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "screen_share"})
		s.Join(s.Token("all-hands", "recorder", func(c *tokens.Claims) { c.Video.Hidden, c.Kind = true, auth.Kind("agent") }))
	}
	const person = "#/room/all-hands/auth0%7C61f0c2b7d3a9e1004be0a7c2-with-a-very-long-identity"
	for _, fill := range []bool{false, true} {
		state := "empty"
		if fill {
			state = "full"
			full()
		}
		for name, screen := range screens {
			p := open(t, s)
			screen.show(p)
			p.usable(name+", at the door", screen.least)
			p.signIn(sessiontest.Key, sessiontest.Secret)
			p.sees("h1", "Rooms")
			for _, part := range []struct{ hash, shown, empty, full string }{
				{"#/rooms", "#view", "No room lives.", "all-hands"},
				{"#/room/all-hands", "#view", "This room does not live.", "recorder"},
				{person, "#view", "Is not here", "screen share"},
				{"#/webhooks", "#view", "app.example.com", "room_started"},
				{"#/revocations", "#view", "Nothing is revoked.", "Nothing is revoked."},
				{"#/tokens", "#view", "Look into", "Look into"},
			} {
				p.goTo(part.hash)
				text := part.empty
				if fill {
					text = part.full
				}
				p.sees(part.shown, text)
				p.Eval("document.querySelectorAll('details').forEach((d) => (d.open = true)), ''")
				p.usable(name+", "+state+", "+part.hash, screen.least)
			}
		}
	}
}
