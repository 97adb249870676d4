package room_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

func (h *hall) lease(name string, l room.Lease) error {
	b := h.rooms.Batch()
	defer b.Flush()
	return h.rooms.Lease(b, "test", name, l)
}

// A lease shows like a participant, merges its presence, keeps the room open, and
// is gone when its time is over.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{DepartureTimeout: time.Second})
		if err := h.lease("hall", room.Lease{Identity: "bot", TTL: time.Minute}); !errors.Is(err, room.ErrNotFound) {
			t.Errorf("a lease in no room: %v", err)
		}
		h.create("hall", access(writer...))
		ada := h.visits("hall", idToken("ada"))
		first := room.Lease{Identity: "bot", Name: "Bot", Metadata: `{"name":"Bot"}`, Presence: room.Presence{"a": []byte("1"), "b": []byte("2")}, TTL: time.Minute}
		n := ada.count()
		if err := h.lease("hall", first); err != nil {
			t.Fatal(err)
		}
		h.expect(ada, n, "ParticipantJoined", "PresenceUpdated")
		joined := last[*room.ParticipantJoined](t, ada)
		if p := joined.Participant; p.Identity != "bot" || p.Name != "Bot" || p.Actor == 0 || string(joined.Presence["a"]) != "1" {
			t.Errorf("ada was told of %+v, %v", p, joined.Presence)
		}
		bob := h.visits("hall", idToken("bob"))
		if s := last[*room.Snapshot](t, bob); len(s.Participants) != 2 || s.Room.NumParticipants != 3 || string(s.Presence[joined.Participant.SID]["b"]) != "2" {
			t.Errorf("bob found %+v", s)
		}
		for _, i := range h.lookup("hall").Active() {
			if i.Identity == "bot" && i.SID != joined.Participant.SID {
				t.Error("another one is active")
			}
		}
		time.Sleep(50 * time.Second)
		n = ada.count()
		if err := h.lease("hall", room.Lease{Identity: "bot", Presence: room.Presence{"b": []byte("3")}, TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		h.expect(ada, n, "PresenceUpdated")
		if p := last[*room.PresenceUpdated](t, ada).Presence; string(p["a"]) != "1" || string(p["b"]) != "3" {
			t.Errorf("it merged to %v", p)
		}
		time.Sleep(59 * time.Second) // past the end of the first
		if got := h.in("hall"); !slices.Contains(got, "bot") {
			t.Errorf("it ended before its time: %v", got)
		}
		ada.leave()
		bob.leave()
		time.Sleep(900 * time.Millisecond)
		if _, lives := h.rooms.Lookup("test", "hall"); !lives {
			t.Fatal("it does not keep the room open")
		}
		carl := h.visits("hall", idToken("carl"))
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if left := last[*room.ParticipantLeft](t, carl); left.SID != joined.Participant.SID || left.Actor != joined.Participant.Actor {
			t.Errorf("who left is %+v", left)
		}
		if got := h.in("hall"); slices.Contains(got, "bot") {
			t.Errorf("it is still there: %v", got)
		}
		// A person who is there by herself, too.
		if err := h.lease("hall", room.Lease{Identity: "carl", TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
		h.expectIn("hall", "carl", "carl")
		if err := h.rooms.Remove(h.rooms.Batch(), "test", "hall", room.Target{Identity: "carl"}, room.Removal{}); err != nil {
			t.Fatal(err)
		}
		h.expectIn("hall")
		for name, l := range map[string]room.Lease{
			"no identity":  {TTL: time.Second},
			"anonymous":    {Identity: auth.AnonymousPrefix + "x", TTL: time.Second},
			"no time":      {Identity: "x"},
			"much to show": {Identity: "x", TTL: time.Second, Presence: room.Presence{"k": []byte(strings.Repeat("x", 1<<20))}},
			"a long name":  {Identity: "x", TTL: time.Second, Name: strings.Repeat("x", 300)},
		} {
			if err := h.lease("hall", l); err == nil {
				t.Errorf("%s: it was given", name)
			}
		}
		if err := h.rooms.Delete(h.rooms.Batch(), "test", "hall"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // no timer minds that its room is gone
	})
}

// Actor numbers are unique in all rooms and over restarts, and hidden people leave
// no gap.
func TestActors(t *testing.T) {
	stores(t, func(t *testing.T, s store.Store) {
		cfg := room.Config{AutoCreate: true, Store: s}
		var mu sync.Mutex
		seen := map[uint64]string{}
		for life := range 3 {
			h := start(t, cfg) // the one before was killed
			var wg sync.WaitGroup
			for k := range 4 {
				wg.Go(func() {
					for i := range 50 {
						who := fmt.Sprint(life, "-", k, "-", i)
						m, err := h.enter(grant(who, func(g *auth.Grant) { g.Room = fmt.Sprint("room", i%3) }))
						m.batch.Flush()
						if err != nil {
							t.Error(err)
							return
						}
						n := last[*room.Snapshot](t, m).Self.Actor
						mu.Lock()
						if other := seen[n]; other != "" || n == 0 {
							t.Errorf("%s has the number %d of %q", who, n, other)
						}
						seen[n] = who
						mu.Unlock()
					}
				})
			}
			wg.Wait()
		}
	})
	h := start(t, room.Config{AutoCreate: true})
	actor := func(m *member) uint64 { return last[*room.Snapshot](t, m).Self.Actor }
	first := actor(h.join("ada"))
	spy := h.join("spy", hidden)
	if n := actor(h.join("bob")); n != first+1 {
		t.Errorf("a hidden one has left a gap: %d, then %d", first, n)
	}
	spyShown := room.Change{Permission: &auth.Say{Layer: auth.Live, Deny: auth.Hidden}}
	h.update(room.Target{Identity: "spy"}, spyShown)
	if n := last[*room.ParticipantUpdated](t, spy).Participant.Actor; n != first+2 {
		t.Errorf("shown it has the number %d", n)
	}
}

// Numbers go on while the store takes nothing, and end before one is given twice.
func TestActorsWithoutStore(t *testing.T) {
	s := newSlowStore(t)
	h := start(t, room.Config{Store: s})
	s.mu.Lock()
	s.fails = func() bool { return true }
	s.mu.Unlock()
	n, err := room.TakeActors(h.rooms)
	if !errors.Is(err, room.ErrUnavailable) || n < room.ActorBlock/2 || n > room.ActorBlock {
		t.Errorf("%d numbers, then %v", n, err)
	}
	s.mu.Lock()
	s.fails = nil
	s.mu.Unlock()
	waitFor(t, func() bool { _, err := room.NextActor(h.rooms); return err == nil })
}
