package room_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"usher/auth"
	"usher/room"
	"usher/room/store"
)

// A room that an API made comes back as it was, and goes for good when it ends.
func TestMadeRoomsOutliveTheProcess(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill=", kill), func(t *testing.T) {
			stores(t, func(t *testing.T, s store.Store) {
				cfg := room.Config{Store: s}
				h := start(t, cfg)
				settings := auth.RoomConfig{EmptyTimeout: time.Hour, DepartureTimeout: 7 * time.Second, MaxParticipants: 3, Metadata: "made"}
				made, err := h.rooms.Create("test", "hall", settings)
				if err != nil {
					t.Fatal(err)
				}
				again, err := h.rooms.Create("test", "hall", auth.RoomConfig{Metadata: "another"})
				if err != nil || again != made {
					t.Errorf("made again: got %+v, %v, want %+v", again, err, made)
				}
				other, err := h.rooms.Create("test", "other", auth.RoomConfig{})
				if err != nil {
					t.Fatal(err)
				}
				deleted, err := h.rooms.Create("test", "deleted", auth.RoomConfig{})
				if err != nil {
					t.Fatal(err)
				}
				b := h.rooms.Batch()
				r, _ := h.rooms.Lookup("test", "deleted")
				if err := r.Delete(b); err != nil {
					t.Fatal(err)
				}
				if changed, err := h.room().SetMetadata(b, "changed"); err != nil || changed.Metadata != "changed" {
					t.Fatal(changed, err)
				}
				b.Flush()
				h.join("ada", issued(time.Now()))
				h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
				if !kill {
					h.stop()
				}

				h = start(t, cfg)
				list := h.rooms.List("test", nil)
				slices.SortFunc(list, func(a, b room.Summary) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
				if len(list) != 2 || list[1].ID != other.ID || list[0].ID != made.ID {
					t.Fatalf("got %+v, want hall and other, not %s", list, deleted.ID)
				}
				made.Metadata, made.CreatedAt = "changed", list[0].CreatedAt
				if got := list[0]; got != made {
					t.Errorf("it came back as %+v, was %+v", got, made)
				}
				// Its life goes on: what was said in it holds against all tokens.
				if h.may("ada", issued(time.Now().Add(time.Hour))).Allows(auth.SendData) {
					t.Error("a later token counts, though the room's life went on")
				}
				for i := range 3 {
					h.join(fmt.Sprint("p", i))
				}
				m, err := h.enter(grant("one-more"))
				m.batch.Flush()
				if !errors.Is(err, room.ErrFull) {
					t.Errorf("got %v, want full", err)
				}
			})
		})
	}
}

// The timeouts of a made room count from the start, and end it for good. What
// was said in it is kept.
func TestMadeRoomsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := room.Config{Store: store.NewMemory()}
		h := start(t, cfg)
		if _, err := h.rooms.Create("test", "hall", auth.RoomConfig{EmptyTimeout: time.Minute, DepartureTimeout: time.Second}); err != nil {
			t.Fatal(err)
		}
		first := time.Now()
		h.join("ada", issued(first))
		h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
		h.stop()
		lives := func() bool {
			_, lives := h.rooms.Lookup("test", "hall")
			return lives
		}

		h = start(t, cfg)
		time.Sleep(59 * time.Second)
		if !lives() {
			t.Fatal("it ended before its time")
		}
		time.Sleep(2 * time.Second)
		if lives() {
			t.Fatal("it did not end")
		}
		h.stop()
		h = start(t, cfg)
		if lives() {
			t.Fatal("it is back")
		}
		cfg.AutoCreate = true
		h = start(t, cfg)
		if h.join("keeper"); h.may("ada", issued(first)).Allows(auth.SendData) {
			t.Error("what was said in it is forgotten")
		}
		if !h.may("ada", issued(first.Add(time.Second))).Allows(auth.SendData) {
			t.Error("it holds against a later token")
		}
	})
}

// Nobody is told that a room is made, or that it is deleted, before it is
// durable, whoever asked first.
func TestRoomsAreDurableWhenAnswered(t *testing.T) {
	create := func(h *run) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := h.rooms.Create("test", "hall", auth.RoomConfig{})
			done <- err
		}()
		return done
	}
	t.Run("two at once", func(t *testing.T) {
		s := newSlowStore(t)
		h := start(t, room.Config{Store: s})
		s.hold(true)
		first := create(h)
		<-s.began
		second := create(h)
		select {
		case err := <-second:
			t.Errorf("the second was answered with %v before the room is durable", err)
			second <- err
		case <-time.After(50 * time.Millisecond): // it would have been at once
		}
		s.hold(false)
		s.settle(nil)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
	})
	t.Run("again after a failure", func(t *testing.T) {
		s := newSlowStore(t)
		cfg := room.Config{Store: s}
		h := start(t, cfg)
		s.hold(true)
		first := create(h)
		<-s.began
		s.settle(errDisk)
		if err := <-first; !errors.Is(err, room.ErrUnavailable) {
			t.Fatalf("got %v, want unavailable", err)
		}
		s.hold(false)
		if err := <-create(h); err != nil {
			t.Fatal(err)
		}
		if h = start(t, cfg); len(h.rooms.List("test", nil)) != 1 {
			t.Error("the room was acknowledged and is not there")
		}
	})
}
