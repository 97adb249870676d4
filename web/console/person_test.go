package console_test

import (
	"encoding/json"
	"strings"
	"testing"

	tokens "usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A switch is felt by the session at once, and the page says who decided.
func TestPermissions(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob", func(c *tokens.Claims) { c.Name = "Bob" }))
	bob.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	p := in(t, s)
	p.goTo("#/room/lobby/bob")
	p.sees("#why-camera", "Given by the token, issued")
	p.sees("#tracks", "camera")
	p.settled()
	p.click("[data-right=camera]")
	p.sees("#said", "Done: Bob may no longer publish camera. It is in force.")
	p.sees("#why-camera", "Taken live by "+sessiontest.Key)
	p.sees("#why-camera", "the token, issued")
	p.gone("#tracks li")
	bob.Expect("trackUnpublished")
	if e := bob.Ask(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"}); e.Str("code") != "not_allowed" || e.Str("layer") != "live" {
		t.Errorf("got %s", e.Text)
	}
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	p.sees("#tracks", "microphone")

	// Two at once go one after another, and neither undoes the other.
	p.Eval(`(() => { for (const s of ["microphone", "screen_share"]) document.querySelector("[data-right=" + s + "]").click(); return "" })()`)
	bob.Expect("trackUnpublished")
	p.Until(`["camera", "microphone", "screen_share"].every((s) => { const i = document.querySelector("[data-right=" + s + "]"); return !i.checked && !i.ariaBusy && document.getElementById("why-" + s).textContent.startsWith("Taken live") })`)
	p.Until(`document.querySelector("[data-right=screen_share_audio]").checked`)
	p.click("[data-right=camera]")
	p.sees("#why-camera", "Given live")
	bob.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})

	p.click("[data-right=canPublishData]")
	p.sees("#said", "Done: Bob may no longer send data and presence.")
	payload, _ := json.Marshal("hi")
	if e := bob.Ask(wire.Message{Type: "publishData", Payload: payload}); e.Str("code") != "not_allowed" {
		t.Errorf("got %s", e.Text)
	}

	// Somebody else's change shows by itself.
	mod, _ := s.Join(s.Token("lobby", "mod", host))
	mod.OK(wire.Message{Type: "updateParticipant", Identity: "bob", Permission: &wire.Permission{CanSubscribe: true, Hidden: true}})
	p.Until(`document.querySelector("[data-right=hidden]").checked`)
	p.sees("#why-hidden", "Given live by mod")
	p.sees(".title", "hidden")

	// Name, metadata and attributes; what is written is not overwritten.
	p.fill("#person-name", "Robert")
	mod.OK(wire.Message{Type: "updateParticipant", Identity: "bob", Permission: &wire.Permission{CanSubscribe: true, CanPublish: true}})
	p.Until(`!document.querySelector("[data-right=hidden]").checked && document.querySelector("#person-name").value === "Robert"`)
	p.fill("#person-metadata", "at the door")
	p.click("#save")
	p.sees("#outcome", "Saved")
	bob.ExpectWhere("the new name", func(e sessiontest.Event) bool {
		return e.Str("participant.name") == "Robert" && e.Str("participant.metadata") == "at the door"
	})
	p.sees("#people", "Robert")

	bob.Send(wire.Message{Type: "leave"})
	p.sees(".person", "Is not here. What was stated about them holds")
	p.Until(`document.querySelector("[data-right=camera]").disabled`)
}

// What is done to people reaches them.
func TestActs(t *testing.T) {
	s := serve(t)
	p := in(t, s)
	bob, _ := s.Join(s.Token("lobby", "bob"))
	cleo, _ := s.Join(s.Token("lobby", "cleo"))
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	p.goTo("#/room/lobby/bob")
	p.settled()
	p.click("#tracks button")
	p.sees("#said", "microphone is muted.")
	p.sees("#tracks", "muted")
	bob.ExpectWhere("the mute", func(e sessiontest.Event) bool { return strings.Contains(e.Text, `"muted":true`) })

	// To one, to all.
	p.click("#send-one")
	p.fill("dialog textarea", "only you, ñ")
	p.fill("dialog input", "news")
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "Sent to 1 person.")
	p.click("#send")
	p.fill("dialog textarea", "everybody")
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "Sent to everybody")
	only := bob.Expect("data")
	if only.Str("topic") != "news" || only.Str("payload") != "b25seSB5b3UsIMOx" {
		t.Errorf("got %s", only.Text)
	}
	if e := cleo.Expect("data"); e.Str("payload") != "ZXZlcnlib2R5" {
		t.Errorf("got %s", e.Text)
	}

	p.click("#move")
	p.fill("dialog input", "hall")
	p.click("dialog button[type=submit]")
	if e := bob.Expect("moved"); e.Str("room.name") != "hall" {
		t.Errorf("got %s", e.Text)
	}
	bob.Send(wire.Message{Type: "movedAck"})
	p.sees("#outcome", "bob was moved to hall.")
	p.follow("#outcome a")
	p.sees("h1", "hall")
	p.settled()
	p.click("#move")
	p.fill("dialog input", "hall")
	p.click("dialog button[type=submit]")
	p.Until(`document.querySelector("dialog .refusal").textContent !== ""`)
	p.click("dialog .quiet")

	p.click("#remove")
	p.click("dialog button[type=submit]")
	bob.ExpectClose(wire.Removed)
	p.sees("#outcome", "bob was removed.")

	// Revoked, listed, and lifted.
	token := s.Token("lobby", "cleo", func(c *tokens.Claims) { c.TokenID = "of-cleo" })
	p.goTo("#/room/lobby/cleo")
	p.sees("#person-title", "cleo")
	p.settled()
	p.click("#revoke")
	p.Until(`document.querySelector("dialog select").value === "person"`)
	p.fill("dialog input[maxlength]", "spam")
	p.click("dialog button[type=submit]")
	cleo.ExpectClose(wire.TokenRevoked)
	p.sees("#outcome", "Revoked: cleo in the room lobby.")
	if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != wire.TokenRevoked {
		t.Errorf("the token is answered with %d", got)
	}
	p.goTo("#/revocations")
	p.sees("#revocations", "spam")
	p.sees("#revocations", "bob in the room hall") // by removing
	p.click(`#revocations li:first-child [data-lift]`)
	p.click("dialog button[type=submit]")
	p.sees("#outcome", "lifted")
	p.Until(`!document.getElementById("revocations").textContent.includes("spam")`)
	s.Join(token)

	// The own key: the page goes on with tokens of later.
	p.click("#new-revocation")
	p.fill("dialog select", "key")
	p.Eval(`(() => { const i = [...document.querySelectorAll("dialog .field")].find((f) => f.textContent.startsWith("API key")).querySelector("input"); i.value = "testkey"; i.dispatchEvent(new Event("input")); return "" })()`)
	p.sees("dialog .notice", "This is the key that you are signed in with.")
	p.click("dialog button[type=submit]")
	p.sees("#revocations", "every token that comes from the key testkey")
}
