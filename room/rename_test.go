package room_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

func (h *hall) rename(from, to string) (room.LiveblocksRoom, error) {
	b := h.rooms.Batch()
	defer b.Flush()
	return h.rooms.RenameLiveblocks(b, "test", from, to)
}

// A room that is given another name takes along what was stated about people and
// both APIs' parts; its life ends, and tokens of before do not make the old name
// again. All of that holds after a kill.
func TestRename(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill=", kill), func(t *testing.T) {
			stores(t, func(t *testing.T, s store.Store) {
				cfg := room.Config{Store: s, AutoCreate: true}
				h := start(t, cfg)
				made := h.create("old", access(writer...))
				if _, err := h.rooms.Create("test", "old", auth.RoomConfig{Metadata: "m"}); err != nil {
					t.Fatal(err)
				}
				past := issued(time.Now().Add(-time.Minute))
				before := func(name string) func(*auth.Grant) {
					return func(g *auth.Grant) { past(g); g.Room = name }
				}
				after := func(g *auth.Grant) { issued(time.Now().Add(time.Hour))(g); g.Room = "old" }
				ada := h.join("ada", before("old"))
				if _, err := h.lookup("old").Update(ada.batch, room.Target{Identity: "ada"}, deny(auth.SendData)); err != nil {
					t.Fatal(err)
				}
				page := h.visits("old", idToken("page"))
				if _, err := h.rename("old", "new"); err != nil {
					t.Fatal(err)
				}
				for _, m := range []*member{ada, page} {
					if cause := m.ended(); cause == nil || *cause != room.CauseRenamed || m.detail() != "new" {
						t.Errorf("%s was told %v, %q", m.p.Identity, cause, m.detail())
					}
				}
				if !kill {
					h.stop()
				}
				for _, h := range []*run{h, start(t, cfg)} {
					if kill || h.rooms != nil {
						if _, err := h.rooms.Liveblocks("test", "old"); !errors.Is(err, room.ErrNotFound) {
							t.Errorf("the old name: %v", err)
						}
					}
					got, err := h.rooms.Liveblocks("test", "new")
					if err != nil || got.Name != "new" || !got.Created.Equal(made.Created) {
						t.Errorf("the new name: %+v, %v", got, err)
					}
					if list := h.rooms.List("test", nil); kill && (len(list) != 1 || list[0].Name != "new" || list[0].Metadata != "m") {
						t.Errorf("LiveKit lists %+v", list)
					}
				}
				h = start(t, cfg)
				for name, g := range map[string]*auth.Grant{"LiveKit's": grant("x", before("old")), "access": accessTokenAt(t, time.Now().Add(-time.Minute)), "ID": idToken("x")} {
					if _, err := h.visit("old", g); !errors.Is(err, room.ErrNotFound) {
						t.Errorf("a join by %s token makes the old name: %v", name, err)
					}
				}
				m, err := h.enter(grant("ada", before("new")))
				m.batch.Flush()
				if err != nil || last[*room.Snapshot](t, m).Self.Permission.Allows(auth.SendData) {
					t.Errorf("what was stated about ada did not come along: %v", err)
				}
				if _, err := h.enter(grant("late", after)); err != nil {
					t.Errorf("a later token does not make the old name: %v", err)
				}
				h.create("old", access(writer...))
				if _, err := h.visit("old", grant("x", before("old"))); err != nil {
					t.Errorf("the API has made it again: %v", err)
				}
				if _, err := h.rename("new", "old"); !errors.Is(err, room.ErrExists) {
					t.Errorf("renamed to a room that there is: %v", err)
				}
				if _, err := h.rename("nowhere", "elsewhere"); !errors.Is(err, room.ErrNotFound) {
					t.Errorf("renamed nothing: %v", err)
				}
			})
		})
	}
}

func accessTokenAt(t *testing.T, at time.Time) *auth.Grant {
	g := accessToken(t, "old-token", `{"*":["*:write"]}`)
	g.Issued = at
	return g
}

// detail is what the farewell had to say besides the cause.
func (m *member) detail() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said
}

// What was stated under the new name, in a room that has ended, is not forgotten.
func TestRenameToANameWithStatements(t *testing.T) {
	s := store.NewMemory()
	cfg := room.Config{Store: s, AutoCreate: true}
	h := start(t, cfg)
	past := issued(time.Now().Add(-time.Minute))
	in := func(name string) []func(*auth.Grant) {
		return []func(*auth.Grant){past, func(g *auth.Grant) { g.Room = name }}
	}
	for name, right := range map[string]auth.Rights{"new": auth.SendData, "old": auth.SendCamera} {
		m := h.join("ada", in(name)...)
		if _, err := h.lookup(name).Update(m.batch, room.Target{Identity: "ada"}, deny(right)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.rooms.Delete(h.rooms.Batch(), "test", "new"); err != nil {
		t.Fatal(err)
	}
	h.create("old", access(writer...))
	if _, err := h.rename("old", "new"); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*run{h, start(t, cfg)} {
		m := h.join("ada", in("new")...)
		p := last[*room.Snapshot](t, m).Self.Permission
		if p.Allows(auth.SendData) || p.Allows(auth.SendCamera) {
			t.Errorf("may %q", p.Rights.Names())
		}
		m.leave()
	}
}

// A join that races a rename is in the room by its new name's leave, or out: when
// the rename has been answered nobody is in a room of the old name.
func TestRenamesRaceJoins(t *testing.T) {
	room.BeforeLock(t, runtime.Gosched)
	h := start(t, room.Config{AutoCreate: true})
	for i := range rounds(200) {
		from, to := fmt.Sprint("from", i), fmt.Sprint("to", i)
		h.create(from, access(writer...))
		old := accessTokenAt(t, time.Now().Add(-time.Minute))
		var wg sync.WaitGroup
		members := make([]*member, 6)
		for k := range members {
			wg.Go(func() {
				g := at(old.Issued, idToken(fmt.Sprint("p", k))) // a later one may try to make it
				if k%2 == 0 {
					g = old
				}
				if m, err := h.visit(from, g); err == nil {
					members[k] = m
				} else if !errors.Is(err, room.ErrNotFound) && !errors.Is(err, room.ErrNotAllowed) {
					t.Errorf("round %d: %v", i, err)
				}
			})
		}
		if _, err := h.rename(from, to); err != nil {
			t.Fatal(err)
		}
		if _, lives := h.rooms.Lookup("test", from); lives {
			t.Fatalf("round %d: there is a life of the old name", i)
		}
		wg.Wait()
		if _, lives := h.rooms.Lookup("test", from); lives {
			t.Fatalf("round %d: somebody has made the old name again", i)
		}
		for _, m := range members {
			if m == nil {
				continue
			}
			if cause := m.ended(); cause == nil || *cause != room.CauseRenamed {
				t.Fatalf("round %d: %s is still somewhere: %v", i, m.p.Identity, cause)
			}
		}
		if _, err := h.rooms.Liveblocks("test", to); err != nil {
			t.Fatal(err)
		}
	}
}

// Marks at old names are forgotten when no token is old enough for them.
func TestRenamedNamesAreForgotten(t *testing.T) {
	s := store.NewMemory()
	h := start(t, room.Config{Store: s, AutoCreate: true, TokenLife: time.Nanosecond, RefreshLife: time.Nanosecond})
	h.create("old", access(writer...))
	if _, err := h.rename("old", "new"); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		if err := store.LoadRooms(s, func(*store.Room) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	want(t, "records", count(), 2)
	room.Purge(h.rooms, time.Now().Add(time.Hour))
	want(t, "records afterwards", count(), 1)
}
