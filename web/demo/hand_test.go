package demo_test

import (
	"testing"

	"usher/auth/livekit"
)

// A hand that the visitor did not raise starts no camera: one that a token says is
// up, and one that a host has raised.
func TestHandOfOthers(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host, named("Ada")))
	bob := s.open("lobby", s.Token("lobby", "bob", viewer, named("Bob"), func(c *livekit.Claims) { c.Attributes = map[string]string{"hand": "up"} }))
	eve := s.open("lobby", s.Token("lobby", "eve", viewer, named("Eve")))
	for _, p := range []*tab{bob, eve} {
		p.sees("people", "Ada")
	}
	ada.sees("people", "Bob")
	ada.sees("people", "Eve")
	ada.Eval(`import("/demo/page.js").then(({ page }) => page.room.updateParticipant({ identity: "eve" }, { attributes: { hand: "up" } })).then(() => "")`)
	eve.Until("document.getElementById('turn-hand').ariaPressed === 'true'")

	for identity, p := range map[string]*tab{"bob": bob, "eve": eve} {
		ada.press(identity, "promote")
		p.Until("document.getElementById('start').checkVisibility()")
		p.Until("document.getElementById('turn-camera').ariaPressed === 'false' && document.getElementById('turn-camera').ariaBusy !== 'true'")
		if got := p.Eval("String(navigator.userActivation.hasBeenActive)"); got != "false" {
			t.Errorf("%s: the page was touched", identity)
		}
	}
	bob.click("#start")
	ada.moves("bob", "camera")
	eve.Until("document.getElementById('turn-camera').ariaPressed === 'false'")
}
