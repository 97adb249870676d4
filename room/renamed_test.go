package room_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/room"
	"usher/room/store"
)

// at is a token of that time, of any kind.
func at(when time.Time, g *auth.Grant) *auth.Grant {
	g.Issued = when
	g.TokenHash = auth.TokenHash([]byte(fmt.Sprintf("%-8.8s%024d", g.Identity, when.UnixNano())))
	return g
}

// acts reports whether the connection still speaks for somebody who may do something.
func (m *member) acts() bool {
	info, err := m.p.Room().Participant(room.Target{SID: m.p.SID})
	return err == nil && info.Permission.Allows(auth.SendPresence)
}

// Whoever was removed from a room, or refused there, stays out of it when it gets
// another name, and another, and its own again, whatever the kind of the token and
// however often the server starts in between. Later tokens are good.
func TestRemovedStaysOutOfARenamedRoom(t *testing.T) {
	past, ahead := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	kinds := map[string]func(name string, when time.Time) *auth.Grant{
		"ID": func(_ string, when time.Time) *auth.Grant { return at(when, idToken("bob")) },
		"access": func(_ string, when time.Time) *auth.Grant {
			return at(when, accessToken(t, "bob", `{"*":["*:write"]}`))
		},
		"LiveKit": func(name string, when time.Time) *auth.Grant { return at(when, grant("bob", toRoom(name))) },
		"refreshed": func(_ string, when time.Time) *auth.Grant {
			g := at(when.Add(time.Second), idToken("bob"))
			g.TokenHash[0], g.Origin = 'R', &auth.Origin{Session: "PA_x", Issued: when.Unix()}
			return g
		},
	}
	ways := map[string]func(h *run, name string) error{
		"removed": func(h *run, name string) error {
			return h.rooms.Remove(h.rooms.Batch(), "test", name, room.Target{Identity: "bob"}, room.Removal{})
		},
		"revoked": func(h *run, name string) error {
			_, err := h.rooms.Revoke(h.rooms.Batch(), room.Revocation{Project: "test", Room: name, Identity: "bob", Until: time.Now()})
			return err
		},
		"room revoked": func(h *run, name string) error {
			_, err := h.rooms.Revoke(h.rooms.Batch(), room.Revocation{Project: "test", Room: name, Until: time.Now()})
			return err
		},
	}
	for kind, token := range kinds {
		for way, put := range ways {
			for _, restarts := range []bool{false, true} {
				t.Run(fmt.Sprint(kind, "/", way, "/restarts=", restarts), func(t *testing.T) {
					cfg := room.Config{Store: store.NewMemory()}
					h := start(t, cfg)
					again := func() {
						if restarts {
							h.stop()
							h = start(t, cfg)
						}
					}
					h.create("a", access(writer...))
					if _, err := h.visit("a", token("a", past)); err != nil {
						t.Fatal(err)
					}
					again()
					if restarts { // who came before the restart is not there any more
						h.visits("a", token("a", past))
					}
					must(t, put(h, "a"))
					name := "a"
					for _, next := range []string{"b", "c", "b", "a"} {
						again()
						if _, err := h.rename(name, next); err != nil {
							t.Fatal(err)
						}
						name = next
						again()
						if m, err := h.visit(name, token(name, past)); !errors.Is(err, room.ErrRevoked) {
							t.Fatalf("in %s: %v, of %v", name, err, m.p != nil)
						}
						m, err := h.visit(name, token(name, ahead))
						if err != nil {
							t.Fatalf("a later token in %s: %v", name, err)
						}
						m.leave()
					}
				})
			}
		}
	}
}

// A removal reaches those who left, and tokens shown ahead of their time, a moment
// before the room got another name.
func TestRemoveAfterARename(t *testing.T) {
	for name, c := range map[string]struct {
		issued time.Time
		early  bool
	}{"left": {time.Now(), false}, "early": {time.Now().Add(40 * time.Second), false}, "early, and there": {time.Now().Add(40 * time.Second), true}} {
		t.Run(name, func(t *testing.T) {
			h := start(t, room.Config{})
			h.create("a", access(writer...))
			g := at(c.issued, idToken("bob"))
			bob := h.visits("a", g)
			if !c.early {
				bob.leave()
			}
			if _, err := h.rename("a", "b"); err != nil {
				t.Fatal(err)
			}
			if _, err := h.rename("b", "c"); err != nil {
				t.Fatal(err)
			}
			must(t, h.rooms.Remove(h.rooms.Batch(), "test", "c", room.Target{Identity: "bob"}, room.Removal{}))
			if _, err := h.visit("c", g); !errors.Is(err, room.ErrRevoked) {
				t.Errorf("bob came back: %v", err)
			}
			if err := h.rooms.Remove(h.rooms.Batch(), "test", "c", room.Target{Identity: "eve"}, room.Removal{}); !errors.Is(err, room.ErrNoParticipant) {
				t.Errorf("a stranger: %v", err)
			}
		})
	}
	t.Run("by the old name", func(t *testing.T) {
		h := start(t, room.Config{})
		h.create("a", access(writer...))
		g := at(time.Now(), idToken("bob"))
		h.visits("a", g)
		if _, err := h.rename("a", "b"); err != nil {
			t.Fatal(err)
		}
		must(t, h.rooms.Remove(h.rooms.Batch(), "test", "a", room.Target{Identity: "bob"}, room.Removal{}))
		if _, err := h.visit("b", g); !errors.Is(err, room.ErrRevoked) {
			t.Errorf("bob is in the room that he was removed from: %v", err)
		}
	})
}

// When something that takes access away has returned, while the room gets another
// name and the person knocks at both, nothing of the person gets through and
// nobody is where no later word would reach.
func TestRenamesRaceModeration(t *testing.T) {
	bob := room.Target{Identity: "bob"}
	gone := func(*hall, string) bool { return false }
	var last time.Time // when bob's token was issued
	for name, c := range map[string]struct {
		do func(h *hall, r *room.Room, from string) error
		// may says whether bob may still be there, in the room by its new name.
		may func(h *hall, to string) bool
	}{
		"remove": {func(h *hall, r *room.Room, from string) error {
			return h.rooms.Remove(h.rooms.Batch(), "test", from, bob, room.Removal{})
		}, gone},
		"remove by hand": {func(h *hall, r *room.Room, _ string) error { return r.Remove(h.rooms.Batch(), bob, room.Removal{}) }, gone},
		"revoke": {func(h *hall, _ *room.Room, _ string) error {
			_, err := h.rooms.Revoke(h.rooms.Batch(), room.Revocation{Project: "test", Identity: "bob", Until: last})
			return err
		}, gone},
		"edit": {func(h *hall, _ *room.Room, from string) error {
			b := h.rooms.Batch()
			_, err := h.rooms.UpdateLiveblocks(b, "test", from, byDefault())
			if errors.Is(err, room.ErrNotFound) {
				_, err = h.rooms.UpdateLiveblocks(b, "test", "to"+from[len("from"):], byDefault())
			}
			return err
		}, gone},
		"statement": {func(h *hall, r *room.Room, _ string) error {
			_, err := r.Update(h.rooms.Batch(), bob, room.Change{Permission: &auth.Say{Layer: auth.Live, Allow: auth.SendCamera, Deny: auth.SendPresence}})
			return err
		}, func(h *hall, to string) bool { return true }},
		"delete": {func(h *hall, _ *room.Room, from string) error {
			b := h.rooms.Batch()
			err := h.rooms.DeleteLiveblocks(b, "test", from)
			if errors.Is(err, room.ErrNotFound) {
				err = h.rooms.DeleteLiveblocks(b, "test", "to"+from[len("from"):])
			}
			b.Flush()
			return err
		}, gone},
	} {
		t.Run(name, func(t *testing.T) {
			room.BeforeLock(t, runtime.Gosched)
			h := start(t, room.Config{Refresh: new(tokens).sign})
			took, day := 0, time.Now().Add(-24*time.Hour)
			for i := range rounds(150) {
				from, to := fmt.Sprint("from", i), fmt.Sprint("to", i)
				h.create(from, access(writer...))
				g := at(day.Add(time.Duration(i)*time.Second), idToken("bob"))
				last = g.Issued
				h.visits(from, idToken("keeper"))
				var mu sync.Mutex
				members := []*member{h.visits(from, g)}
				r := h.lookup(from)
				var done atomic.Bool // it has returned
				var over atomic.Bool
				var wg sync.WaitGroup
				for k := range 2 {
					wg.Go(func() {
						for n := k; !over.Load(); n++ {
							late := done.Load()
							m, err := h.visit([]string{to, from}[n%2], g)
							if err != nil {
								continue
							}
							mu.Lock()
							members = append(members, m)
							mu.Unlock()
							if late && !c.may(h.hall, to) {
								t.Errorf("round %d: bob came in afterwards", i)
							}
							if n > 40 {
								runtime.Gosched()
							}
						}
					})
				}
				renamed := make(chan error, 1)
				go func() {
					_, err := h.rename(from, to)
					renamed <- err
				}()
				err := c.do(h.hall, r, from)
				if err == nil {
					took++
					mu.Lock()
					for n, m := range members {
						if m.acts() {
							t.Errorf("round %d: connection %d of %d still acts", i, n, len(members))
						}
					}
					mu.Unlock()
					done.Store(true)
				} else if !room.IsNotFound(err) {
					t.Errorf("round %d: %v", i, err)
				}
				if err := <-renamed; err != nil && !errors.Is(err, room.ErrNotFound) {
					t.Errorf("round %d: renaming: %v", i, err)
				}
				over.Store(true)
				wg.Wait()
				for _, m := range members {
					if _, err := m.p.Room().Participant(room.Target{SID: m.p.SID}); err != nil {
						continue // its connection may still be told
					}
					if err == nil && !c.may(h.hall, to) || err == nil && m.acts() {
						t.Errorf("round %d: bob is still there", i)
					}
					if lives, ok := h.rooms.Lookup("test", to); !ok || lives != m.p.Room() {
						t.Errorf("round %d: bob is in a life that nobody finds", i)
					}
				}
				if _, lives := h.rooms.Lookup("test", from); lives {
					t.Errorf("round %d: there is a life of the old name", i)
				}
				if t.Failed() {
					return
				}
			}
			if took == 0 {
				t.Error("it never came in time")
			}
		})
	}
}

// Rooms that exchange their names all the time end with all parts and nobody lost.
func TestRenamesInCircles(t *testing.T) {
	room.BeforeLock(t, runtime.Gosched)
	s := store.NewMemory()
	cfg := room.Config{Store: s}
	h := start(t, cfg)
	names := []string{"a", "b", "c", "d", "e"}
	made := map[time.Time]bool{}
	for _, name := range names[:3] {
		made[h.create(name, access(writer...)).Created] = true
	}
	var wg sync.WaitGroup
	for k := range 3 {
		wg.Go(func() {
			for n := range rounds(300) {
				from, to := names[(n+k)%5], names[(n*(k+2)+1)%5]
				var invalid *room.InvalidError
				if _, err := h.rename(from, to); err != nil && !errors.Is(err, room.ErrNotFound) && !errors.Is(err, room.ErrExists) && !errors.As(err, &invalid) {
					t.Error(err)
				}
				if m, err := h.visit(to, idToken(fmt.Sprint("p", k))); err == nil && n%3 == 0 {
					_ = m.p.Leave(m.call(0))
				}
			}
		})
	}
	wg.Wait()
	for _, h := range []*run{h, start(t, cfg)} {
		found := 0
		for _, name := range names {
			if r, err := h.rooms.Liveblocks("test", name); err == nil {
				found++
				if r.Name != name || !made[r.Created.UTC()] {
					t.Errorf("%s is %+v", name, r)
				}
			} else if _, lives := h.rooms.Lookup("test", name); lives {
				t.Errorf("%s lives without a part", name)
			}
		}
		list, _, err := h.rooms.ListLiveblocks("test", room.LiveblocksQuery{Limit: 10})
		if found != 3 || len(list) != 3 || err != nil {
			t.Errorf("%d rooms by name, %d listed, %v", found, len(list), err)
		}
	}
}

// A rename that the store could not take is in force, and what was promised before
// holds whatever the next start finds: the old name, or the new one once anything
// else of the room was written.
func TestRenameOnAFailingStore(t *testing.T) {
	for name, then := range map[string]func(h *run) error{
		"a kill": func(*run) error { return nil },
		"an edit": func(h *run) error {
			_, err := h.rooms.UpdateLiveblocks(h.rooms.Batch(), "test", "new", room.LiveblocksChange{Metadata: map[string]*room.Metadatum{"k": text("v")}})
			return err
		},
		"a sweep": func(h *run) error {
			h.rooms.Sweep(h.rooms.Batch())
			return nil
		},
		"another rename": func(h *run) error {
			_, err := h.rename("new", "newer")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlowStore(t)
			var broken atomic.Bool
			s.fails = broken.Load
			cfg := room.Config{Store: s}
			h := start(t, cfg)
			h.create("old", access(writer...))
			g := at(time.Now(), idToken("bob"))
			h.visits("old", g)
			must(t, h.rooms.Remove(h.rooms.Batch(), "test", "old", room.Target{Identity: "bob"}, room.Removal{}))
			broken.Store(true)
			if _, err := h.rename("old", "new"); !errors.Is(err, room.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			if _, err := h.visit("new", g); !errors.Is(err, room.ErrRevoked) {
				t.Errorf("bob in the new one: %v", err)
			}
			broken.Store(false)
			must(t, then(h))
			must(t, s.Commit().Wait())

			h = start(t, cfg)
			found := 0
			for _, name := range []string{"old", "new", "newer"} {
				if _, err := h.rooms.Liveblocks("test", name); err != nil {
					continue
				}
				found++
				if _, err := h.visit(name, g); !errors.Is(err, room.ErrRevoked) {
					t.Errorf("bob in %s: %v", name, err)
				}
				if name != "old" {
					if _, err := h.visit("old", accessTokenAt(t, time.Now().Add(-time.Minute))); !errors.Is(err, room.ErrNotFound) {
						t.Errorf("the old name is made again: %v", err)
					}
				}
			}
			if found != 1 {
				t.Errorf("%d rooms", found)
			}
		})
	}
}

// A tapedStore remembers what was committed, in its order.
type tapedStore struct {
	store.Store
	mu   sync.Mutex
	tape [][]store.Change
}

func (s *tapedStore) Commit(changes ...store.Change) *store.Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tape = append(s.tape, changes)
	return s.Store.Commit(changes...)
}

// A kill at any moment leaves the room with one name, and bob out of it.
func TestKilledWhileRenaming(t *testing.T) {
	s := &tapedStore{Store: store.NewMemory()}
	h := start(t, room.Config{Store: s})
	h.create("new", access(writer...))
	h.edit("new", byUser("eve", "room:read"))
	must(t, h.rooms.DeleteLiveblocks(h.rooms.Batch(), "test", "new"))
	h.create("old", access(writer...))
	if _, err := h.rooms.Create("test", "old", auth.RoomConfig{Metadata: "m"}); err != nil {
		t.Fatal(err)
	}
	g := at(time.Now(), idToken("bob"))
	h.visits("old", g)
	must(t, h.rooms.Remove(h.rooms.Batch(), "test", "old", room.Target{Identity: "bob"}, room.Removal{}))
	before := len(s.tape)
	for _, names := range [][2]string{{"old", "new"}, {"new", "newer"}, {"newer", "old"}} {
		if _, err := h.rename(names[0], names[1]); err != nil {
			t.Fatal(err)
		}
		h.visits(names[1], idToken("ada"))
		h.edit(names[1], byUser("ada", "room:read"))
	}
	h.stop()
	for n := before; n <= len(s.tape); n++ {
		kept := store.NewMemory()
		for _, changes := range s.tape[:n] {
			must(t, kept.Commit(changes...).Wait())
		}
		again := start(t, room.Config{Store: kept})
		found := 0
		for _, name := range []string{"old", "new", "newer"} {
			if _, err := again.rooms.Liveblocks("test", name); err != nil {
				continue
			}
			found++
			if _, err := again.visit(name, g); !errors.Is(err, room.ErrRevoked) {
				t.Errorf("after %d of %d writes: bob in %s: %v", n, len(s.tape), name, err)
			}
			if list := again.rooms.List("test", nil); len(list) != 1 || list[0].Name != name || list[0].Metadata != "m" {
				t.Errorf("after %d writes: LiveKit lists %+v, want %s", n, list, name)
			}
		}
		if found != 1 {
			t.Errorf("after %d writes there are %d rooms", n, found)
		}
		again.stop()
	}
}

// What was allowed in another room, which had the new name before, is not allowed
// in this one; what was denied is denied.
func TestRenamesDoNotWiden(t *testing.T) {
	cfg := room.Config{Store: store.NewMemory(), AutoCreate: true}
	h := start(t, cfg)
	past := issued(time.Now().Add(-time.Minute))
	for _, identity := range []string{"ada", "eve"} {
		m := h.join(identity, past, toRoom("new"), without(auth.SendData))
		for _, ch := range []room.Change{allow(auth.SendData), deny(auth.SendCamera)} {
			if _, err := h.lookup("new").Update(m.batch, room.Target{Identity: identity}, ch); err != nil {
				t.Fatal(err)
			}
		}
	}
	must(t, h.rooms.Delete(h.rooms.Batch(), "test", "new"))
	h.create("old", access(writer...))
	m := h.join("ada", past, toRoom("old"))
	if _, err := h.lookup("old").Update(m.batch, room.Target{Identity: "ada"}, deny(auth.SendMicrophone)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.rename("old", "new"); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*run{h, start(t, cfg)} {
		for _, identity := range []string{"ada", "eve"} {
			p := last[*room.Snapshot](t, h.join(identity, past, toRoom("new"), without(auth.SendData))).Self.Permission
			if p.Allows(auth.SendData) || p.Allows(auth.SendCamera) || p.Allows(auth.SendMicrophone) == (identity == "ada") {
				t.Errorf("%s may %q", identity, p.Rights.Names())
			}
		}
	}
}

// The people of a public key come once: removing one leaves nothing to remember.
func TestRemovedStrangersLeaveNoRevocation(t *testing.T) {
	h := start(t, room.Config{})
	h.create("hall", access(writer...))
	stranger := liveblocks.PublicGrant(listFormat, "test", "pk_test")
	m := h.visits("hall", stranger)
	remove := func(identity string) error {
		return h.rooms.Remove(h.rooms.Batch(), "test", "hall", room.Target{Identity: identity}, room.Removal{})
	}
	must(t, remove(stranger.Identity))
	if cause := m.ended(); cause == nil || *cause != room.CauseRemoved {
		t.Errorf("ended with %v", cause)
	}
	h.visits("hall", idToken("ada"))
	if err := remove(stranger.Identity); !errors.Is(err, room.ErrNoParticipant) {
		t.Errorf("once more: %v", err)
	}
	left := liveblocks.PublicGrant(listFormat, "test", "pk_test")
	h.visits("hall", left).leave()
	if err := remove(left.Identity); !errors.Is(err, room.ErrNoParticipant) {
		t.Errorf("one who left: %v", err)
	}
	if list := h.rooms.Revocations("test", ""); len(list) != 0 {
		t.Errorf("kept: %+v", list)
	}
	// An identity of a token that looks the same may come again.
	named := at(time.Now(), grant(auth.AnonymousPrefix+"x"))
	h.visits("hall", named)
	must(t, remove(named.Identity))
	if _, err := h.visit("hall", named); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("a token's came back: %v", err)
	}
}
