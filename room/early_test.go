package room_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
	"usher/auth"
	"usher/room"
	"usher/room/store"
)

// A token that was shown before the moment that it says it was issued is not
// beyond reach: not in the room, not after the room has ended, for whatever kind
// of revocation, nor for a statement.
func TestEarlyTokensAreReached(t *testing.T) {
	ahead := func(g *auth.Grant) { issued(time.Now().Add(40 * time.Second))(g); g.KeyID = "key" }
	for name, rv := range map[string]room.Revocation{
		"identity in the room": {Room: "hall", Identity: "bob"}, "identity": {Identity: "bob"}, "room": {Room: "hall"}, "key": {KeyID: "key"},
	} {
		for _, live := range []bool{true, false} {
			h := start(t, room.Config{AutoCreate: true})
			g := grant("bob", ahead)
			bob, err := h.enter(g)
			must(t, err)
			bob.batch.Flush()
			b := h.rooms.Batch()
			if !live {
				bob.leave()
				must(t, h.room().Delete(b))
			}
			rv.Project, rv.Until = "test", time.Now()
			if _, err := h.rooms.Revoke(b, rv); err != nil {
				t.Fatal(err)
			}
			if live && bob.ended() == nil {
				t.Errorf("%s: bob is still there", name)
			}
			if _, err := h.enter(g); !errors.Is(err, room.ErrRevoked) {
				t.Errorf("%s, in the room: %v: got %v", name, live, err)
			}
			h.stop()
		}
	}
	h := start(t, room.Config{AutoCreate: true})
	g := grant("bob", ahead)
	bob, err := h.enter(g)
	must(t, err)
	bob.batch.Flush()
	b := h.rooms.Batch()
	if _, err := h.room().Update(b, room.Target{Identity: "bob"}, deny(auth.SendCamera)); err != nil {
		t.Fatal(err)
	}
	bob.leave()
	must(t, h.room().Delete(b))
	if p := h.may("bob", ahead); p.Allows(auth.SendCamera) {
		t.Error("the first token gave back what was taken")
	}
}

// A denial is kept as long as a refreshed token from before it may be shown, even
// when tokens themselves live shorter.
func TestDenialsOutliveRefreshedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{AutoCreate: true, TokenLife: 30 * time.Second, RefreshLife: 10 * time.Minute})
		began := time.Now()
		h.join("bob", issued(began))
		b := h.rooms.Batch()
		if _, err := h.room().Update(b, room.Target{Identity: "bob"}, deny(auth.SendCamera)); err != nil {
			t.Fatal(err)
		}
		must(t, h.room().Delete(b))
		for _, after := range []time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute} {
			time.Sleep(time.Until(began.Add(after)))
			h.rooms.Sweep(b)
			if p := h.may("bob", refreshed(began, began, "PA_x")); p.Allows(auth.SendCamera) {
				t.Errorf("after %v the refreshed token gave back what was taken", after)
			}
			must(t, h.room().Delete(b))
		}
	})
}

// Removing somebody again and again does not make the record of it grow.
func TestRevocationsDoNotGrow(t *testing.T) {
	kept := store.NewMemory()
	h := start(t, room.Config{AutoCreate: true, Store: kept})
	b := h.rooms.Batch()
	size := func() (n int) {
		must(t, kept.Load(store.Revocations, func(_ string, value []byte) error { n += len(value); return nil }))
		return n
	}
	first := 0
	for i := range 50 {
		// Tokens of the next second, as a backend signs them after a removal.
		h.join("bob", issued(time.Now().Add(time.Duration(i-100)*time.Second)))
		if err := h.room().Remove(b, room.Target{Identity: "bob"}, room.Removal{Until: time.Now().Add(time.Duration(i-100) * time.Second)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = size()
		}
	}
	if n := size(); n > first+100 {
		t.Errorf("%d bytes after one removal, %d after 50", first, n)
	}
}
