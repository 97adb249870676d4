package console_test

import (
	"testing"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// Who waits to be let in is shown, and let in or sent away, one or all.
func TestWaiting(t *testing.T) {
	s := serve(t)
	s.DailyRoom("call", room.DailySettings{Private: true, Knocking: true})
	host, _ := s.Join(s.DailyToken("call", "host", sessiontest.Properties{"is_owner": true}))
	knocks := func(name string) *sessiontest.Client {
		c, told := s.JoinAs(wire.Message{Room: "call", Name: &name})
		if told.Type() != "waiting" {
			t.Fatalf("got %s", told.Text)
		}
		return c
	}
	first, second := knocks("Ada <b>"), knocks("Bob")
	p := in(t, s)
	p.goTo("#/room/call")
	p.sees("#waiting li:nth-child(1)", "Ada <b>")
	p.sees("#waiting li:nth-child(2)", "Bob")
	for _, verb := range []string{"Admit", "Deny"} {
		p.Until(`[...document.querySelectorAll("#waiting button")].some((b) => b.ariaLabel === "` + verb + `: Ada <b>")`)
	}
	p.click("#waiting li:nth-child(2) button.danger")
	second.ExpectClose(wire.NotAdmitted)
	p.sees("#outcome", "1 person was sent away.")
	p.gone("#waiting li:nth-child(2)")
	third := knocks("Cy")
	p.sees("#waiting li:nth-child(2)", "Cy")
	p.click("#admit-all")
	for _, c := range []*sessiontest.Client{first, third} {
		c.Expect("joined")
	}
	p.sees("#outcome", "2 people were let in.")
	p.gone("#waiting li")
	p.sees("#people", "Cy")
	host.ExpectWhere("Cy", func(e sessiontest.Event) bool {
		return e.Type() == "participantJoined" && e.Str("participant.name") == "Cy"
	})
}
