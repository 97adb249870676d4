package demo_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Removing asks again where a screen reader hears it; Escape, and going elsewhere, is
// a no, and a double click is one press.
func TestRemoveAsks(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host))
	bob := s.open("lobby", s.Token("lobby", "bob", viewer, named("Bob")))
	ada.sees("people", "Bob")
	const button = "document.querySelector('[data-identity=bob] [data-action=remove]')"
	asks := func() {
		t.Helper()
		ada.sees("people-word", "Remove Bob for good? Press again to do it, Escape to leave it.")
		ada.Until(button + ".ariaLabel === 'Remove for good? Bob' && " + button + ".textContent === 'Remove for good?'")
	}
	not := func() {
		t.Helper()
		ada.Until(button + ".ariaLabel === 'Remove: Bob' && " + button + ".textContent === 'Remove'")
	}
	if got := ada.Eval("document.getElementById('people-word').role"); got != "status" {
		t.Errorf("what is said has the role %q", got)
	}
	ada.focusOn("bob", "remove")
	not()
	ada.Key(kb.Enter)
	asks()
	ada.Key(kb.Escape)
	not()
	ada.sees("people-word", "Bob was not removed.")
	ada.Key(kb.Enter)
	asks()
	ada.Key(kb.Tab)
	not()
	ada.Until("document.getElementById('people-word').textContent === ''")
	const selector = "[data-identity=bob] [data-action=remove]"
	ada.Do(chromedp.Click(selector), chromedp.DoubleClick(selector)) // its second half is a click that counts as two
	asks()
	ada.focusOn("bob", "hide")
	not()
	bob.says("still here")
	ada.sees("messages", "still here")
	ada.press("bob", "remove")
	ada.press("bob", "remove")
	bob.sees("notice", "You were removed")
}
