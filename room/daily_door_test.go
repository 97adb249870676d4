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

// Who comes in where, by which kind of token. Daily's people make no room; what
// Daily's API has made is entered by all who have a token; people without one come
// into public rooms that Daily's API has made, and no other. §2, §4
func TestWhoEntersDailyRooms(t *testing.T) {
	const (
		in      = ""
		missing = "missing"
		no      = "not allowed"
		org     = "another organization"
		waits   = "waits"
	)
	setting := map[string]func(h *run){
		"nothing": func(h *run) {},
		"livekit": func(h *run) {
			if _, err := h.rooms.Create("test", "x", auth.RoomConfig{}); err != nil {
				t.Fatal(err)
			}
		},
		"listed":  func(h *run) { h.create("x", access(writer...)) },
		"public":  func(h *run) { h.open("x", room.DailySettings{}) },
		"private": func(h *run) { h.open("x", room.DailySettings{Private: true}) },
		"knock":   func(h *run) { h.open("x", room.DailySettings{Private: true, Knocking: true}) },
		"listed, public": func(h *run) {
			h.create("x", access(writer...))
			h.open("x", room.DailySettings{})
		},
		"acme's, public": func(h *run) {
			_, err := h.rooms.CreateLiveblocks(h.rooms.Batch(), "test", "x", room.LiveblocksRoom{Organization: "acme", Access: access(writer...)})
			if err != nil {
				t.Fatal(err)
			}
			h.open("x", room.DailySettings{})
		},
		"acme's, knock": func(h *run) {
			_, err := h.rooms.CreateLiveblocks(h.rooms.Batch(), "test", "x", room.LiveblocksRoom{Organization: "acme", Access: access(writer...)})
			if err != nil {
				t.Fatal(err)
			}
			h.open("x", room.DailySettings{Private: true, Knocking: true})
		},
	}
	publicKey := func() *auth.Grant {
		return &auth.Grant{Format: listFormat, Project: "test", Identity: "anon:k", Organization: auth.DefaultOrganization, Join: true, CreateListed: true,
			Base: []auth.Say{{Layer: "publicKey", Allow: auth.WriteStorage}}}
	}
	who := map[string]func() *auth.Grant{
		"livekit":       func() *auth.Grant { return grant("p", toRoom("x")) },
		"id":            func() *auth.Grant { return idToken("p") },
		"access":        func() *auth.Grant { return accessToken(t, "p", `{"*":["*:write"]}`) },
		"public key":    publicKey,
		"daily":         func() *auth.Grant { return dailyToken("p") },
		"daily, named":  func() *auth.Grant { return dailyToken("p", forRoom("x")) },
		"daily, knocks": func() *auth.Grant { return dailyToken("p", knocking) },
		"owner, knocks": func() *auth.Grant { return dailyToken("p", knocking, owning) },
		"nobody":        func() *auth.Grant { return anyone("p") },
	}
	for name, want := range map[string]map[string]string{
		"nothing":        {"livekit": missing, "id": missing, "daily": missing, "daily, named": missing, "nobody": missing},
		"livekit":        {"livekit": in, "id": no, "access": in, "public key": no, "daily": in, "daily, named": in, "daily, knocks": in, "nobody": no},
		"listed":         {"livekit": in, "id": in, "access": in, "public key": in, "daily": in, "daily, named": in, "daily, knocks": in, "nobody": no},
		"public":         {"livekit": in, "id": no, "access": in, "public key": no, "daily": in, "daily, named": in, "daily, knocks": in, "nobody": in},
		"private":        {"livekit": in, "id": no, "access": in, "public key": no, "daily": in, "daily, named": in, "daily, knocks": in, "nobody": no},
		"knock":          {"livekit": in, "id": no, "access": in, "public key": no, "daily": in, "daily, named": in, "daily, knocks": waits, "owner, knocks": in, "nobody": waits},
		"listed, public": {"livekit": in, "id": in, "access": in, "public key": in, "daily": in, "daily, named": in, "nobody": in},
		"acme's, public": {"livekit": in, "id": org, "daily": org, "daily, named": in, "nobody": org},
		"acme's, knock":  {"daily, knocks": org, "nobody": org},
	} {
		for what, outcome := range want {
			t.Run(name+"/"+what, func(t *testing.T) {
				h := start(t, room.Config{})
				setting[name](h)
				m, err := h.visit("x", who[what]())
				got := in
				switch {
				case errors.Is(err, room.ErrNotFound):
					got = missing
				case errors.Is(err, room.ErrOrganization):
					got = org
				case errors.Is(err, room.ErrNotAllowed):
					got = no
				case err != nil:
					t.Fatal(err)
				case m.p.IsWaiting():
					got = waits
				}
				if got != outcome {
					t.Errorf("it is %q (%v), want %q", got, err, outcome)
				}
				// A join gives a room nothing that an API has made otherwise.
				_, listed := h.rooms.Liveblocks("test", "x")
				_, daily := h.rooms.Daily("test", "x")
				if (listed == nil) != (name[0] == 'a' || len(name) > 5 && name[:6] == "listed") || (daily == nil) != (name != "nothing" && name != "livekit" && name != "listed") {
					t.Errorf("afterwards its parts are %v and %v", listed, daily)
				}
			})
		}
	}
}

// Nobody comes in before a room's time or after it, to the second; who is inside
// stays. It does not concern other kinds of tokens. §1.7.8, §2.3
func TestTimesOfDailyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{})
		opens, closes := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		h.open("x", room.DailySettings{NotBefore: opens, Expires: closes, Knocking: true, Private: true})
		people := func() []*auth.Grant {
			return []*auth.Grant{dailyToken("a"), dailyToken("b", owning, forRoom("x")), dailyToken("c", knocking), anyone("d")}
		}
		check := func(want error) {
			t.Helper()
			for _, g := range people() {
				if err := h.turnedAway("x", g); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", g.Identity, err, want)
				}
			}
			for _, g := range []*auth.Grant{grant("livekit", toRoom("x")), accessToken(t, "access", `{"*":["*:write"]}`)} {
				if err := h.turnedAway("x", g); err != nil {
					t.Errorf("another kind of token: %v", err)
				}
			}
		}
		check(room.ErrRoomNotOpen)
		time.Sleep(time.Until(opens) - time.Nanosecond)
		check(room.ErrRoomNotOpen)
		time.Sleep(time.Nanosecond)
		check(nil)
		stays := h.visits("x", dailyToken("stays"))
		time.Sleep(time.Until(closes) - time.Nanosecond)
		check(nil)
		time.Sleep(time.Nanosecond)
		check(room.ErrRoomExpired)
		if stays.ended() != nil {
			t.Error("who was inside is put out")
		}
	})
}

// The lesser of both limits counts, for everybody. §2.3
func TestCapsOfDailyRooms(t *testing.T) {
	for name, c := range map[string]struct{ livekit, daily, want int }{
		"none":         {0, 0, 5},
		"Daily's":      {0, 2, 2},
		"LiveKit's":    {2, 0, 2},
		"Daily's less": {4, 3, 3},
		"more":         {3, 4, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, room.Config{})
			if _, err := h.rooms.Create("test", "x", auth.RoomConfig{MaxParticipants: c.livekit}); err != nil {
				t.Fatal(err)
			}
			h.open("x", room.DailySettings{MaxParticipants: c.daily})
			for i, g := range []*auth.Grant{dailyToken("a"), grant("b", toRoom("x")), anyone("c"), accessToken(t, "d", `{"*":["*:write"]}`), dailyToken("e", owning)} {
				_, err := h.visit("x", g)
				if (err == nil) != (i < c.want) || err != nil && !errors.Is(err, room.ErrFull) {
					t.Errorf("%s: %v", g.Identity, err)
				}
			}
			if got := h.lookup("x").Summary().NumParticipants; got != c.want {
				t.Errorf("%d are there, want %d", got, c.want)
			}
			h.set("x", func(s *room.DailySettings) { s.MaxParticipants = 1 })
			if got := h.lookup("x").Summary().NumParticipants; got != c.want {
				t.Errorf("an edit puts people out: %d are there", got)
			}
			if err := h.turnedAway("x", dailyToken("late")); !errors.Is(err, room.ErrFull) {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// While an edit of the door is on its way the stricter of both counts, and when the
// store could not take it that stays so until a later one is durable.
func TestTheStricterDoorCounts(t *testing.T) {
	shut := func(s *room.DailySettings) { s.Private = true }
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		was    room.DailySettings
		change func(*room.DailySettings)
		g      func() *auth.Grant
		// What the newcomer is told while it is on its way, and after it.
		during, after error
		fails         bool
	}{
		"narrowing":            {room.DailySettings{}, shut, func() *auth.Grant { return anyone("a") }, room.ErrNotAllowed, room.ErrNotAllowed, false},
		"narrowing that fails": {room.DailySettings{}, shut, func() *auth.Grant { return anyone("a") }, room.ErrNotAllowed, room.ErrNotAllowed, true},
		"widening": {room.DailySettings{Private: true}, func(s *room.DailySettings) { s.Private = false },
			func() *auth.Grant { return anyone("a") }, room.ErrNotAllowed, nil, false},
		"widening that fails": {room.DailySettings{Private: true}, func(s *room.DailySettings) { s.Private = false },
			func() *auth.Grant { return anyone("a") }, room.ErrNotAllowed, room.ErrNotAllowed, true},
		"earlier": {room.DailySettings{NotBefore: future}, func(s *room.DailySettings) { s.NotBefore = past },
			func() *auth.Grant { return dailyToken("a") }, room.ErrRoomNotOpen, nil, false},
		"later": {room.DailySettings{}, func(s *room.DailySettings) { s.NotBefore = future },
			func() *auth.Grant { return dailyToken("a") }, room.ErrRoomNotOpen, room.ErrRoomNotOpen, false},
		"over": {room.DailySettings{}, func(s *room.DailySettings) { s.Expires = past },
			func() *auth.Grant { return dailyToken("a", owning) }, room.ErrRoomExpired, room.ErrRoomExpired, false},
		"fewer": {room.DailySettings{}, func(s *room.DailySettings) { s.MaxParticipants = 1 },
			func() *auth.Grant { return dailyToken("a") }, room.ErrFull, room.ErrFull, false},
		"more": {room.DailySettings{MaxParticipants: 1}, func(s *room.DailySettings) { s.MaxParticipants = 2 },
			func() *auth.Grant { return dailyToken("a") }, room.ErrFull, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlowStore(t)
			h := start(t, room.Config{Store: s})
			h.open("x", c.was)
			h.joinAs(grant("keeper", toRoom("x")))
			s.hold(true)
			done := make(chan error, 1)
			go func() {
				_, err := h.setting("x", c.change)
				done <- err
			}()
			<-s.began
			if err := h.turnedAway("x", c.g()); !errors.Is(err, c.during) {
				t.Errorf("on its way: %v, want %v", err, c.during)
			}
			s.hold(false)
			if c.fails {
				s.settle(errDisk)
			} else {
				s.settle(nil)
			}
			if err := <-done; errors.Is(err, room.ErrUnavailable) != c.fails || (err != nil) != c.fails {
				t.Fatal(err)
			}
			if err := h.turnedAway("x", c.g()); !errors.Is(err, c.after) {
				t.Errorf("afterwards: %v, want %v", err, c.after)
			}
			if !c.fails {
				return
			}
			if d, err := h.rooms.Daily("test", "x"); err != nil || d.Settings.Private != c.was.Private {
				t.Errorf("the part is %+v, %v; want the one before", d, err)
			}
			h.set("x", func(s *room.DailySettings) { s.Private = false })
			if err := h.turnedAway("x", c.g()); err != nil {
				t.Errorf("when a later edit is durable: %v", err)
			}
		})
	}
}

// A Daily part goes along when a room is renamed, to names that Daily has.
func TestRenamingDailyRooms(t *testing.T) {
	kept := store.NewMemory()
	h := start(t, room.Config{Store: kept})
	b := h.rooms.Batch()
	h.create("a", access(writer...))
	made := h.open("a", room.DailySettings{Private: true})
	h.create("doc:1", access(writer...))
	var invalid *room.InvalidError
	if _, err := h.rooms.RenameLiveblocks(b, "test", "a", "b:c"); !errors.As(err, &invalid) {
		t.Errorf("to a name that Daily does not have: %v", err)
	}
	if _, err := h.rooms.RenameLiveblocks(b, "test", "doc:1", "doc:2"); err != nil {
		t.Errorf("without a Daily part: %v", err)
	}
	if _, err := h.rooms.RenameLiveblocks(b, "test", "a", "b"); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*run{h, start(t, room.Config{Store: kept})} {
		if d, err := h.rooms.Daily("test", "b"); err != nil || d.ID != made.ID || d.Name != "b" {
			t.Errorf("it is %+v, %v", d, err)
		}
		if _, err := h.rooms.Daily("test", "a"); !errors.Is(err, room.ErrNotFound) {
			t.Errorf("by its old name: %v", err)
		}
		if rooms, total, _ := h.rooms.ListDaily("test", room.DailyQuery{}); total != 1 || len(rooms) != 1 || rooms[0].Name != "b" {
			t.Errorf("listed: %+v, %d", rooms, total)
		}
	}
	h.shut("b")
	if _, err := h.rooms.Liveblocks("test", "b"); err != nil {
		t.Errorf("Liveblocks' part: %v", err)
	}
	// What is a name for Daily alone is taken for Liveblocks.
	h.open("taken", room.DailySettings{})
	if _, err := h.rooms.RenameLiveblocks(b, "test", "b", "taken"); !errors.Is(err, room.ErrExists) {
		t.Errorf("to a name that is taken: %v", err)
	}
}
