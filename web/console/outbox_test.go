package console_test

import (
	"strings"
	"testing"

	"usher/session/sessiontest"
)

// The outbox of a backend that fails.
func TestOutbox(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	p := in(t, s)
	p.goTo("#/webhooks")
	p.sees("#targets h2", "https://app.example.com/hook")
	p.sees("#targets", "failing")
	p.sees("#targets", "2 events")
	p.sees("#targets", "room_started of lobby: failed (status 503)")
	p.Until(`/in 4 min|in 5 min/.test(document.getElementById("targets").textContent)`)
	if text := p.Eval("document.body.textContent"); strings.Contains(text, "pass") || strings.Contains(text, "hidden") {
		t.Errorf("the page shows a secret: %s", text)
	}
}

// A server that cannot be reached is said so, and asked again.
func TestUnreachable(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	p := open(t, s, `const real = fetch; window.fetch = (...args) => window.down ? Promise.reject(new TypeError("down")) : real(...args)`)
	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("#rooms", "lobby")
	p.Eval(`String(window.down = true)`)
	p.sees("#trouble", "The server cannot be reached. Trying again in")
	p.sees("#rooms", "lobby") // what was seen last stays
	p.Eval(`String(window.down = false)`)
	p.gone("#trouble")
}
