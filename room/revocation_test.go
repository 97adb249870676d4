package room_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

func tokenID(id string) func(*auth.Grant) { return func(g *auth.Grant) { g.TokenID = id } }
func keyID(id string) func(*auth.Grant)   { return func(g *auth.Grant) { g.KeyID = id } }

func (h *hall) revoke(rv room.Revocation) room.Revocation {
	h.t.Helper()
	rv.Project = "test"
	made, err := h.rooms.Revoke(h.rooms.Batch(), rv)
	if err != nil {
		h.t.Fatal(err)
	}
	return made
}

// refused reports whether a token is refused at a join, and checks that the
// server API says the same.
func (h *hall) refused(g *auth.Grant) bool {
	h.t.Helper()
	m, err := h.enter(g)
	m.batch.Flush()
	switch {
	case err == nil:
		m.leave()
	case !errors.Is(err, room.ErrRevoked):
		h.t.Fatal(err)
	}
	if api := h.rooms.Revoked(g); api != (err != nil) {
		h.t.Errorf("a join is answered with %v, a server API refuses: %t", err, api)
	}
	return err != nil
}

// Each kind of revocation puts out who is there, refuses joins, resumes, moves
// and server APIs, now and after a restart, until it is lifted.
func TestRevocations(t *testing.T) {
	now := time.Now()
	first := now.Add(-time.Minute)
	later := now.Add(time.Minute)
	who := func(identity, room string, at time.Time, change ...func(*auth.Grant)) *auth.Grant {
		return grant(identity, append([]func(*auth.Grant){toRoom(room), issued(at), keyID("key"), tokenID("id-" + identity)}, change...)...)
	}
	descended := func(identity, room string) *auth.Grant {
		return who(identity, room, later, func(g *auth.Grant) {
			g.TokenHash[0], g.KeyID, g.TokenID = 'R', "key2", ""
			g.Origin = &auth.Origin{KeyID: "key", Issued: first.Unix(), TokenID: "id-" + identity, Session: "PA_x"}
		})
	}
	for name, c := range map[string]struct {
		revocation room.Revocation
		refused    map[string]*auth.Grant
		taken      map[string]*auth.Grant
		out        bool // bob, in the hall
	}{
		"an identity in a room": {
			room.Revocation{Room: "hall", Identity: "bob", Until: now},
			map[string]*auth.Grant{"the first": who("bob", "hall", first), "a refreshed one": descended("bob", "hall"), "one with no time": who("bob", "hall", time.Unix(0, 0))},
			map[string]*auth.Grant{"a later one": who("bob", "hall", later), "of another room": who("bob", "attic", first), "another's": who("eve", "hall", first)},
			true,
		},
		"an identity": {
			room.Revocation{Identity: "bob", Until: now},
			map[string]*auth.Grant{"the first": who("bob", "hall", first), "of another room": who("bob", "attic", first), "a refreshed one": descended("bob", "attic")},
			map[string]*auth.Grant{"a later one": who("bob", "hall", later), "another's": who("eve", "hall", first)},
			true,
		},
		"a room": {
			room.Revocation{Room: "hall", Until: now},
			map[string]*auth.Grant{"bob's": who("bob", "hall", first), "eve's": who("eve", "hall", first), "a refreshed one": descended("eve", "hall")},
			map[string]*auth.Grant{"a later one": who("bob", "hall", later), "of another room": who("bob", "attic", first)},
			true,
		},
		"a token id": {
			room.Revocation{TokenID: "id-bob"},
			map[string]*auth.Grant{"the first": who("bob", "hall", first), "issued later": who("bob", "hall", later), "a refreshed one": descended("bob", "attic")},
			map[string]*auth.Grant{"another": who("bob", "hall", first, tokenID("other")), "one without": who("bob", "hall", first, tokenID(""))},
			true,
		},
		"a key": {
			room.Revocation{KeyID: "key", Until: now},
			map[string]*auth.Grant{"the first": who("bob", "hall", first), "eve's": who("eve", "attic", first), "a refreshed one": descended("eve", "hall")},
			map[string]*auth.Grant{"a later one": who("bob", "hall", later), "of another key": who("bob", "hall", first, keyID("key2"))},
			true,
		},
		"an identity that is not here": {
			room.Revocation{Room: "hall", Identity: "mallory", Until: now},
			map[string]*auth.Grant{"the first": who("mallory", "hall", first)},
			map[string]*auth.Grant{"bob's": who("bob", "attic", first)},
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			stores(t, func(t *testing.T, s store.Store) {
				cfg := room.Config{AutoCreate: true, Store: s}
				h := start(t, cfg)
				ada := h.join("ada", issued(later), keyID("key2"))
				bob, err := h.enter(who("bob", "hall", first))
				must(t, err)
				bob.batch.Flush()
				joined := last[*room.Snapshot](t, bob)
				if !c.revocation.Until.IsZero() {
					c.revocation.Until = now.Add(10 * time.Second) // not past, however slow this is
				}
				c.revocation.By, c.revocation.Reason = "the test", "because"
				made := h.revoke(c.revocation)
				if made.ID == "" || made.By != "the test" || made.Reason != "because" || made.Made.IsZero() {
					t.Errorf("made %+v", made)
				}
				if cause := bob.ended(); (cause != nil) != c.out || cause != nil && *cause != room.CauseRevoked {
					t.Errorf("bob ended with %v", cause)
				}
				everybody := c.revocation.Room != "" && c.revocation.Identity == "" // ada's token was shown, too, though it is of a later time
				if c.out && !everybody {
					if left := last[*room.ParticipantLeft](t, ada); left.Reason != room.ParticipantRemoved || left.Identity != "bob" {
						t.Errorf("ada was told %+v", left)
					}
					if _, err := h.resume(joined, reliable(bob.since(0))); err == nil {
						t.Error("bob resumed")
					}
				}
				if (ada.ended() != nil) != everybody {
					t.Errorf("ada ended with %v", ada.ended())
				}
				check := func(when string) {
					t.Helper()
					for what, g := range c.refused {
						if !h.refused(g) {
							t.Errorf("%s: %s is taken", when, what)
						}
					}
					for what, g := range c.taken {
						if h.refused(g) {
							t.Errorf("%s: %s is refused", when, what)
						}
					}
				}
				check("at once")
				h = start(t, cfg) // after a kill
				check("after a restart")
				list := h.rooms.Revocations("test", "")
				if len(list) != 1 || list[0].ID != made.ID || list[0].Reason != "because" || list[0].Until.Unix() != made.Until.Unix() {
					t.Errorf("listed are %+v", list)
				}
				if got := h.rooms.Revocations("test", "elsewhere"); len(got) != 0 {
					t.Errorf("of another room are listed %+v", got)
				}
				if _, err := h.rooms.Lift("other", made.ID); !errors.Is(err, room.ErrNoRevocation) {
					t.Errorf("another project lifts it: %v", err)
				}
				if _, err := h.rooms.Lift("test", made.ID); err != nil {
					t.Fatal(err)
				}
				if _, err := h.rooms.Lift("test", made.ID); !errors.Is(err, room.ErrNoRevocation) {
					t.Errorf("lifted twice: %v", err)
				}
				for range 2 {
					for what, g := range c.refused {
						if h.refused(g) {
							t.Errorf("%s is refused after it was lifted", what)
						}
					}
					h = start(t, cfg)
				}
			})
		})
	}
}

// What was wrong about a revocation changes nothing.
func TestRevocationsAreChecked(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	bob := h.join("bob")
	for name, rv := range map[string]room.Revocation{
		"of nothing":              {Project: "test"},
		"of no project":           {Identity: "bob", Until: time.Now()},
		"of an identity and key":  {Project: "test", Identity: "bob", KeyID: "key"},
		"of a room and a token":   {Project: "test", Room: "hall", TokenID: "id"},
		"of a token and of a key": {Project: "test", KeyID: "key", TokenID: "id"},
	} {
		var invalid *room.InvalidError
		if _, err := h.rooms.Revoke(h.rooms.Batch(), rv); !errors.As(err, &invalid) {
			t.Errorf("%s: got %v, want that it is invalid", name, err)
		}
	}
	h.revoke(room.Revocation{Identity: "eve", Until: time.Now()})
	if _, err := h.rooms.Revoke(h.rooms.Batch(), room.Revocation{Project: "other", Identity: "bob", Until: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if bob.ended() != nil {
		t.Error("bob was put out")
	}
}

// A revocation of the same again extends the one there is, and lifting one
// while another is made leaves the other.
func TestRevocationsAreExtended(t *testing.T) {
	cfg := room.Config{AutoCreate: true, Store: store.NewMemory()}
	h := start(t, cfg)
	now := time.Now()
	one := h.revoke(room.Revocation{Room: "hall", Identity: "bob", Until: now})
	two := h.revoke(room.Revocation{Room: "hall", Identity: "bob", Until: now.Add(-time.Hour), Reason: "again"})
	if two.ID != one.ID || !two.Until.Equal(one.Until) || two.Reason != "again" {
		t.Errorf("extended to %+v, was %+v", two, one)
	}
	if three := h.revoke(room.Revocation{Room: "hall", Identity: "bob", Until: now.Add(time.Hour)}); three.ID != one.ID || three.Until.Unix() != now.Add(time.Hour).Unix() {
		t.Errorf("extended to %+v", three)
	}
	if n := len(h.rooms.Revocations("test", "hall")); n != 1 {
		t.Errorf("%d are listed", n)
	}
	h = start(t, cfg)
	if !h.refused(grant("bob", issued(now.Add(30*time.Minute)))) {
		t.Error("it was extended, and the next start does not know")
	}
}

// Somebody who is removed is out after a restart as well, with what was shown:
// the token, and what was refreshed in its session, whatever their times.
func TestRemovedStaysOutAfterARestart(t *testing.T) {
	stores(t, func(t *testing.T, s store.Store) {
		cfg := room.Config{AutoCreate: true, Store: s}
		h := start(t, cfg)
		h.join("keeper")
		future := issued(time.Now().Add(time.Hour))
		bob := h.join("bob", future)
		must(t, h.rooms.Remove(h.rooms.Batch(), "test", "hall", room.Target{Identity: "bob"}, room.Removal{By: "ada"}))
		if cause := bob.ended(); cause == nil || *cause != room.CauseRemoved {
			t.Errorf("bob ended with %v", cause)
		}
		for _, when := range []string{"at once", "after a restart"} {
			for what, g := range map[string]*auth.Grant{
				"the one of the future":       grant("bob", future),
				"what was refreshed from it":  grant("bob", refreshed(time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), bob.p.SID)),
				"one of before":               grant("bob", issued(time.Now().Add(-time.Second))),
				"another one, never used yet": grant("bob", issued(time.Now().Add(-time.Hour))),
			} {
				if !h.refused(g) {
					t.Errorf("%s: %s is taken", when, what)
				}
			}
			if h.refused(grant("bob", issued(time.Now().Add(time.Minute)))) {
				t.Errorf("%s: a later one is refused", when)
			}
			h = start(t, cfg)
		}
	})
}

// Nobody escapes a removal by leaving, and strangers are unknown.
func TestRemoveWhoHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true, Grace: 30 * time.Second})
		sweep := func() {
			b := h.rooms.Batch()
			h.rooms.Sweep(b)
			b.Flush()
		}
		remove := func(identity string) error {
			b := h.rooms.Batch()
			defer b.Flush()
			return h.rooms.Remove(b, "test", "hall", room.Target{Identity: identity}, room.Removal{})
		}
		keeper := h.join("keeper")
		token := issued(time.Now())
		h.join("bob", token).leave()
		time.Sleep(time.Minute)
		sweep()
		must(t, remove("bob"))
		if !h.refused(grant("bob", token)) {
			t.Error("bob is back")
		}
		if err := remove("eve"); !errors.Is(err, room.ErrNoParticipant) {
			t.Errorf("a stranger: got %v", err)
		}
		late := issued(time.Now())
		h.join("late", late).leave()
		time.Sleep(2 * time.Minute)
		sweep()
		if err := remove("late"); !errors.Is(err, room.ErrNoParticipant) {
			t.Errorf("somebody who left long ago: got %v", err)
		}
		// The room has ended: who left it is known still.
		gone := issued(time.Now())
		h.join("gone", gone).leave()
		keeper.leave()
		time.Sleep(30 * time.Second)
		if _, lives := h.rooms.Lookup("test", "hall"); lives {
			t.Fatal("the room did not end")
		}
		must(t, remove("gone"))
		if !h.refused(grant("gone", gone)) {
			t.Error("it is back")
		}
	})
}

// A removal whose token was meant to be good until later, or only before: the
// second counts.
func TestRemoveUntil(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.join("keeper")
	until := time.Now().Add(10 * time.Minute)
	h.join("bob", issued(time.Now()))
	b := h.rooms.Batch()
	must(t, h.rooms.Remove(b, "test", "hall", room.Target{Identity: "bob"}, room.Removal{Until: until}))
	for after, refused := range map[time.Duration]bool{-time.Second: true, 0: true, time.Second: false} {
		if got := h.refused(grant("bob", issued(until.Add(after)))); got != refused {
			t.Errorf("%v after it: refused=%t, want %t", after, got, refused)
		}
	}
}

// A store that cannot write: a revocation is in force all the same, and the call
// says that it may not last; what cannot be lifted durably is not lifted.
func TestRevocationsOnAFailingStore(t *testing.T) {
	s := newSlowStore(t)
	h := start(t, room.Config{AutoCreate: true, Store: s})
	h.join("keeper")
	bob := h.join("bob", issued(time.Now()))
	eve := h.join("eve", issued(time.Now()))
	made := h.revoke(room.Revocation{Room: "hall", Identity: "mallory", Until: time.Now()})
	s.mu.Lock()
	s.fails = func() bool { return true }
	s.mu.Unlock()
	b := h.rooms.Batch()
	if err := h.rooms.Remove(b, "test", "hall", room.Target{Identity: "bob"}, room.Removal{}); !errors.Is(err, room.ErrUnavailable) {
		t.Errorf("removing: got %v", err)
	}
	if _, err := h.rooms.Revoke(b, room.Revocation{Project: "test", Identity: "eve", Until: time.Now()}); !errors.Is(err, room.ErrUnavailable) {
		t.Errorf("revoking: got %v", err)
	}
	for _, m := range []*member{bob, eve} {
		if m.ended() == nil || !h.refused(m.p.Grant()) {
			t.Errorf("%s is in", m.p.Identity)
		}
	}
	if _, err := h.rooms.Lift("test", made.ID); !errors.Is(err, room.ErrUnavailable) {
		t.Errorf("lifting: got %v", err)
	}
	if !h.refused(grant("mallory", issued(time.Now().Add(-time.Second)))) {
		t.Error("it was lifted, and would be back after a restart")
	}
}

// A removal is in force before it is durable, and answered after.
func TestRemoveOnASlowStore(t *testing.T) {
	s := newSlowStore(t)
	h := start(t, room.Config{AutoCreate: true, Store: s})
	h.join("keeper")
	bob := h.join("bob", issued(time.Now()))
	s.hold(true)
	done := make(chan error, 1)
	go func() {
		done <- h.rooms.Remove(h.rooms.Batch(), "test", "hall", room.Target{Identity: "bob"}, room.Removal{})
	}()
	<-s.began
	waitFor(t, func() bool { return bob.ended() != nil })
	if !h.refused(bob.p.Grant()) {
		t.Error("bob is back while it is written")
	}
	select {
	case err := <-done:
		t.Errorf("it was answered with %v before it is durable", err)
	default:
	}
	s.settle(nil)
	must(t, <-done)
}

// Revocations go when no token is left that they refuse.
func TestRevocationsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		cfg := room.Config{AutoCreate: true, Store: s, TokenLife: time.Hour}
		h := start(t, cfg)
		sweep := func() {
			b := h.rooms.Batch()
			h.rooms.Sweep(b) // has the store forget
			synctest.Wait()
			h.rooms.Sweep(b) // forgets
			b.Flush()
		}
		kept := func() string {
			sweep()
			n := 0
			must(t, store.LoadRevocations(s, func(*store.Revocation) error { n++; return nil }))
			return fmt.Sprint(len(h.rooms.Revocations("test", "")), " in force, ", n, " kept")
		}
		now := time.Now()
		h.revoke(room.Revocation{Identity: "bob", Until: now})
		h.revoke(room.Revocation{Identity: "eve", Until: now.Add(time.Hour)})
		h.revoke(room.Revocation{TokenID: "id", Expires: now.Add(10 * time.Minute)})
		h.revoke(room.Revocation{TokenID: "short", Expires: now.Add(time.Minute)}) // what was refreshed from it lives longer
		for _, step := range []struct {
			after time.Duration
			want  string
		}{
			{10 * time.Minute, "4 in force, 4 kept"},
			{12 * time.Minute, "2 in force, 2 kept"},
			{time.Hour, "2 in force, 2 kept"},
			{time.Hour + 2*time.Minute, "1 in force, 1 kept"},
			{2*time.Hour + 2*time.Minute, "0 in force, 0 kept"},
		} {
			time.Sleep(time.Until(now.Add(step.after)))
			if got := kept(); got != step.want {
				t.Errorf("after %v: %s, want %s", step.after, got, step.want)
			}
		}

		// Without a bound on tokens they stay.
		cfg.TokenLife = 0
		h = start(t, cfg)
		h.revoke(room.Revocation{Identity: "bob", Until: time.Now()})
		h.revoke(room.Revocation{TokenID: "id"})
		time.Sleep(1000 * time.Hour)
		if got := kept(); got != "2 in force, 2 kept" {
			t.Errorf("without a bound: %s", got)
		}
	})
}

// One that has run out and is made again before the store has forgotten it stays, for
// as long as the later one, and so does one whose end could not be written.
func TestRevocationsThatAreMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore(t)
		h := start(t, room.Config{AutoCreate: true, Store: s, TokenLife: time.Hour})
		count := func() int {
			b := h.rooms.Batch()
			h.rooms.Sweep(b)
			synctest.Wait()
			h.rooms.Sweep(b)
			b.Flush()
			return len(h.rooms.Revocations("test", ""))
		}
		bob := room.Revocation{Identity: "bob", Until: time.Now()}
		h.revoke(bob)
		h.revoke(room.Revocation{Identity: "eve", Until: time.Now()})
		time.Sleep(30 * time.Minute)
		bob.Until = time.Now() // its end is put off
		h.revoke(bob)
		time.Sleep(40 * time.Minute)
		if n := count(); n != 1 {
			t.Errorf("%d in force, want bob's", n)
		}
		time.Sleep(30 * time.Minute)
		h.rooms.Sweep(h.rooms.Batch()) // it runs out
		bob.Until = time.Now()
		h.revoke(bob)
		for range 3 {
			if n := count(); n != 1 {
				t.Errorf("%d in force after it was made again", n)
			}
		}
		time.Sleep(2 * time.Hour)
		s.mu.Lock()
		failures := 1
		s.fails = func() bool { failures--; return failures >= 0 }
		s.mu.Unlock()
		count()
		if n := count(); n != 0 {
			t.Errorf("%d in force in the end", n)
		}
		h.stop()
	})
}

// Whatever a broken disk left undone is done when it is asked for again, or,
// of a room, by itself: nothing comes back with the next start.
func TestAgainOnceTheDiskWorks(t *testing.T) {
	kept := newSlowStore(t)
	broken := false
	kept.mu.Lock()
	kept.fails = func() bool { return broken } // under mu
	kept.mu.Unlock()
	disk := func(works bool) {
		kept.mu.Lock()
		defer kept.mu.Unlock()
		broken = !works
	}
	cfg := room.Config{AutoCreate: true, Store: kept}
	r := start(t, cfg)
	b := r.rooms.Batch()
	for _, name := range []string{"one", "two"} {
		if _, err := r.rooms.Create("test", name, auth.RoomConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	token := issued(time.Now())
	r.join("ada", token)
	bob := room.Target{Identity: "ada"}

	disk(false)
	if err := r.rooms.Remove(b, "test", "hall", bob, room.Removal{}); !errors.Is(err, room.ErrUnavailable) {
		t.Errorf("removing on a broken disk: got %v", err)
	}
	for _, name := range []string{"one", "two"} {
		if err := r.rooms.Delete(b, "test", name); !errors.Is(err, room.ErrUnavailable) {
			t.Errorf("deleting on a broken disk: got %v", err)
		}
	}
	disk(true)
	if err := r.rooms.Remove(b, "test", "hall", bob, room.Removal{}); err != nil {
		t.Errorf("removing again: got %v", err)
	}
	if err := r.rooms.Remove(b, "test", "hall", bob, room.Removal{}); !errors.Is(err, room.ErrNoParticipant) {
		t.Errorf("removing a third time: got %v", err)
	}
	if err := r.rooms.Delete(b, "test", "one"); err != nil {
		t.Errorf("deleting again: got %v", err)
	}
	if err := r.rooms.Delete(b, "test", "one"); !errors.Is(err, room.ErrNotFound) {
		t.Errorf("deleting a third time: got %v", err)
	}
	r.rooms.Sweep(b) // sees to the other
	if err := kept.File.Commit().Wait(); err != nil {
		t.Fatal(err)
	}

	again := start(t, cfg)
	if rooms := again.rooms.List("test", nil); len(rooms) != 0 {
		t.Errorf("after a restart there are %v", rooms)
	}
	if _, err := again.enter(grant("ada", token)); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("after a restart: got %v", err)
	}
}

// Nobody escapes being removed from a room by being moved out of it.
func TestRemoveWhoWasMoved(t *testing.T) {
	r := start(t, room.Config{AutoCreate: true})
	b := r.rooms.Batch()
	token := issued(time.Now())
	r.join("ada", token)
	if err := r.rooms.Move(b, "test", "hall", "yard", "ada"); err != nil {
		t.Fatal(err)
	}
	if err := r.rooms.Remove(b, "test", "hall", room.Target{Identity: "ada"}, room.Removal{}); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := r.enter(grant("ada", token)); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("got %v", err)
	}
	yard, _ := r.rooms.Lookup("test", "yard")
	if _, err := yard.Participant(room.Target{Identity: "ada"}); err != nil {
		t.Errorf("in the other room: %v", err)
	}
}
