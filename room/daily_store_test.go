package room_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

// Deleting a room puts everybody out and revokes the tokens that name it and were
// issued until then: of every kind, also when the room is made again and after a
// start. Those that open other rooms as well are good for the next one. §1.9, §2.2
func TestDeletionRevokesTokensThatNameTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := store.NewMemory()
		h := start(t, room.Config{Store: kept, AutoCreate: true})
		h.open("x", room.DailySettings{})
		h.open("y", room.DailySettings{})
		first := time.Now()
		named := dailyToken("named", issued(first), forRoom("x"))
		roaming := dailyToken("roaming", issued(first))
		early := dailyToken("early", issued(first.Add(30*time.Second))) // it names no room
		// It was refreshed in the room, so it names it; the application's did not.
		again := dailyToken("roaming", refreshed(first, first.Add(time.Minute), "PA_1"), func(g *auth.Grant) { g.Room = "x" })
		descends := dailyToken("named", refreshed(first, first.Add(time.Hour), "PA_2"), forRoom("x"))
		future := dailyToken("future", issued(first.Add(30*time.Second)), forRoom("x")) // clocks differ
		timeless := dailyToken("timeless", issued(time.Unix(0, 0)), forRoom("x"))
		livekit := grant("livekit", issued(first), toRoom("x"))
		everyone := []*auth.Grant{named, roaming, again, descends, future, timeless, early, livekit, anyone("n")}
		if !h.rooms.RevokedUntil("test", "x").IsZero() {
			t.Error("revoked before it is deleted")
		}
		var members []*member
		for _, g := range everyone {
			members = append(members, h.visits("x", g))
		}
		neighbour := h.visits("y", dailyToken("neighbour", issued(first), forRoom("y")))
		h.shut("x")
		for _, m := range members {
			if cause := m.ended(); cause == nil || *cause != room.CauseRoomDeleted {
				t.Errorf("%s: %v", m.p.Identity, cause)
			}
		}
		if neighbour.ended() != nil {
			t.Error("somebody in another room is out")
		}
		if _, lives := h.rooms.Lookup("test", "x"); lives {
			t.Error("its life goes on")
		}
		until := h.rooms.RevokedUntil("test", "x")
		if until.Unix() != time.Now().Unix() {
			t.Errorf("revoked until %v, it is %v", until, time.Now())
		}
		for _, g := range everyone[:7] {
			if err := h.turnedAway("x", g); err == nil {
				t.Errorf("%s makes the room", g.Identity)
			}
		}
		h.open("x", room.DailySettings{})
		check := func(when string) {
			t.Helper()
			for _, g := range []*auth.Grant{named, descends, future, timeless, livekit} {
				if err := h.turnedAway("x", g); !errors.Is(err, room.ErrRevoked) {
					t.Errorf("%s: %s: %v", when, g.Identity, err)
				}
			}
			for _, g := range []*auth.Grant{roaming, again, early, anyone("n"), dailyToken("new", issued(until.Add(time.Second)), forRoom("x"))} {
				if err := h.turnedAway("x", g); err != nil {
					t.Errorf("%s: %s: %v", when, g.Identity, err)
				}
			}
			if !h.rooms.Revoked(named) || h.rooms.Revoked(again) {
				t.Errorf("%s: a server API is told otherwise", when)
			}
		}
		check("made again")
		h = start(t, room.Config{Store: kept, AutoCreate: true})
		check("after a start")

		// A token that was made for it in that second says the next one; so is it
		// revoked by another deletion in the same second.
		next := dailyToken("next", issued(until.Add(time.Second)), forRoom("x"))
		h.shut("x")
		h.open("x", room.DailySettings{})
		if err := h.turnedAway("x", next); !errors.Is(err, room.ErrRevoked) {
			t.Errorf("deleted twice in a second: %v", err)
		}

		// However often that is, tokens for the room can be signed again soon.
		for range 100 {
			h.shut("x")
			h.open("x", room.DailySettings{})
		}
		if ahead := time.Until(h.rooms.RevokedUntil("test", "x")); ahead > 50*time.Second || ahead < 40*time.Second {
			t.Errorf("deleted a hundred times, nothing is signed for %v", ahead)
		}
		list := h.rooms.Revocations("test", "x")
		if len(list) != 1 || !list[0].Naming || list[0].Reason == "" {
			t.Fatalf("revocations: %+v", list)
		}
		if _, err := h.rooms.Lift("test", list[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := h.turnedAway("x", named); err != nil {
			t.Errorf("lifted: %v", err)
		}
	})
}

// What other APIs have made of a room stays when Daily's part of it is deleted; its
// life ends, and LiveKit's begins another.
func TestDeletionLeavesOtherParts(t *testing.T) {
	h := start(t, room.Config{})
	made, err := h.rooms.Create("test", "x", auth.RoomConfig{Metadata: "m"})
	if err != nil {
		t.Fatal(err)
	}
	h.create("x", access(writer...))
	h.open("x", room.DailySettings{})
	m := h.visits("x", idToken("id"))
	h.shut("x")
	if cause := m.ended(); cause == nil || *cause != room.CauseRoomDeleted {
		t.Errorf("put out with %v", cause)
	}
	if s := h.lookup("x").Summary(); s.ID == made.ID || s.Metadata != "m" || s.Daily {
		t.Errorf("its life is %+v", s)
	}
	if err := h.turnedAway("x", idToken("id")); err != nil {
		t.Errorf("Liveblocks' part: %v", err)
	}
	if err := h.turnedAway("x", anyone("n")); !errors.Is(err, room.ErrNotAllowed) {
		t.Errorf("without a token: %v", err)
	}
	// And the other way round.
	h.open("x", room.DailySettings{})
	b := h.rooms.Batch()
	if err := errors.Join(h.rooms.DeleteLiveblocks(b, "test", "x"), h.rooms.Delete(b, "test", "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.rooms.Daily("test", "x"); err != nil {
		t.Errorf("Daily's part is gone with the others: %v", err)
	}
}

// A revocation of the tokens that name a room is made, kept and lifted like any
// other; a rename takes it along. It is of a room and of nobody.
func TestRevokingWhatNamesARoom(t *testing.T) {
	kept := store.NewMemory()
	h := start(t, room.Config{Store: kept})
	b := h.rooms.Batch()
	h.create("x", access(writer...))
	h.open("x", room.DailySettings{})
	named := h.visits("x", dailyToken("named", forRoom("x")))
	roaming := h.visits("x", dailyToken("roaming"))
	var invalid *room.InvalidError
	for _, rv := range []room.Revocation{{Naming: true, Identity: "a"}, {Naming: true, Room: "x", Identity: "a"}, {Naming: true, TokenID: "t"}} {
		rv.Project = "test"
		if _, err := h.rooms.Revoke(b, rv); !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", rv, err)
		}
	}
	made, err := h.rooms.Revoke(b, room.Revocation{Project: "test", Room: "x", Naming: true, Until: time.Now()})
	if err != nil || !made.Naming {
		t.Fatal(made, err)
	}
	if cause := named.ended(); cause == nil || *cause != room.CauseRevoked || roaming.ended() != nil {
		t.Errorf("put out: %v, %v", cause, roaming.ended())
	}
	whole, err := h.rooms.Revoke(b, room.Revocation{Project: "test", Room: "x", Until: time.Now()})
	if err != nil || whole.ID == made.ID {
		t.Fatal("one of all tokens is the same as of those that name the room", err)
	}
	if roaming.ended() == nil {
		t.Error("one of all tokens leaves somebody in")
	}
	if _, err := h.rooms.Lift("test", whole.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.rooms.RenameLiveblocks(b, "test", "x", "y"); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*run{h, start(t, room.Config{Store: kept})} {
		if err := h.turnedAway("y", dailyToken("named", forRoom("y"))); !errors.Is(err, room.ErrRevoked) {
			t.Errorf("by its new name: %v", err)
		}
		if err := h.turnedAway("y", dailyToken("roaming")); err != nil {
			t.Errorf("another: %v", err)
		}
		if got := h.rooms.RevokedUntil("test", "y"); got.IsZero() {
			t.Error("no second to sign after")
		}
	}
}

// A creation that cannot be written is none; a deletion that cannot be written leaves
// the room, and what it has taken away stays taken until it is tried again.
func TestDailyWhenTheStoreFails(t *testing.T) {
	s := newSlowStore(t)
	h := start(t, room.Config{Store: s})
	b := h.rooms.Batch()
	fail := func(f func() error) {
		t.Helper()
		s.mu.Lock()
		n := 0
		s.fails = func() bool { n++; return n == 1 } // what mends it succeeds
		s.mu.Unlock()
		if err := f(); !errors.Is(err, room.ErrUnavailable) {
			t.Fatalf("with a broken disk: %v", err)
		}
		s.mu.Lock()
		s.fails = nil
		s.mu.Unlock()
	}
	names := []string{"a", "b"}
	fail(func() error {
		_, _, err := h.rooms.CreateDaily(b, "test", names, make([]room.DailySettings, 2))
		return err
	})
	nothing := func(h *run) {
		t.Helper()
		for _, name := range names {
			if _, err := h.rooms.Daily("test", name); !errors.Is(err, room.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	nothing(h)
	nothing(start(t, room.Config{Store: s}))
	if _, _, err := h.rooms.CreateDaily(b, "test", names, make([]room.DailySettings, 2)); err != nil {
		t.Fatal(err)
	}
	named := dailyToken("ada", forRoom("a"))
	ada := h.visits("a", named)
	fail(func() error {
		_, err := h.rooms.DeleteDaily(b, "test", names...)
		return err
	})
	if ada.ended() == nil {
		t.Error("somebody stays in a room that is being deleted")
	}
	for _, g := range []*auth.Grant{named, dailyToken("bob"), anyone("n")} {
		if err := h.turnedAway("a", g); err == nil {
			t.Errorf("%s comes in again", g.Identity)
		}
	}
	for _, h := range []*run{h, start(t, room.Config{Store: s})} {
		for _, name := range names {
			if _, err := h.rooms.Daily("test", name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	h.shut(names...)
	h = start(t, room.Config{Store: s})
	nothing(h)
	h.open("a", room.DailySettings{})
	if err := h.turnedAway("a", named); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("after the start: %v", err)
	}
}

// Whoever is answered is in the store: nothing is answered before it is written, and
// nobody is inside, or comes in, from before a deletion is written.
func TestDailyIsWrittenBeforeItIsAnswered(t *testing.T) {
	s := newSlowStore(t)
	h := start(t, room.Config{Store: s})
	b := h.rooms.Batch()
	step := func(what string, call func() error, meanwhile func()) {
		t.Helper()
		s.hold(true)
		done := make(chan error, 1)
		go func() { done <- call() }()
		<-s.began
		select {
		case err := <-done:
			t.Fatalf("%s is answered with %v before it is written", what, err)
		default:
		}
		meanwhile()
		s.hold(false)
		s.settle(nil)
		if err := <-done; err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	step("a creation", func() error {
		_, _, err := h.rooms.CreateDaily(b, "test", []string{"a", "b"}, make([]room.DailySettings, 2))
		return err
	}, func() {
		if _, err := h.rooms.Daily("test", "a"); !errors.Is(err, room.ErrNotFound) {
			t.Errorf("it is there: %v", err)
		}
		for _, g := range []*auth.Grant{anyone("n"), dailyToken("ada")} {
			if err := h.turnedAway("a", g); err == nil {
				t.Errorf("%s is in already", g.Identity)
			}
		}
	})
	ada := h.visits("a", dailyToken("ada", forRoom("a")))
	step("a deletion", func() error {
		_, err := h.rooms.DeleteDaily(h.rooms.Batch(), "test", "a", "b")
		return err
	}, func() {
		if ada.ended() == nil {
			t.Error("somebody is in still")
		}
		for _, g := range []*auth.Grant{anyone("n"), dailyToken("ada"), dailyToken("ada", forRoom("a"))} {
			if err := h.turnedAway("a", g); err == nil {
				t.Errorf("%s comes in", g.Identity)
			}
		}
	})
}

// A recorder is a store that remembers its commits.
type recorder struct {
	store.Store
	mu      sync.Mutex
	commits [][]store.Change
}

func (r *recorder) Commit(changes ...store.Change) *store.Ticket {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits = append(r.commits, changes)
	return r.Store.Commit(changes...)
}

// Whenever the process is killed the next start finds all of a batch or nothing, and
// a room that is gone with its revocation: whatever else is written of the rooms at
// the same time.
func TestDailyBatchesAreOneWrite(t *testing.T) {
	rec := &recorder{Store: store.NewMemory()}
	h := start(t, room.Config{Store: rec, AutoCreate: true})
	names := []string{"a", "b", "c"}
	for _, name := range names { // their records are written all the time
		h.joinAs(grant("keeper", toRoom(name)))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			b := h.rooms.Batch()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r, ok := h.rooms.Lookup("test", name)
				if !ok {
					_, _ = h.rooms.Create("test", name, auth.RoomConfig{})
					continue
				}
				_, _ = r.Update(b, room.Target{Identity: "keeper"}, []room.Change{allow(auth.SendCamera), deny(auth.SendCamera)}[i%2])
				_, _ = h.rooms.CreateLiveblocks(b, "test", name, room.LiveblocksRoom{Access: access(writer...)})
				_ = h.rooms.DeleteLiveblocks(b, "test", name)
			}
		})
	}
	for range rounds(30) {
		b := h.rooms.Batch()
		if _, _, err := h.rooms.CreateDaily(b, "test", names, make([]room.DailySettings, 3)); err != nil {
			t.Fatal(err)
		}
		h.shut(names...)
	}
	close(stop)
	wg.Wait()
	next := store.NewMemory()
	had, was := 0, 0
	for i, changes := range rec.commits {
		if err := next.Commit(changes...).Wait(); err != nil {
			t.Fatal(err)
		}
		there, revoked := 0, map[string]bool{}
		if err := errors.Join(store.LoadRooms(next, func(r *store.Room) error {
			if slices.Contains(names, r.Name) && r.Daily != nil {
				there++
			}
			return nil
		}), store.LoadRevocations(next, func(r *store.Revocation) error {
			if r.Naming {
				revoked[r.Room] = true
			}
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		if there != 0 && there != len(names) {
			t.Fatalf("after the %d. of %d commits %d of the rooms are there", i, len(rec.commits), there)
		}
		if slices.ContainsFunc(changes, func(c store.Change) bool { return c.Bucket == store.Revocations }) && (was == 0 || there > 0) {
			t.Fatalf("the %d. commit revokes, before and after it %d and %d rooms are there", i, was, there)
		}
		if had = max(had, there); was > 0 && there == 0 && len(revoked) != len(names) {
			t.Fatalf("after the %d. commit the rooms are gone and %v revoked", i, revoked)
		}
		was = there
	}
	if had == 0 {
		t.Error("nothing was tested")
	}
}

// Names and ids of what the store keeps of a Daily room, as old versions wrote
// nothing of it and this one reads it again.
func TestOldStoresLoad(t *testing.T) {
	s := store.NewMemory()
	for _, c := range []store.Change{
		{Bucket: store.RoomRecords, Key: "R_1", Value: []byte(`{"id":"R_1","project":"test","name":"old","liveblocks":{"organization":"default","created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z","access":{"default":["room:write"]},"revision":3}}`)},
		{Bucket: store.Statements, Key: "R_1/ada", Value: []byte(`{"room":"R_1","project":"test","name":"old","identity":"ada","statements":[{"at":"2026-01-01T00:00:00Z","life":"RM_1","deny":["sendCamera"],"receiveFromIdentity":{"bob":[]}}]}`)},
		{Bucket: store.Revocations, Key: "RV_1", Value: []byte(`{"id":"RV_1","project":"test","room":"old","identity":"eve","until":1893456000,"made":"2026-01-01T00:00:00Z"}`)},
	} {
		if err := s.Commit(c).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	h := start(t, room.Config{Store: s})
	if _, err := h.rooms.Liveblocks("test", "old"); err != nil {
		t.Error(err)
	}
	if err := h.turnedAway("old", idToken("eve")); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("what was revoked: %v", err)
	}
	_, layers, err := h.rooms.Explain("test", "old", room.Target{Identity: "ada"})
	if err != nil || len(layers) != 1 || layers[0].Deny == 0 || len(layers[0].ReceiveFromIdentity) != 1 {
		t.Errorf("what was stated: %+v, %v", layers, err)
	}
	h.open("old", room.DailySettings{})
	if _, _, err := h.rooms.CreateDaily(h.rooms.Batch(), "test", []string{"new"}, make([]room.DailySettings, 1)); err != nil {
		t.Error(err)
	}
}
