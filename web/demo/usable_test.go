package demo_test

import (
	"encoding/json"
	"testing"

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
		"too small": p.TooSmall(least), "cut off": p.CutOff(".reaction"), "outline": p.Outline(),
	} {
		for _, line := range list {
			p.t.Errorf("%s: %s: %s", when, what, line)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		p.Prefer("prefers-color-scheme", scheme)
		for _, line := range p.Faint(".plate") { // which is on a picture, and brings its own ground
			p.t.Errorf("%s, %s: faint: %s", when, scheme, line)
		}
	}
}

// On a phone and on a desktop, at the door, inside, as host with everything open,
// with the connection cut, and outside again.
func TestUsable(t *testing.T) {
	s := serve(t)
	for name, screen := range screens {
		room := "lobby of the " + name
		bob, _ := s.Join(s.Token(room, "bob", viewer, named("Bob with quite a long name, as some people have")))
		bob.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"hand": json.RawMessage("true")}})
		ada := s.open(room, s.Token(room, "ada", host))
		screen.show(ada)
		ada.sees("people", "Bob")
		ada.says("hello")
		ada.Until("document.querySelector('#messages .own:not(.waiting)')")
		ada.usable(name+", inside", screen.least)
		ada.Eval("document.querySelectorAll('details').forEach((d) => (d.open = true)), ''")
		ada.Until("document.querySelector('[data-right]')")
		ada.focusOn("bob", "remove")
		ada.click("[data-identity=bob] [data-action=remove]")
		ada.sees("people-word", "for good?")
		ada.Eval("location.hash = 'token=x', ''")
		ada.sees("other", "Join with this token?")
		ada.usable(name+", everything open", screen.least)
		ada.Eval(`import("/demo/page.js").then(({ page }) => page.room.removeParticipant({ identity: "ada" })).then(() => "", () => "")`)
		ada.sees("notice", "You were removed")
		ada.usable(name+", outside", screen.least)
		eve := s.open("", "")
		screen.show(eve)
		eve.Until("document.getElementById('door').checkVisibility()")
		eve.usable(name+", at the door", screen.least)
	}
}
