package console_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/browsertest"
)

// A token of the workshop lets in; the command makes the same one.
func TestMakingTokens(t *testing.T) {
	s := serve(t)
	p := in(t, s)
	p.goTo("#/tokens")
	p.sees("#make-hint", "has to name a room")
	p.fill("#make-room", "the lab")
	p.sees("#make-hint", "has to name an identity")
	p.fill("#make-identity", "o'neil")
	p.fill("#make-name", "O’Neil")
	p.fill("#make-canPublishData", "false")
	p.fill("#make-valid", "1h")
	p.click("#make-camera")
	p.click("#make-roomRecord")
	if got, want := p.Eval(`document.getElementById("command").textContent`),
		`usher token create --join --room 'the lab' --identity 'o'\''neil' --name 'O’Neil' --can-publish-data=false --can-publish-source camera --grant '{"roomRecord":true}' --valid-for 1h`; got != want {
		t.Errorf("the command is\n%s\nwant\n%s", got, want)
	}
	p.click("#make")
	p.Until(`document.getElementById("made").value !== ""`)
	c, joined := s.Join(p.Eval(`document.getElementById("made").value`))
	if joined.Str("room.name") != "the lab" {
		t.Errorf("got %s", joined.Text)
	}
	c.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	for _, m := range []wire.Message{{Type: "publishTrack", Kind: "audio", Source: "microphone"}, {Type: "publishData", Payload: json.RawMessage(`"x"`)}} {
		if e := c.Ask(m); e.Str("code") != "not_allowed" {
			t.Errorf("got %s", e.Text)
		}
	}
	p.sees("#preview", `"sub": "o'neil"`)
	p.follow("summary")
	p.fill("details textarea:nth-of-type(1)", "x")
	p.Eval(`(() => { const a = document.querySelectorAll("details textarea")[1]; a.value = "{"; a.dispatchEvent(new Event("input", { bubbles: true })); return "" })()`)
	p.sees("#make-problem", "Attributes: ")
	p.gone(".made")
}

// Whatever is pasted: what it is, and what is wrong with it.
func TestReadingTokens(t *testing.T) {
	s := serve(t)
	p := in(t, s)
	p.goTo("#/tokens")
	expired, _ := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{Identity: "ada", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lab"}}, time.Minute, time.Now().Add(-time.Hour))
	forged, _ := tokens.Mint(sessiontest.Key, auth.Secret("another-secret-of-more-than-32-bytes"), tokens.Claims{Identity: "ada", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lab"}}, time.Hour, time.Now())
	const header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
	for _, test := range []struct{ token, what, report string }{
		{s.Token("lab", "ada"), "This is a LiveKit token. This server takes it.", "receive the tracks of the others"},
		{expired, "This is a LiveKit token.", "it expired 59m"},
		{forged, "This is a LiveKit token.", "DOES NOT HOLD"},
		{s.Token("", "ada"), "This is a LiveKit token.", "it names no room, so nobody can join with it"},
		{"Bearer " + expired, "This is no token.", "leave it out"},
		{"a.b", "This is no token.", "this has 2"},
		// {"k":"id","pid":"p","uid":"ada","exp":1}
		{header + "eyJrIjoiaWQiLCJwaWQiOiJwIiwidWlkIjoiYWRhIiwiZXhwIjoxfQ.x", "This is a Liveblocks ID token", "it expired more than 10 years ago"},
		// {"r":"standup","d":"1","iat":1}
		{header + "eyJyIjoic3RhbmR1cCIsImQiOiIxIiwiaWF0IjoxfQ.eA", "This is a Daily meeting token.", `"standup"`},
	} {
		p.fill("#pasted", test.token)
		p.sees("#what", test.what)
		p.Until(fmt.Sprintf("document.getElementById('report').textContent.includes(%s)", browsertest.Quote(test.report)))
	}
	p.fill("#pasted", "sk_dev_verysecret")
	p.sees("#what", "a Liveblocks secret key")
	p.Until("document.getElementById('report').textContent === ''")
	p.fill("#pasted", s.Token("lab", "ada"))
	p.sees("#claims", `"sub": "ada"`)
}
