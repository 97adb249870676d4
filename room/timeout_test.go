package room_test

import (
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
)

// A room ends when nobody keeps it open: agents do not, whenever they come and
// go, and do not shorten the time of a room that nobody else has joined yet.
func TestAgentsDoNotMoveARoomsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true, EmptyTimeout: time.Hour, DepartureTimeout: time.Minute})
		lives := func() bool { _, ok := h.rooms.Lookup("test", "hall"); return ok }
		agent := func(g *auth.Grant) { g.Kind = auth.Agent }
		leave := func(m *member) {
			if err := m.p.Leave(m.call(0)); err != nil {
				t.Fatal(err)
			}
			m.batch.Flush()
		}

		early := h.join("agent", agent)
		time.Sleep(59 * time.Minute)
		if !lives() {
			t.Fatal("a room that waits for its first participant ended early")
		}
		ada := h.join("ada")
		leave(early)
		leave(ada)
		left := time.Now()
		for time.Since(left) < 50*time.Second {
			leave(h.join("agent", agent))
			time.Sleep(10 * time.Second)
		}
		h.join("agent", agent)
		time.Sleep(11 * time.Second)
		if lives() {
			t.Error("agents keep the room open")
		}
	})
}
