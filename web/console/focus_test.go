package console_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"usher/room"
	"usher/session/wire"
)

// focus puts the keyboard on what the selector finds.
func (p *tab) focus(selector string) {
	p.t.Helper()
	p.Until(`document.querySelector('` + selector + `')`)
	p.Eval(`document.querySelector('` + selector + `').focus(), ''`)
	p.hasFocus(selector)
}

func (p *tab) hasFocus(selector string) {
	p.t.Helper()
	p.Until(`document.activeElement.matches('` + selector + `')`)
}

// Lists refresh by themselves. Whoever is in one with the keyboard stays in it: on
// the same row when others come and go, on the next when it was that one.
func TestFocusInLists(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	cleo, _ := s.Join(s.Token("lobby", "cleo"))
	p := in(t, s)
	p.hasFocus("#view") // not lost with the form
	p.goTo("#/room/lobby")
	p.focus("[data-identity=bob]")
	s.Join(s.Token("lobby", "dan"))
	p.sees("#people", "dan")
	p.hasFocus("[data-identity=bob]")
	bob.Send(wire.Message{Type: "leave"})
	p.hasFocus("[data-identity=cleo]")

	// Removed from the part beside the list, somebody leaves the keyboard to the list.
	p.Key(kb.Enter)
	p.hasFocus("#person-title")
	p.settled()
	p.focus("#remove")
	p.Key(kb.Enter)
	p.hasFocus("dialog *")
	p.click("dialog button[type=submit]")
	cleo.ExpectClose(wire.Removed)
	p.hasFocus("[data-identity=dan]")

	for _, identity := range []string{"eve", "mallory"} {
		b := s.Rooms.Batch()
		if _, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", Identity: identity, Until: time.Now(), By: "test"}); err != nil {
			t.Fatal(err)
		}
		b.Flush()
	}
	p.goTo("#/revocations")
	p.sees("#revocations", "eve")
	p.sees("#revocations", "mallory")
	for left := 2; left >= 0; left-- { // the last is cleo's, by removing
		p.focus("[data-lift]")
		p.Key(kb.Enter)
		p.click("dialog button[type=submit]")
		p.gone("dialog")
		p.Until(fmt.Sprintf("document.querySelectorAll('[data-lift]').length === %d", left))
		p.Until("document.activeElement.matches('[data-lift], #revocations-title')")
	}
	p.hasFocus("#revocations-title")
	p.sees("#view", "Nothing is revoked.")
	p.focus("#outcome-close")
	p.Key(kb.Enter)
	p.hasFocus("#view")
}

// A button that has done its work keeps the keyboard; the switches of somebody who
// goes give it to their heading.
func TestFocusOnPerson(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	p := in(t, s)
	p.goTo("#/room/lobby/bob")
	p.settled()
	p.focus("#tracks button")
	p.Key(kb.Enter)
	p.sees("#said", "microphone is muted.")
	p.hasFocus("#tracks button[aria-disabled=true]")
	p.Key(kb.Enter)
	p.sees("#said", "microphone is muted already.")

	p.fill("#person-name", "Robert")
	p.focus("#save")
	p.Key(kb.Enter)
	p.sees("#outcome", "Saved")
	p.hasFocus("#save[aria-disabled=true]")

	p.focus("[data-right=camera]:enabled")
	bob.Send(wire.Message{Type: "leave"})
	p.sees(".person", "Is not here")
	p.hasFocus("#person-title")
}
