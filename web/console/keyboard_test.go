package console_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/browsertest"
)

// From the first key press to a permission that was taken, without a mouse.
func TestKeyboard(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	p := open(t, s)
	// tabTo goes on with the tab key until the selector's element has the focus.
	tabTo := func(selector string) {
		t.Helper()
		p.Until(fmt.Sprintf("document.querySelector(%s)", browsertest.Quote(selector)))
		for range 60 {
			p.Key(kb.Tab)
			if p.Eval(fmt.Sprintf("String(document.activeElement.matches(%s))", browsertest.Quote(selector))) == "true" {
				return
			}
		}
		t.Fatalf("the tab key never reaches %s", selector)
	}
	tabTo("#key")
	p.Key(sessiontest.Key)
	p.Key(kb.Tab)
	p.Key(sessiontest.Secret)
	p.Key(kb.Enter)
	tabTo("[data-room=lobby]")
	p.Key(kb.Enter)
	tabTo("[data-identity=bob]")
	p.Key(kb.Enter)
	p.Until("document.activeElement.id === 'person-title'")
	p.Until("document.querySelector('[data-right=camera]:enabled:checked')")
	tabTo("[data-right=camera]")
	p.Key(" ")
	p.sees("#said", "Done: bob may no longer publish camera.")
	bob.Expect("participantUpdated")
	p.Until("document.activeElement.matches('[data-right=camera]')") // what polls leaves the focus alone
	p.Eval(`(() => { document.getElementById("person-title").focus(); return "" })()`)
	tabTo("#remove")
	p.Key(kb.Enter)
	p.Until("document.querySelector('dialog:modal')")
	p.Key(kb.Escape)
	p.gone("dialog")
	p.Until("document.activeElement.id === 'remove'")
	p.Key(kb.Enter)
	tabTo("dialog button[type=submit]")
	p.Key(kb.Enter)
	bob.ExpectClose(wire.Removed)

	// Everything that can be used has a name for a screen reader.
	for _, hash := range []string{"#/rooms", "#/room/lobby/bob", "#/webhooks", "#/revocations", "#/tokens"} {
		p.goTo(hash)
		p.Until("document.querySelector('#view h1')")
		if got := p.Eval(`JSON.stringify([...document.querySelectorAll("button, input, select, textarea, a")].filter((e) => e.checkVisibility() &&
			!(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML))`); got != "[]" {
			t.Errorf("%s: without a name: %s", hash, got)
		}
	}
}
