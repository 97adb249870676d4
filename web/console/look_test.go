package console_test

import (
	"encoding/json"
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/browsertest"
)

// look makes the page as large as a screen, and light or dark.
func (p *tab) look(width, height int64, scheme string) {
	p.t.Helper()
	p.Window(width, height)
	p.Prefer("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce")
}

// On a phone and on a desktop nothing is cut off; pictures are for people to
// look at, in USHER_SCREENSHOTS.
func TestLooks(t *testing.T) {
	file := browsertest.Album(t)
	s := serve(t)
	for _, name := range []string{"lobby", "all-hands", "standup with a rather long name that goes on and on"} {
		s.Join(s.Token(name, "host", host, func(c *tokens.Claims) {
			c.Name = "Grace Hopper"
			c.RoomConfig = json.RawMessage(`{"maxParticipants":200,"metadata":"{\"topic\":\"Quarterly review\",\"stage\":\"main\"}"}`)
		}))
	}
	ada, _ := s.Join(s.Token("all-hands", "ada", func(c *tokens.Claims) {
		c.Name, c.Metadata, c.Attributes = "Ada Lovelace", `{"seat":12}`, map[string]string{"hand": "raised", "team": "engines"}
	}))
	ada.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	ada.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	s.Join(s.Token("all-hands", "recorder-1", func(c *tokens.Claims) { c.Video.Hidden, c.Video.Recorder, c.Kind = true, true, auth.Kind("agent") }))
	s.Join(s.Token("all-hands", "auth0|61f0c2b7d3a9e1004be0a7c2-with-a-very-long-identity", func(c *tokens.Claims) { c.Video.CanPublish = new(bool) }))
	p := in(t, s)
	p.goTo("#/room/all-hands/ada")
	p.click("[data-right=screen_share]")
	p.sees("#said", "Done")
	p.goTo("#/revocations")
	for _, body := range []room.Revocation{{Identity: "mallory", Reason: "spam in three rooms"}, {KeyID: "APIold", Reason: "leaked"}, {Room: "old-stage"}, {TokenID: "7f3a", Expires: time.Now().Add(time.Hour)}} {
		body.Project, body.Until, body.By = "test", time.Now().Add(-time.Minute), "ada"
		b := s.Rooms.Batch()
		if _, err := s.Rooms.Revoke(b, body); err != nil {
			t.Fatal(err)
		}
		b.Flush()
	}
	expired, _ := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{Identity: "ada", Name: "Ada", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lab", CanPublishSources: []string{"camera", "webcam"}}}, time.Minute, time.Now().Add(-time.Hour))
	views := []struct{ name, hash, shown, text string }{
		{"rooms", "#/rooms", "#rooms", "standup"},
		{"room", "#/room/all-hands", "#people", "auth0"},
		{"person", "#/room/all-hands/ada", "#why-screen_share", "Taken live"},
		{"webhooks", "#/webhooks", "#targets", "failing"},
		{"revocations", "#/revocations", "#revocations", "leaked"},
		{"tokens", "#/tokens", "#report", "it expired"},
	}
	screens := []struct {
		name          string
		width, height int64
	}{{"phone", 360, 740}, {"desktop", 1280, 800}}
	for _, screen := range screens {
		for _, scheme := range []string{"light", "dark"} {
			p.look(screen.width, screen.height, scheme)
			for _, v := range views {
				p.goTo(v.hash)
				if v.name == "tokens" {
					p.Until("document.querySelector('#pasted')")
					p.fill("#make-room", "lab")
					p.fill("#make-identity", "ada")
					p.fill("#pasted", expired)
				}
				p.sees(v.shown, v.text)
				p.Eval(`(() => { document.getElementById("outcome").hidden = true; scrollTo(0, 0); return "" })()`)
				p.Shot(file("console-"+v.name+"-"+screen.name+"-"+scheme+".png"), false)
				for _, line := range p.CutOff("dialog") {
					t.Errorf("%s on the %s: %s", v.name, screen.name, line)
				}
			}
			p.goTo("#/room/all-hands/ada")
			p.settled()
			p.click("#revoke")
			p.sees("dialog", "Revoke tokens")
			p.Shot(file("console-revoke-"+screen.name+"-"+scheme+".png"), false)
			p.click("dialog .quiet")
		}
	}
	out := open(t, s)
	for _, screen := range screens {
		for _, scheme := range []string{"light", "dark"} {
			out.look(screen.width, screen.height, scheme)
			out.sees("h1", "Sign in")
			out.Shot(file("console-door-"+screen.name+"-"+scheme+".png"), false)
		}
	}
}
