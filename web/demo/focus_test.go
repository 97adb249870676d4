package demo_test

import (
	"testing"

	"github.com/chromedp/chromedp/kb"

	"usher/session/sessiontest"
	"usher/session/wire"
)

// focusOn puts the keyboard on one of somebody's controls, among the further ones
// if need be.
func (p *tab) focusOn(identity, action string) {
	p.t.Helper()
	p.Eval(`(() => {
		const row = document.querySelector('[data-identity="` + identity + `"]');
		row.querySelector("details").open = true;
		row.querySelector('[data-action="` + action + `"]').focus();
		return "";
	})()`)
	p.hasFocus(identity, action)
}

// hasFocus waits until the keyboard is on one of somebody's controls.
func (p *tab) hasFocus(identity, action string) {
	p.t.Helper()
	p.Until(`document.activeElement.matches('[data-identity="` + identity + `"] [data-action="` + action + `"]')`)
}

// Whoever goes takes the keyboard's place along: it goes to the next, to the one
// before, and when nobody is left to the heading.
func TestFocusWhenSomebodyGoes(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host))
	ada.sees("status", "Connected")
	guests := map[string]*sessiontest.Client{}
	for _, name := range []string{"bob", "cleo", "dan"} {
		guests[name], _ = s.Join(s.Token("lobby", name, viewer))
		ada.sees("people", name)
	}
	ada.focusOn("bob", "remove")
	ada.Key(kb.Enter)
	ada.Key(kb.Enter)
	ada.hasFocus("cleo", "promote")
	guests["bob"].ExpectClose(wire.Removed)

	ada.focusOn("dan", "mute") // the last: there is only one before
	guests["dan"].Send(wire.Message{Type: "leave"})
	ada.hasFocus("cleo", "promote")

	ada.focusOn("cleo", "hide")
	ada.Key(kb.Enter)
	ada.Until(`document.activeElement.matches('[data-hidden="cleo"] button')`)
	ada.Key(kb.Enter)
	ada.hasFocus("cleo", "promote")
	ada.Until("document.getElementById('hidden').childElementCount === 0")

	guests["cleo"].Send(wire.Message{Type: "leave"})
	ada.Until("document.activeElement.id === 'people-title'")
}

// The list is drawn anew, the keyboard stays; so does what is open. A button that
// has done its work keeps it, too.
func TestFocusStays(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host))
	bob := s.open("lobby", s.Token("lobby", "bob"))
	ada.sees("people", "bob")
	bob.sees("people", "ada")
	ada.focusOn("bob", "hide")
	ada.Eval(`import("/demo/people.js").then(({ showPeople }) => { showPeople(); return ""; })`)
	ada.hasFocus("bob", "hide")

	bob.click("#turn-microphone")
	ada.Until(`document.querySelector('[data-identity=bob] [data-action=mute]').ariaDisabled === "false"`)
	ada.focusOn("bob", "mute")
	ada.Key(kb.Enter)
	ada.sees("people-word", "Muting bob: done.")
	ada.Until(`document.querySelector('[data-identity=bob] [data-action=mute]').ariaDisabled === "true"`)
	ada.hasFocus("bob", "mute")
	ada.Key(kb.Enter) // which says why it does nothing
	ada.sees("people-word", "The microphone of bob is off.")

	// A host who is one no more has no buttons.
	ada.Eval(`import("/demo/page.js").then(({ page }) => {
		page.room.localParticipant.permissions = { ...page.room.localParticipant.permissions, admin: [] };
		return import("/demo/people.js");
	}).then(({ showPeople }) => { showPeople(); return ""; })`)
	ada.Until("document.activeElement.id === 'people-title' && !document.querySelector('.controls-of')")
}
