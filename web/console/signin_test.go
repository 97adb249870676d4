package console_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/web/browsertest"
)

// Who may come in, with what, and what those are told who may not.
func TestSigningIn(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "bob"))
	p := open(t, s)
	p.signIn("nokey", sessiontest.Secret)
	p.sees("#by-key-problem", "The server does not know this API key.")
	p.signIn(sessiontest.Key, "another-secret-of-more-than-32-bytes")
	p.sees("#by-key-problem", "The secret is not the one that belongs to this key.")
	expired, err := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{Video: &tokens.VideoGrant{RoomAdmin: true}}, time.Minute, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{
		"nonsense":              "This is no token",
		s.Token("lobby", "ada"): "this token administers nothing",
		s.grant(tokens.VideoGrant{RoomAdmin: true, RoomJoin: true}): "administers neither a room nor the project",
		expired: "The token has run out.",
	} {
		p.fill("#token", token)
		p.click("#by-token button")
		p.Until(fmt.Sprintf("document.getElementById('by-token-problem').textContent.toLowerCase().includes(%s)", browsertest.Quote(strings.ToLower(want))))
	}

	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("#rooms", "lobby")
	p.sees("#who", sessiontest.Key)
	if got := p.Eval(`JSON.stringify([document.getElementById("secret").value, localStorage.length, sessionStorage.length, document.cookie, location.href.includes("secret")])`); got != `["",0,0,"",false]` {
		t.Errorf("the page keeps %s", got)
	}
	p.click("#out")
	p.sees("#outcome", "You are signed out.")
	p.gone("#view")
	if got := p.Eval(`document.getElementById("view").textContent + location.hash`); got != "" {
		t.Errorf("after signing out there is %s", got)
	}
	p.signIn(sessiontest.Key, sessiontest.Secret)
	p.sees("#rooms", "lobby")
	p.Do(chromedp.Reload())
	p.sees("#door", "Sign in")

	// A token of a room leads to it, and nowhere else.
	p.fill("#token", s.grant(tokens.VideoGrant{RoomAdmin: true, Room: "lobby"}))
	p.click("#by-token button")
	p.sees("#people", "bob")
	p.goTo("#/webhooks")
	p.Until("location.hash === '#/room/lobby'")
	p.goTo("#/revocations")
	p.sees("h1", "Revocations")
	p.click("#out")

	// The project's own leads everywhere, and what it is not good for is not offered.
	p.fill("#token", s.grant(tokens.VideoGrant{RoomAdmin: true}))
	p.click("#by-token button")
	p.follow("[data-room=lobby]")
	p.follow("[data-identity=bob]")
	p.sees(".notice", "sign in with the API key")
	p.sees("#why-camera", "Given by the token")
	p.gone("#move")
	p.click("#remove")
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "bob was removed.")
	p.sees("#view", "Nobody is here.")
}

// Without WebCrypto the page says why it cannot sign.
func TestInsecureContext(t *testing.T) {
	s := serve(t)
	p := open(t, s, `Object.defineProperty(Crypto.prototype, "subtle", { get() { return undefined } })`)
	p.sees("#insecure", "over plain http from another machine")
	p.Until("document.querySelector('#by-key button').disabled")
	p.fill("#token", s.grant(tokens.VideoGrant{RoomAdmin: true}))
	p.click("#by-token button")
	p.sees("h1", "Rooms")
}
