package console_test

import (
	"testing"

	"usher/session/wire"
)

// Rooms come and go by themselves; they are made, described, found and deleted.
func TestRooms(t *testing.T) {
	s := serve(t)
	p := in(t, s)
	p.sees("#view", "No room lives.")
	bob, _ := s.Join(s.Token("lobby", "bob"))
	p.sees("[data-room=lobby]", "1 person")
	p.click("#new-room")
	p.fill("dialog input", "stage")
	p.fill("dialog textarea", "made by hand")
	p.click("dialog button[type=submit]")
	p.sees("h1", "stage")
	p.sees(".metadata", "made by hand")
	p.click("#edit-room")
	p.fill("dialog textarea", "changed")
	p.click("dialog button[type=submit]")
	p.sees(".metadata", "changed")
	p.goTo("#/rooms")
	p.sees("#rooms", "stage")
	p.fill("input[type=search]", "LOB")
	p.gone("[data-room=stage]")
	p.sees("#rooms", "lobby")
	p.follow("[data-room=lobby]")
	p.sees(".facts", "since")
	p.click("#delete-room")
	p.click("dialog button[type=submit]")
	bob.ExpectClose(wire.RoomDeleted)
	p.sees("#outcome", "is deleted")
	p.gone("[data-room=lobby]")
}
