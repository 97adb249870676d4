package demo_test

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/browsertest"
)

// A hand is raised, its owner promoted, and the camera is live for the others a
// moment later; demoted, it is gone.
func TestRaisedHand(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host, named("Ada")))
	ada.sees("status", "Connected")
	bob := s.open("lobby", s.Token("lobby", "bob", viewer, named("Bob")))
	bob.sees("speakers", "Ada")
	ada.sees("audience", "Bob")

	// The camera of the host, for the viewer.
	ada.click("#turn-camera")
	bob.moves("ada", "camera")
	ada.moves("ada", "camera")

	// Not allowed yet, and told why.
	bob.click("#turn-camera")
	bob.sees("word", "publishing needs canPublish, and your token does not allow it.")
	bob.Until("document.querySelector('[data-permission=canPublish] .why-so').textContent.includes('layer “token”')")

	bob.click("#turn-hand")
	ada.sees("word", "Bob raised a hand and would like to speak.")
	ada.sees("asking", "hand raised")
	ada.press("bob", "promote")
	ada.moves("bob", "camera")
	ada.sees("speakers", "Bob")
	ada.Until("!document.getElementById('people').textContent.includes('hand raised')") // lowered by itself
	bob.moves("bob", "camera")
	bob.Until("document.getElementById('turn-microphone').ariaPressed === 'true'")
	bob.Until("document.querySelector('[data-permission=canPublish] .why-so').textContent.includes('live: an administrator changed it at')")

	ada.press("bob", "demote")
	ada.gone("bob", "camera")
	bob.gone("bob", "camera")
	bob.sees("word", "A host took you off the stage.")
	bob.Until("document.getElementById('turn-camera').ariaPressed === 'false'")
	bob.click("#turn-camera")
	bob.sees("word", "an administrator took it away. Ask a host for it.")
}

// A host brings somebody on stage with the camera only, adds the microphone,
// turns things off, and hides and shows them.
func TestPerSource(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host, named("Ada")))
	bob := s.open("lobby", s.Token("lobby", "bob", viewer, named("Bob")))
	bob.sees("people", "Ada")

	ada.press("bob", "camera")
	ada.sees("people", "speaker: camera")
	bob.sees("word", "You are on stage: you may use your camera.")
	bob.click("#start") // asked first: the hand was not up
	ada.moves("bob", "camera")
	bob.Until("document.getElementById('turn-microphone').ariaPressed === 'false'")
	bob.click("#turn-microphone")
	bob.sees("word", "publishing from this source needs canPublishSources, and")

	ada.press("bob", "microphone")
	bob.sees("word", "You are on stage: you may use your camera, microphone.")
	bob.click("#turn-microphone")
	bob.Until("document.getElementById('turn-microphone').ariaPressed === 'true'")
	ada.Until("document.querySelectorAll('#sounds audio').length === 1")
	ada.press("bob", "mute")
	bob.sees("word", "A host turned your microphone off. You can turn it on again.")
	bob.Until("document.getElementById('turn-microphone').ariaPressed === 'false'")
	ada.Until("document.querySelector('[data-identity=bob] [data-action=mute]').ariaDisabled === 'true'")
	bob.click("#turn-microphone")
	ada.Until("document.querySelector('[data-identity=bob] [data-action=mute]').ariaDisabled === 'false'")
	ada.press("bob", "dark")
	bob.sees("word", "A host turned your camera off.")
	ada.gone("bob", "camera")
	bob.click("#turn-camera")
	ada.moves("bob", "camera")

	ada.press("bob", "camera") // taken: the microphone stays
	bob.sees("word", "A host took your camera off the stage.")
	ada.gone("bob", "camera")
	bob.Until("document.getElementById('turn-microphone').ariaPressed === 'true'")

	ada.press("bob", "screen")
	bob.Until("!document.getElementById('turn-screen').classList.contains('locked')")
	bob.click("#turn-screen")
	ada.moves("bob", "screen")
	bob.click("#turn-screen")
	ada.gone("bob", "screen")

	ada.press("bob", "why")
	const camera = "document.querySelector('[data-identity=bob] [data-right=sendCamera]')"
	ada.Until(camera + "?.className === 'no' && " + camera + ".textContent.includes('decided by live. token: deny')")
	ada.Until("document.querySelector('[data-identity=bob] [data-right=sendMicrophone]').className === 'yes'")

	ada.press("bob", "hide")
	ada.Until("!document.querySelector('[data-identity=bob]')")
	ada.sees("hidden", "Bob")
	bob.sees("permissions", "Hidden from the others")
	bob.Until("document.querySelector('[data-permission=hidden]').className === 'yes'")
	ada.click("[data-hidden=bob] [data-action=show]")
	ada.Until("document.querySelector('[data-identity=bob]') && document.getElementById('hidden').childElementCount === 0")
	ada.sees("people", "speaker: microphone, screen")
}

// Browsers play no sound before a click: the page says so, and offers it.
func TestSound(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada"))
	bob := s.open("lobby", s.Token("lobby", "bob", viewer))
	bob.sees("people", "ada")
	ada.click("#turn-microphone")
	bob.Until("document.querySelectorAll('#sounds audio').length === 1 && !document.getElementById('sound').hidden")
	bob.click("#sound")
	bob.Until("document.getElementById('sound').hidden")
	ada.click("#leave")
	bob.Until("document.querySelectorAll('#sounds audio').length === 0")
}

// The server is killed and another takes its place: the pages join again by
// themselves, and what was shown is shown again.
func TestServerRestarts(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host))
	bob := s.open("lobby", s.Token("lobby", "bob"))
	ada.sees("people", "bob")
	ada.click("#turn-camera")
	bob.moves("ada", "camera")
	s.door.Shut()
	for _, p := range []*tab{ada, bob} {
		p.sees("status", "Reconnecting…")
		p.sees("cut", "what you see may be old")
	}
	s.start(nil)
	for _, p := range []*tab{ada, bob} {
		p.sees("status", "Connected")
		p.sees("events", "Joined again.")
		p.Until("document.querySelectorAll('.people [data-identity]').length === 2 && document.getElementById('count').textContent === '2'")
	}
	bob.moves("ada", "camera")
	bob.says("still here")
	ada.sees("messages", "still here")
}

// A page that is offline says so, and comes back when the network does.
func TestOffline(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada := s.open("lobby", s.Token("lobby", "ada"))
	ada.sees("status", "Connected")
	offline := func(off bool) {
		t.Helper()
		params := network.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}
		if _, err := chromedp.Call(ada.Context(), network.OverrideNetworkState, params); err != nil {
			t.Fatal(err)
		}
	}
	offline(true)
	s.door.Shut()
	ada.sees("status", "Offline")
	ada.sees("cut", "You are offline. The page comes back by itself when the network does.")
	bob.OK(wire.Message{Type: "publishData", Topic: "chat", Payload: []byte(`"missed?"`)})
	s.door.Lead(s.HTTP.Listener.Addr().String())
	offline(false)
	ada.sees("messages", "missed?")
	ada.sees("status", "Connected")
	ada.Until("document.getElementById('cut').textContent === ''")
}

// Without WebCodecs, or without a camera, the page says so and everything else works.
func TestNoMedia(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada := s.open("lobby", s.Token("lobby", "ada"), browsertest.Script("delete globalThis.VideoEncoder"))
	ada.sees("unable", "lacks WebCodecs")
	ada.sees("unable", "Everything else works.")
	ada.click("#turn-camera")
	ada.sees("word", "lacks WebCodecs")
	ada.says("hello")
	bob.ExpectWhere("what ada said", func(e sessiontest.Event) bool { return e.Str("payload") == "hello" })

	eve := s.open("lobby", s.Token("lobby", "eve"),
		browsertest.Script(`navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotFoundError"))`))
	eve.sees("status", "Connected")
	eve.click("#turn-camera")
	eve.sees("word", "Camera not started: No camera was found.")
	eve.Until("document.getElementById('turn-camera').ariaPressed === 'false' && document.getElementById('unable').hidden")
	eve.says("hello too")
	ada.sees("messages", "hello too")
}

// Everything can be done with the keyboard: nothing traps the focus, and what
// has it can be seen.
func TestKeyboard(t *testing.T) {
	s := serve(t)
	ada := s.open("lobby", s.Token("lobby", "ada", host))
	// Without leave to change his attributes he raises his hand by presence.
	bob := s.open("lobby", s.Token("lobby", "bob", viewer, func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = nil }))
	ada.sees("people", "bob")
	bob.sees("people", "ada")
	// tabTo presses Tab until what is wanted has the focus. On the way everything
	// has a name, and its focus is seen.
	tabTo := func(p *tab, selector string) {
		t.Helper()
		for range 60 {
			p.Key(kb.Tab)
			got := p.Eval(`(() => {
				const e = document.activeElement;
				if (e === document.body) return "";
				const name = e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim() || (e.getAttribute("aria-labelledby") ?? "");
				if (!name) return "no name: " + e.outerHTML;
				if (getComputedStyle(e).outlineStyle === "none") return "the focus is not seen: " + e.outerHTML;
				return e.matches(` + browsertest.Quote(selector) + `) ? "there" : "";
			})()`)
			if got == "there" {
				return
			}
			if got != "" {
				t.Error(got)
			}
		}
		t.Fatalf("the focus does not come to %s", selector)
	}
	tabTo(bob, "#turn-hand")
	bob.Key(kb.Enter)
	ada.sees("asking", "bob")
	tabTo(ada, "[data-identity=bob] [data-action=promote]")
	ada.Key(kb.Enter)
	ada.moves("bob", "camera")
	ada.Until("document.activeElement.matches('[data-identity=bob] [data-action=demote]')") // the focus went along
	tabTo(ada, "[data-identity=bob] [data-action=more]")
	ada.Key(kb.Enter)
	tabTo(ada, "[data-identity=bob] [data-action=camera]")
	ada.Key(" ")
	ada.gone("bob", "camera")
	tabTo(ada, "[data-identity=bob] [data-action=mute][aria-disabled=false]")
	ada.Key(kb.Enter)
	bob.sees("word", "A host turned your microphone off.")
	tabTo(ada, "[data-identity=bob] [data-action=remove]")
	ada.Key(kb.Enter + kb.Enter)
	bob.sees("notice", "You were removed")
	bob.Until("document.activeElement.id === 'token'")
	tabTo(ada, "#leave") // round and round
}
