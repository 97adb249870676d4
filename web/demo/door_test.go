package demo_test

import (
	"testing"

	"github.com/chromedp/chromedp/kb"

	"usher/web/browsertest"
)

// A token that turns up in the address in the middle of a session takes nobody out of
// the room: the page asks, and leaves the keyboard where it is.
func TestOtherToken(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada"))
	ada.Until("document.activeElement.id === 'text'")
	arrives := func(token string) {
		t.Helper()
		ada.Eval("location.hash = 'token=' + " + browsertest.Quote(token))
		ada.sees("other", "Join with this token?")
		ada.Until("document.getElementById('other').checkVisibility() && location.hash === ''")
	}
	arrives(s.Token("den", "<b>eve</b>"))
	ada.sees("other-text", "The address has brought another token for the room den, as <b>eve</b>. Joining with it takes you out of the room that you are in.")
	ada.Until("document.activeElement.id === 'text' && document.getElementById('other').role === 'alert'")
	ada.says("I am still here") // and it is the lobby that hears it
	ada.Until("[...document.querySelectorAll('#messages .own:not(.waiting, .refused)')].some((m) => m.textContent.includes('still here'))")
	if got := ada.Eval("document.getElementById('room').textContent + ' ' + document.getElementById('status').textContent"); got != "lobby Connected" {
		t.Errorf("the page is in %s", got)
	}
	ada.click("#other-stay")
	ada.Until("document.getElementById('other').hidden && document.activeElement.id === 'stage-title'")

	arrives("nonsense")
	ada.Eval("document.getElementById('other-join').focus(), ''")
	ada.Key(kb.Escape)
	ada.Until("document.getElementById('other').hidden && document.getElementById('status').textContent === 'Connected'")

	arrives(s.Token("den", "eve"))
	ada.click("#other-join")
	ada.sees("room", "den")
	ada.sees("status", "Connected")
	ada.Until("document.getElementById('other').hidden")
	ada.sees("people", "eve")
}
