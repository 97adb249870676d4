package room_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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

// A meetingFormat stands in for Daily's tokens: what people may do comes from the
// project, the room and the token, each stronger than the one before, and owners are
// above them.
type meetingFormat struct {
	auth.Format // of which nothing else is used

	mu     sync.Mutex // guards the following field
	domain auth.Say
}

func newMeetingFormat() *meetingFormat {
	return &meetingFormat{domain: auth.Say{Layer: "domain", Allow: auth.SendTracks | auth.ReceiveTracks | auth.SendData | auth.SendPresence | auth.UpdateOwnMetadata}}
}

var meetings = newMeetingFormat()

func (*meetingFormat) Name() string          { return "daily" }
func (*meetingFormat) Leeway() time.Duration { return 0 }

func (f *meetingFormat) says(say auth.Say) {
	f.mu.Lock()
	defer f.mu.Unlock()
	say.Layer = "domain"
	f.domain = say
}

func (f *meetingFormat) Base(g *auth.Grant, _ string, rules auth.RoomRules) []auth.Say {
	if g.Claims == nil && rules.Daily == nil {
		return nil
	}
	f.mu.Lock()
	says := []auth.Say{f.domain}
	f.mu.Unlock()
	if g.RoomAdmin {
		return append(says, auth.Say{Layer: "owner", Allow: auth.Owner | auth.SendTracks | auth.ReceiveTracks | auth.ModerateParticipants,
			Deny: auth.Hidden | auth.ReceiveOnlyOwners, AllFromIdentity: true, AllFromParticipant: true})
	}
	if rules.Daily != nil {
		say := *rules.Daily
		say.Layer = "room"
		says = append(says, say)
	}
	return append(says, g.Base...)
}

// dailyToken is what a Daily token grants that names no room.
func dailyToken(identity string, change ...func(*auth.Grant)) *auth.Grant {
	g := &auth.Grant{Format: meetings, Project: "test", Identity: identity, Organization: auth.DefaultOrganization, Roams: true, Join: true,
		Kind: auth.Standard, Claims: []byte(`{}`), Issued: time.Now(), TokenHash: auth.TokenHash([]byte(fmt.Sprintf("D%031s", identity))[:32])}
	for _, f := range change {
		f(g)
	}
	return g
}

// anyone is what somebody without a token is granted.
func anyone(name string) *auth.Grant {
	return &auth.Grant{Format: meetings, Project: "test", Identity: auth.AnonymousPrefix + name, Organization: auth.DefaultOrganization,
		Join: true, Kind: auth.Standard, Issued: time.Now()}
}

// Changes of a Daily token.
func forRoom(name string) func(*auth.Grant) {
	return func(g *auth.Grant) { g.Room, g.Roams, g.Organization = name, false, "" }
}
func owning(g *auth.Grant)   { g.RoomAdmin = true }
func knocking(g *auth.Grant) { g.Knocks = true }
func saying(say auth.Say) func(*auth.Grant) {
	return func(g *auth.Grant) {
		say.Layer = "token"
		g.Base = append(g.Base, say)
	}
}

func (h *hall) open(name string, s room.DailySettings) room.DailyRoom {
	h.t.Helper()
	made, taken, err := h.rooms.CreateDaily(h.rooms.Batch(), "test", []string{name}, []room.DailySettings{s})
	if err != nil || taken != "" || len(made) != 1 {
		h.t.Fatalf("creating %s: %v, %q, %v", name, made, taken, err)
	}
	return made[0]
}

func (h *hall) set(name string, change func(*room.DailySettings)) room.DailyRoom {
	h.t.Helper()
	now, err := h.setting(name, change)
	if err != nil {
		h.t.Fatal(err)
	}
	return now
}

func (h *hall) setting(name string, change func(*room.DailySettings)) (room.DailyRoom, error) {
	return h.rooms.UpdateDaily(h.rooms.Batch(), "test", name, func(s room.DailySettings) (room.DailySettings, error) {
		change(&s)
		return s, nil
	})
}

func permits(say auth.Say) func(*room.DailySettings) {
	return func(s *room.DailySettings) { s.Permissions = say }
}

func (h *hall) shut(names ...string) {
	h.t.Helper()
	if which, err := h.rooms.DeleteDaily(h.rooms.Batch(), "test", names...); err != nil {
		h.t.Fatal(which, err)
	}
}

// turnedAway is the error that somebody who wants to come in gets.
func (h *hall) turnedAway(name string, g *auth.Grant) error {
	m, err := h.visit(name, g)
	if err == nil {
		m.leaveIf()
	}
	return err
}

func (h *hall) allows(name, identity string, want auth.Rights) bool {
	h.t.Helper()
	info, err := h.lookup(name).Participant(room.Target{Identity: identity})
	if err != nil {
		h.t.Fatal(err)
	}
	return info.Permission.Allows(want)
}

func yes() *bool { b := true; return &b }

// everything is settings of which nothing is a default.
func everything(now time.Time) room.DailySettings {
	return room.DailySettings{Private: true, NotBefore: now.Add(-time.Hour), Expires: now.Add(time.Hour), MaxParticipants: 7, EjectAtExpiry: true,
		EjectAfter: time.Minute, Knocking: true, UniqueUsers: true, Start: auth.Start{VideoOff: yes(), ScreenShare: new(bool)},
		Permissions: auth.Say{Layer: "room", Allow: auth.SendCamera, Deny: auth.Hidden | auth.SendMicrophone, AllFromIdentity: true,
			ReceiveFromIdentity: map[string]auth.Rights{"ada": auth.ReceiveCamera, "*": 0}, ReceiveFromParticipant: map[string]auth.Rights{"PA_1": auth.ReceiveTracks}},
		Properties: []byte(`{"lang":"de","x":[1,2.50]}`)}
}

func alike(a, b room.DailyRoom) bool {
	norm := func(d room.DailyRoom) string {
		d.Created, d.Settings.NotBefore, d.Settings.Expires = d.Created.UTC(), d.Settings.NotBefore.UTC(), d.Settings.Expires.UTC()
		text, _ := json.Marshal(d)
		return string(text)
	}
	return norm(a) == norm(b)
}

// What Daily's API makes, changes and deletes is so after the next start. §2.2, §2.3
func TestDailyRoomsOutliveTheProcess(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill=", kill), func(t *testing.T) {
			stores(t, func(t *testing.T, s store.Store) {
				h := start(t, room.Config{Store: s})
				now := time.Now()
				plain := h.open("plain", room.DailySettings{})
				made := h.open("full", everything(now))
				if len(made.ID) != 36 || made.ID == plain.ID || made.Name != "full" || made.Created.Before(now) || !reflect.DeepEqual(made.Settings, everything(now)) {
					t.Errorf("made %+v", made)
				}
				gone := h.open("gone", room.DailySettings{})
				h.shut("gone")
				changed := h.set("plain", func(s *room.DailySettings) { *s = everything(now); s.Private = false })
				if changed.ID != plain.ID || !changed.Created.Equal(plain.Created) || changed.Settings.Private || changed.Settings.MaxParticipants != 7 {
					t.Errorf("changed to %+v", changed)
				}
				h.set("full", func(s *room.DailySettings) { *s = room.DailySettings{Properties: []byte(`{}`)} })
				full, err := h.rooms.Daily("test", "full")
				if err != nil {
					t.Fatal(err)
				}
				if !kill {
					h.stop()
				}
				h = start(t, room.Config{Store: s})
				for name, want := range map[string]room.DailyRoom{"plain": changed, "full": full} {
					if got, err := h.rooms.Daily("test", name); err != nil || !alike(got, want) {
						t.Errorf("%s is %+v, %v after the start; want %+v", name, got, err, want)
					}
				}
				if _, err := h.rooms.Daily("test", "gone"); !errors.Is(err, room.ErrNotFound) {
					t.Errorf("the deleted room: %v", err)
				}
				if _, taken, err := h.rooms.CreateDaily(h.rooms.Batch(), "test", []string{"plain"}, make([]room.DailySettings, 1)); !errors.Is(err, room.ErrExists) || taken != "plain" {
					t.Errorf("made again: %q, %v", taken, err)
				}
				if again := h.open("gone", room.DailySettings{}); again.ID == gone.ID {
					t.Error("another room of the name has the same id")
				}
			})
		})
	}
}

// What a Daily part may be.
func TestDailyLimits(t *testing.T) {
	h := start(t, room.Config{})
	b := h.rooms.Batch()
	var limit *room.LimitError
	var invalid *room.InvalidError
	for what, c := range map[string]struct {
		name     string
		settings room.DailySettings
		target   any
	}{
		"no name":              {"", room.DailySettings{}, &invalid},
		"a space":              {"a b", room.DailySettings{}, &invalid},
		"an umlaut":            {"bär", room.DailySettings{}, &invalid},
		"a dot":                {"..", room.DailySettings{}, &invalid},
		"a long name":          {strings.Repeat("x", room.MaxDailyName+1), room.DailySettings{}, &limit},
		"fewer than nobody":    {"a", room.DailySettings{MaxParticipants: -1}, &invalid},
		"a stay before coming": {"a", room.DailySettings{EjectAfter: -1}, &invalid},
		"a far future":         {"a", room.DailySettings{Expires: time.Unix(1<<39, 0)}, &invalid},
		"a far start":          {"a", room.DailySettings{NotBefore: time.Unix(1<<39, 0)}, &invalid},
		"large properties":     {"a", room.DailySettings{Properties: bytes.Repeat([]byte(" "), room.MaxDailyProperties+1)}, &limit},
	} {
		if _, _, err := h.rooms.CreateDaily(b, "test", []string{c.name}, []room.DailySettings{c.settings}); !errors.As(err, c.target) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.open(strings.Repeat("x", room.MaxDailyName), room.DailySettings{})
	h.open("a-Z_9", room.DailySettings{})
	if _, err := h.setting("a-Z_9", func(s *room.DailySettings) { s.MaxParticipants = -1 }); !errors.As(err, &invalid) {
		t.Errorf("changed to what may not be: %v", err)
	}
	own := errors.New("mine")
	if _, err := h.rooms.UpdateDaily(b, "test", "a-Z_9", func(room.DailySettings) (room.DailySettings, error) { return room.DailySettings{}, own }); !errors.Is(err, own) {
		t.Errorf("the change's own error: %v", err)
	}
	if _, err := h.setting("nothing", func(*room.DailySettings) {}); !errors.Is(err, room.ErrNotFound) {
		t.Errorf("a room that there is not: %v", err)
	}
	if d, _ := h.rooms.Daily("test", "a-Z_9"); d.Settings.MaxParticipants != 0 {
		t.Error("a change that was refused was made")
	}
}

// Of those who make a room at the same time exactly one does, alone or among others. §2.2
func TestOneCreatesADailyRoom(t *testing.T) {
	stores(t, func(t *testing.T, s store.Store) {
		h := start(t, room.Config{Store: s})
		for round := range rounds(50) {
			name := fmt.Sprint("r", round)
			var wg sync.WaitGroup
			var mu sync.Mutex
			won := 0
			var ids []string
			for i := range 8 {
				names := []string{name}
				if i%2 == 1 { // in another order each time
					names = []string{fmt.Sprint(name, "-", i), name, fmt.Sprint(name, "+", i)}
					if i%4 == 1 {
						slices.Reverse(names)
					}
				}
				for j, n := range names {
					names[j] = strings.ReplaceAll(n, "+", "_")
				}
				wg.Go(func() {
					made, taken, err := h.rooms.CreateDaily(h.rooms.Batch(), "test", names, make([]room.DailySettings, len(names)))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won++
						for _, d := range made {
							if d.Name == name {
								ids = append(ids, d.ID)
							}
						}
					case !errors.Is(err, room.ErrExists) || taken != name:
						t.Errorf("%q, %v", taken, err)
					default:
						for _, n := range names {
							if n == name {
								continue
							}
							if _, err := h.rooms.Daily("test", n); !errors.Is(err, room.ErrNotFound) {
								t.Errorf("%s was made by one that failed", n)
							}
						}
					}
				})
			}
			wg.Wait()
			if d, err := h.rooms.Daily("test", name); won != 1 || err != nil || d.ID != ids[0] {
				t.Fatalf("%d have made it, it is %v, %v", won, d.ID, err)
			}
		}
	})
}

// Many rooms are made, and deleted, all or none; nobody is put out by a deletion that
// is none.
func TestDailyBatches(t *testing.T) {
	h := start(t, room.Config{})
	b := h.rooms.Batch()
	h.open("there", room.DailySettings{})
	ada := h.visits("there", dailyToken("ada"))
	three := make([]room.DailySettings, 3)
	for _, names := range [][]string{{"a", "there", "b"}, {"a", "b", "a"}, {"a", "b", "not/one"}} {
		if made, taken, err := h.rooms.CreateDaily(b, "test", names, three); err == nil || len(made) > 0 || errors.Is(err, room.ErrExists) == (taken == "") {
			t.Errorf("making %q: %v, %q, %v", names, made, taken, err)
		}
	}
	if which, err := h.rooms.DeleteDaily(b, "test", "there", "a"); !errors.Is(err, room.ErrNotFound) || which != "a" {
		t.Errorf("deleting one that there is not: %q, %v", which, err)
	}
	if rooms, total, err := h.rooms.ListDaily("test", room.DailyQuery{}); err != nil || total != 1 || len(rooms) != 1 || rooms[0].Name != "there" {
		t.Errorf("there are %+v, %d, %v", rooms, total, err)
	}
	if ada.ended() != nil {
		t.Error("somebody was put out of a room that is still there")
	}
	if len(h.rooms.Revocations("test", "")) > 0 {
		t.Error("something was revoked")
	}
	made, _, err := h.rooms.CreateDaily(b, "test", []string{"a", "b", "c"}, []room.DailySettings{{MaxParticipants: 1}, {MaxParticipants: 2}, {MaxParticipants: 3}})
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range made {
		if d.Name != string("abc"[i]) || d.Settings.MaxParticipants != i+1 {
			t.Errorf("the %d. is %+v", i, d)
		}
	}
	h.shut("there", "b", "c", "b")
	if cause := ada.ended(); cause == nil || *cause != room.CauseRoomDeleted {
		t.Errorf("ada: %v", cause)
	}
	if rooms, total, _ := h.rooms.ListDaily("test", room.DailyQuery{}); total != 1 || len(rooms) != 1 || rooms[0].Name != "a" {
		t.Errorf("left are %+v, %d", rooms, total)
	}
	if rv := h.rooms.Revocations("test", ""); len(rv) != 3 || !rv[0].Naming {
		t.Errorf("revoked: %+v", rv)
	}
}

// Pages go from the newest to the oldest; rooms of one second go by their ids. §2.2
func TestDailyPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{})
		var want []room.DailyRoom
		for i := range 23 {
			want = append(want, h.open(fmt.Sprint("r", i), room.DailySettings{}))
			if i%3 == 2 {
				time.Sleep(time.Second)
			} else {
				time.Sleep(time.Millisecond)
			}
		}
		h.open("expires", room.DailySettings{Expires: time.Now().Add(time.Minute)})
		time.Sleep(time.Minute)
		h.open("other", room.DailySettings{})
		h.shut("other")
		slices.SortFunc(want, func(a, b room.DailyRoom) int {
			if c := b.Created.Truncate(time.Second).Compare(a.Created.Truncate(time.Second)); c != 0 {
				return c
			}
			return strings.Compare(b.ID, a.ID)
		})
		ids := func(rooms []room.DailyRoom) (ids []string) {
			for _, d := range rooms {
				ids = append(ids, d.ID)
			}
			return ids
		}
		all := ids(want)
		page := func(q room.DailyQuery) []string {
			t.Helper()
			rooms, total, err := h.rooms.ListDaily("test", q)
			if err != nil || total != len(all) {
				t.Errorf("%+v: %d in all, %v", q, total, err)
			}
			return ids(rooms)
		}
		if got := page(room.DailyQuery{}); !slices.Equal(got, all) {
			t.Errorf("all: %q, want %q", got, all)
		}
		var forth, back []string
		for q := (room.DailyQuery{Limit: 5}); ; q.After = forth[len(forth)-1] {
			next := page(q)
			if len(next) == 0 {
				break
			}
			forth = append(forth, next...)
		}
		for q := (room.DailyQuery{Limit: 5, Oldest: true}); ; q = (room.DailyQuery{Limit: 5, Before: back[0]}) {
			next := page(q)
			if len(next) == 0 {
				break
			}
			back = append(next, back...)
		}
		if !slices.Equal(forth, all) || !slices.Equal(back, all) {
			t.Errorf("paged %q and back %q, want %q", forth, back, all)
		}
		if got := page(room.DailyQuery{After: all[4], Before: all[10]}); !slices.Equal(got, all[5:10]) {
			t.Errorf("between two: %q", got)
		}
		// The id of a room that was deleted between two pages is a place still.
		for at, i := range []int{7, 12} {
			for _, d := range want {
				if d.ID == all[i-at] {
					h.shut(d.Name)
				}
			}
			gone := all[i-at]
			all = slices.Delete(all, i-at, i-at+1)
			if got := page(room.DailyQuery{After: gone, Limit: 3}); !slices.Equal(got, all[i-at:i-at+3]) {
				t.Errorf("after one that was deleted: %q, want %q", got, all[i-at:i-at+3])
			}
			if got := page(room.DailyQuery{Before: gone, Limit: 3}); !slices.Equal(got, all[i-at-3:i-at]) {
				t.Errorf("before one that was deleted: %q, want %q", got, all[i-at-3:i-at])
			}
		}
		var invalid *room.InvalidError
		for _, q := range []room.DailyQuery{{After: "nobody"}, {Before: "nobody"}} {
			if _, _, err := h.rooms.ListDaily("test", q); !errors.As(err, &invalid) {
				t.Errorf("%+v: %v", q, err)
			}
		}
		if rooms, total, err := h.rooms.ListDaily("nobody", room.DailyQuery{}); err != nil || total+len(rooms) != 0 {
			t.Errorf("another project's: %v, %d, %v", rooms, total, err)
		}
	})
}

// An expired room counts as gone: its name can be made again, whoever is in it stays,
// and a day later it is forgotten, when nobody is in it any more. §1.7.8, §2.2
func TestDailyRoomsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := store.NewMemory()
		h := start(t, room.Config{Store: kept})
		b := h.rooms.Batch()
		soon := room.DailySettings{Expires: time.Now().Add(time.Minute)}
		first := h.open("a", soon)
		h.open("b", soon)
		h.open("c", soon)
		h.open("d", soon)
		ada := h.visits("a", dailyToken("ada"))
		h.visits("b", dailyToken("bob"))
		time.Sleep(time.Minute)
		for _, name := range []string{"a", "c"} {
			if _, err := h.rooms.Daily("test", name); !errors.Is(err, room.ErrNotFound) {
				t.Errorf("%s is there: %v", name, err)
			}
			if _, err := h.setting(name, func(*room.DailySettings) {}); !errors.Is(err, room.ErrNotFound) {
				t.Errorf("%s can be changed: %v", name, err)
			}
			for _, g := range []*auth.Grant{dailyToken("eve"), dailyToken("eve", owning, forRoom(name)), anyone("eve")} {
				if err := h.turnedAway(name, g); !errors.Is(err, room.ErrRoomExpired) {
					t.Errorf("%s lets in: %v", name, err)
				}
			}
		}
		if rooms, total, err := h.rooms.ListDaily("test", room.DailyQuery{}); err != nil || total+len(rooms) != 0 {
			t.Errorf("listed: %v, %d, %v", rooms, total, err)
		}
		again := h.open("a", room.DailySettings{})
		if again.ID == first.ID || ada.ended() != nil {
			t.Errorf("made again: %+v; ada is put out: %v", again, ada.ended())
		}
		h.visits("a", anyone("x")).leave()
		if which, err := h.rooms.DeleteDaily(b, "test", "d"); !errors.Is(err, room.ErrRoomExpired) || which != "d" {
			t.Errorf("deleting an expired one: %q, %v", which, err)
		}
		if which, err := h.rooms.DeleteDaily(b, "test", "d"); !errors.Is(err, room.ErrNotFound) || which != "d" {
			t.Errorf("deleting it again: %q, %v", which, err)
		}
		h = start(t, room.Config{Store: kept}) // at the next start, too
		bob := h.joinAs(grant("bob", toRoom("b")))
		time.Sleep(24*time.Hour + time.Minute)
		sweep := func() {
			for range 3 {
				h.rooms.Sweep(b)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
			}
		}
		sweep()
		err := func(name string) error { return h.turnedAway(name, dailyToken("eve")) }
		if got := err("b"); !errors.Is(got, room.ErrRoomExpired) {
			t.Errorf("with somebody in it: %v", got)
		}
		if got := err("c"); !errors.Is(got, room.ErrNotFound) {
			t.Errorf("with nobody in it: %v", got)
		}
		bob.leave()
		time.Sleep(time.Minute)
		sweep()
		if got := err("b"); !errors.Is(got, room.ErrNotFound) {
			t.Errorf("when the last one has left: %v", got)
		}
		if _, got := h.rooms.Daily("test", "a"); got != nil {
			t.Errorf("the one that was made again: %v", got)
		}
		left := 0
		if err := store.LoadRooms(kept, func(r *store.Room) error { left++; return nil }); err != nil || left != 1 {
			t.Errorf("the store has %d rooms, %v", left, err)
		}
	})
}

// joinAs joins by a LiveKit grant.
func (h *hall) joinAs(g *auth.Grant) *member {
	h.t.Helper()
	m, err := h.enterOrMake(g)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *hall) enterOrMake(g *auth.Grant) (*member, error) {
	m, err := h.enter(g)
	m.batch.Flush()
	return m, err
}
