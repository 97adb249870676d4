package room_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

var (
	reader = []string{"room:read", "room:presence:write"}
	writer = []string{"room:write"}
)

// told is what a member was told of permissions since then, its own and others'.
func (m *member) permissions(from int) (own, others []bool) {
	for _, ev := range m.since(from) {
		var list []room.Event
		switch ev := ev.(type) {
		case *room.Changes:
			list = ev.Changes
		default:
			list = []room.Event{ev}
		}
		for _, ev := range list {
			switch ev := ev.(type) {
			case *room.Snapshot:
				own = append(own, ev.Self.Permission.Allows(auth.WriteStorage))
			case *room.ParticipantUpdated:
				if ev.Participant.SID == m.p.SID {
					own = append(own, ev.Participant.Permission.Allows(auth.WriteStorage))
				} else if ev.Changed&room.ChangedPermission != 0 {
					others = append(others, ev.Participant.Permission.Allows(auth.WriteStorage))
				}
			}
		}
	}
	return own, others
}

func (h *hall) writes(name, identity string) bool {
	h.t.Helper()
	info, err := h.lookup(name).Participant(room.Target{Identity: identity})
	if err != nil {
		h.t.Fatal(err)
	}
	return info.Permission.Allows(auth.WriteStorage)
}

// An edit reaches everybody it concerns at once, and tells of each once: the one
// concerned by a snapshot, the others by a change. In a large room, too.
func TestEditsReachPeople(t *testing.T) {
	for _, crowd := range []int{0, 100} {
		t.Run(fmt.Sprint(crowd), func(t *testing.T) {
			h := start(t, room.Config{AutoCreate: true})
			h.create("hall", auth.AccessList{Default: writer, Users: map[string][]string{"boss": {"*:write"}}})
			boss := h.visits("hall", idToken("boss"))
			ada := h.visits("hall", idToken("ada"))
			token := h.visits("hall", accessToken(t, "token", `{"*":["*:write"]}`))
			livekit := h.join("livekit")
			for i := range crowd {
				h.visits("hall", idToken(fmt.Sprint("x", i)))
			}
			b := h.rooms.Batch()
			settle := func() { // the tick
				if err := boss.p.UpdatePresence(boss.call(0), room.Presence{"n": []byte(fmt.Sprint(time.Now().UnixNano()))}, true); err != nil {
					t.Fatal(err)
				}
				boss.batch.Flush()
				boss.batch.Wait()
			}
			settle()
			step := func(name string, ch room.LiveblocksChange, writes map[*member]bool, changed int) {
				t.Helper()
				from := map[*member]int{}
				for m := range writes {
					from[m] = m.count()
				}
				if _, err := h.rooms.UpdateLiveblocks(b, "test", "hall", ch); err != nil {
					t.Fatal(err)
				}
				b.Flush()
				b.Wait()
				for m, may := range writes {
					if got := h.writes("hall", m.p.Identity); got != may {
						t.Errorf("%s: %s writes: %t", name, m.p.Identity, got)
					}
					own, others := m.permissions(from[m])
					concerned := m != boss && m != token && m != livekit
					if len(own) > 1 || len(own) == 1 && own[0] != may || (concerned && changed > 0) != (len(own) == 1) {
						t.Errorf("%s: %s was told %v of itself", name, m.p.Identity, own)
					}
					want := changed
					if concerned && changed > 0 {
						want = 0 // its snapshot has it
						if changed <= 4 {
							want = changed - 1
						}
					}
					if len(others) != want {
						t.Errorf("%s: %s was told of %d others, want %d", name, m.p.Identity, len(others), want)
					}
				}
			}
			step("demoted", byDefault(reader...), map[*member]bool{boss: true, token: true, livekit: false, ada: false}, crowd+1)
			step("promoted", byDefault(writer...), map[*member]bool{boss: true, token: true, livekit: false, ada: true}, crowd+1)
			step("a group", byGroup("g", "*:read"), map[*member]bool{boss: true, ada: true}, 0)

			// Without access they are put out, and told why.
			n := boss.count()
			if _, err := h.rooms.UpdateLiveblocks(b, "test", "hall", byDefault()); err != nil {
				t.Fatal(err)
			}
			b.Wait()
			if cause := ada.ended(); cause == nil || *cause != room.CauseAccessLost {
				t.Errorf("ada's session ended with %v", cause)
			}
			for _, m := range []*member{boss, token, livekit} {
				if m.ended() != nil {
					t.Errorf("%s is out", m.p.Identity)
				}
			}
			if got := len(h.lookup("hall").Participants()); got != 3 {
				t.Errorf("%d are left, want 3", got)
			}
			left := 0
			for _, ev := range boss.since(n) {
				switch ev := ev.(type) {
				case *room.ParticipantLeft:
					left++
				case *room.Changes:
					left += len(ev.Changes)
				}
			}
			if left != crowd+1 {
				t.Errorf("boss was told of %d who left, want %d", left, crowd+1)
			}
			if _, err := h.visit("hall", idToken("ada")); !errors.Is(err, room.ErrNotAllowed) {
				t.Errorf("ada comes in again: %v", err)
			}
		})
	}
}

// A group that is taken away, a user who is named, and a room that is given to
// another organization.
func TestEditsOfEachLevel(t *testing.T) {
	h := start(t, room.Config{AutoCreate: true})
	b := h.rooms.Batch()
	h.create("hall", auth.AccessList{Default: []string{}, Groups: map[string][]string{"g": {"*:read"}, "h": {"*:write"}}})
	both := h.visits("hall", idToken("both", "g", "h"))
	one := h.visits("hall", idToken("one", "g"))
	tokened := h.visits("hall", accessToken(t, "tokened", `{"*":["*:write"]}`))
	if !h.writes("hall", "both") || h.writes("hall", "one") {
		t.Error("before anything is changed")
	}
	h.edit("hall", byUser("one", "*:write"))
	if !h.writes("hall", "one") {
		t.Error("the user's own level does not count")
	}
	h.edit("hall", byUser("one")) // states nothing
	if h.writes("hall", "one") || one.ended() != nil {
		t.Error("an empty list for a user does not leave what the group has")
	}
	h.edit("hall", room.LiveblocksChange{Groups: map[string]*[]string{"h": nil}})
	if h.writes("hall", "both") {
		t.Error("the group is gone, not its rights")
	}
	h.edit("hall", room.LiveblocksChange{ClearGroups: true})
	for _, m := range []*member{both, one} {
		if cause := m.ended(); cause == nil || *cause != room.CauseAccessLost {
			t.Errorf("%s: %v", m.p.Identity, cause)
		}
	}
	if moved, err := h.rooms.MoveLiveblocks(b, "test", "hall", "acme"); err != nil || moved.Organization != "acme" {
		t.Fatal(moved, err)
	}
	if cause := tokened.ended(); cause == nil || *cause != room.CauseAccessLost {
		t.Errorf("the other organization's stays: %v", cause)
	}
	if _, err := h.visit("hall", accessToken(t, "tokened", `{"*":["*:write"]}`)); !errors.Is(err, room.ErrOrganization) {
		t.Errorf("it comes in again: %v", err)
	}
	if list, _, _ := h.rooms.ListLiveblocks("test", room.LiveblocksQuery{Organization: "acme"}); len(list) != 1 {
		t.Errorf("listed in its organization: %+v", list)
	}
}

// What an edit takes from somebody's base leaves what was allowed live, whoever is
// there; what it does not take stays, and so does what was denied.
func TestNarrowingWins(t *testing.T) {
	stores(t, func(t *testing.T, s store.Store) {
		cfg := room.Config{AutoCreate: true, Store: s, AccessLists: listFormat}
		h := start(t, cfg)
		h.create("hall", auth.AccessList{Default: writer, Groups: map[string][]string{"g": writer}, Users: map[string][]string{"user": writer}})
		first := time.Now().Add(-time.Minute)
		token := func(identity string, groups ...string) *auth.Grant {
			g := idToken(identity, groups...)
			g.Issued = first
			return g
		}
		h.visits("hall", token("keeper", "g"))
		for _, identity := range []string{"here", "away", "user", "grouped", "denied"} {
			var groups []string
			if identity == "grouped" {
				groups = []string{"g"}
			}
			m := h.visits("hall", token(identity, groups...))
			h.update(room.Target{Identity: identity}, allow(auth.WriteStorage|auth.SendCamera))
			if identity == "denied" {
				h.update(room.Target{Identity: identity}, deny(auth.WriteStorage))
			}
			if identity == "away" || identity == "user" {
				m.leave()
			}
		}
		only := h.visits("hall", token("here"))
		h.update(room.Target{SID: only.p.SID}, allow(auth.WriteStorage))
		rights := func(h *run, name string, groups ...string) (writes, camera bool) {
			t.Helper()
			m := h.visits("hall", token(name, groups...))
			p := last[*room.Snapshot](t, m).Self.Permission
			m.leave()
			return p.Allows(auth.WriteStorage), p.Allows(auth.SendCamera)
		}
		check := func(h *run, when string, want map[string]bool) {
			t.Helper()
			for name, may := range want {
				var groups []string
				if name == "grouped" {
					groups = []string{"g"}
				}
				if writes, camera := rights(h, name, groups...); writes != may || !camera {
					t.Errorf("%s: %s writes %t, want %t; sends its camera %t", when, name, writes, may, camera)
				}
			}
		}
		check(h, "before", map[string]bool{"here": true, "away": true, "user": true, "grouped": true, "denied": false})
		h.edit("hall", byDefault(reader...))
		if h.writes("hall", "here") {
			t.Error("what was allowed still holds")
		}
		info, err := h.lookup("hall").Participant(room.Target{SID: only.p.SID})
		if err != nil || info.Permission.Allows(auth.WriteStorage) {
			t.Errorf("what was allowed to one participant still holds: %v", err)
		}
		want := map[string]bool{"here": false, "away": false, "user": true, "grouped": true, "denied": false}
		check(h, "narrowed", want)
		h = start(t, cfg)
		h.visits("hall", token("keeper", "g"))
		check(h, "after a start", want)
		h.edit("hall", byDefault(writer...))
		check(h, "widened again", map[string]bool{"here": true, "away": true, "user": true, "grouped": true, "denied": false})
		h.edit("hall", byDefault(reader...))
		// What is allowed after the edit counts.
		h.visits("hall", token("here"))
		h.update(room.Target{Identity: "here"}, allow(auth.WriteStorage))
		h.edit("hall", room.LiveblocksChange{Metadata: map[string]*room.Metadatum{"k": text("v")}})
		if !h.writes("hall", "here") {
			t.Error("an edit of metadata takes what was allowed")
		}
	})
}

// The same for each level and kind of token: whether what was allowed holds when
// somebody comes after an edit has taken it from a level, who may have been away,
// or there by another token. The next start knows it, and a room made anew too.
func TestWhatEditsTake(t *testing.T) {
	all := auth.AccessList{Default: writer, Groups: map[string][]string{"g": writer, "h": writer}, Users: map[string][]string{"user": writer}}
	closed := func(ch room.LiveblocksChange, then room.LiveblocksChange) []room.LiveblocksChange {
		return []room.LiveblocksChange{ch, then}
	}
	deleted := []room.LiveblocksChange(nil)
	for name, c := range map[string]struct {
		identity string
		groups   []string
		there    string // by which token it is there meanwhile
		list     auth.AccessList
		edits    []room.LiveblocksChange
		then     []string // the default afterwards
		holds    bool
	}{
		"default, away":                  {identity: "x", list: access(writer...), edits: closed(byDefault(reader...), byGroup("y", reader...))},
		"default, there":                 {identity: "x", there: "id", list: access(writer...), edits: closed(byDefault(reader...), byGroup("y", reader...))},
		"default, there by LiveKit":      {identity: "x", there: "livekit", list: access(writer...), edits: closed(byDefault(reader...), byGroup("y", reader...))},
		"a group, away":                  {identity: "x", groups: []string{"g"}, list: all, edits: closed(byGroup("g", reader...), byDefault(reader...))},
		"a group alone, away":            {identity: "x", groups: []string{"g"}, list: auth.AccessList{Default: reader, Groups: all.Groups}, edits: closed(byGroup("g", reader...), byGroup("y", reader...))},
		"a group, there":                 {identity: "x", groups: []string{"g"}, there: "id", list: auth.AccessList{Default: reader, Groups: all.Groups}, edits: closed(byGroup("g", reader...), byGroup("y", reader...))},
		"another's group, away":          {identity: "x", groups: []string{"h"}, list: auth.AccessList{Default: reader, Groups: all.Groups}, edits: closed(byGroup("g", reader...), byUser("z", reader...)), holds: true},
		"the user's, away":               {identity: "user", list: auth.AccessList{Default: reader, Users: all.Users}, edits: closed(byUser("user", reader...), byGroup("y", reader...))},
		"another user's, away":           {identity: "x", list: auth.AccessList{Default: reader, Users: all.Users}, edits: closed(byUser("user", reader...), byGroup("y", reader...)), holds: true},
		"what nobody had":                {identity: "x", list: access(reader...), edits: closed(byGroup("y", writer...), room.LiveblocksChange{ClearGroups: true}), holds: true},
		"deleted and made again":         {identity: "x", list: access(writer...), edits: deleted, then: reader},
		"deleted and made again, groups": {identity: "x", groups: []string{"g"}, list: auth.AccessList{Default: []string{}, Groups: all.Groups}, edits: deleted, then: reader},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := room.Config{AutoCreate: true, Store: store.NewMemory(), AccessLists: listFormat}
			h := start(t, cfg)
			h.create("hall", c.list)
			first := time.Now().Add(-time.Minute)
			id := idToken(c.identity, c.groups...)
			id.Issued = first
			livekit := grant(c.identity, issued(first))
			keep := h.join("keeper")
			m := h.visits("hall", id)
			h.update(room.Target{Identity: c.identity}, allow(auth.WriteStorage))
			if c.there != "id" {
				m.leave()
			}
			if c.there == "livekit" {
				h.join(c.identity, issued(first))
			}
			b := h.rooms.Batch()
			for _, ch := range c.edits {
				h.edit("hall", ch)
			}
			if c.edits == nil {
				if err := h.rooms.DeleteLiveblocks(b, "test", "hall"); err != nil {
					t.Fatal(err)
				}
				h.create("hall", access(c.then...))
			}
			for _, h := range []*run{h, start(t, cfg)} {
				m := h.visits("hall", id)
				may := last[*room.Snapshot](t, m).Self.Permission
				m.leave()
				if may.Allows(auth.WriteStorage) != c.holds {
					t.Errorf("with its ID token it writes: %t", !c.holds)
				}
			}
			_ = keep
			if c.there == "livekit" { // a list does not concern LiveKit's tokens
				if !h.writes("hall", c.identity) || !last[*room.Snapshot](t, func() *member { m, err := h.enter(livekit); m.batch.Flush(); _ = err; return m }()).Self.Permission.Allows(auth.WriteStorage) {
					t.Error("by LiveKit's token it has lost what was allowed")
				}
			}
		})
	}
}

// While an edit is on its way to the store nobody has more than by both lists.
// When the store cannot take it, what it narrows stays narrowed, what it widens
// does not come, and the next start has the old list.
func TestEditsOnTheirWay(t *testing.T) {
	for _, fails := range []bool{false, true} {
		for name, c := range map[string]struct {
			before, after           []string
			meanwhile, then, failed string // of the list: "write", "read" or "out"
		}{
			"narrowing":       {writer, reader, "read", "read", "read"},
			"shutting":        {writer, nil, "out", "out", "out"},
			"widening":        {reader, writer, "read", "write", "read"},
			"opening":         {nil, reader, "out", "read", "out"},
			"one for another": {[]string{"*:write", "comments:read"}, []string{"*:read", "comments:write"}, "read", "read", "read"},
		} {
			t.Run(fmt.Sprint(name, " fails=", fails), func(t *testing.T) {
				s := newSlowStore(t)
				cfg := room.Config{Store: s}
				h := start(t, cfg)
				h.create("hall", auth.AccessList{Default: c.before, Users: map[string][]string{"boss": writer}})
				h.visits("hall", idToken("boss"))
				state := func(h *run, identity string) string {
					m, err := h.visit("hall", idToken(identity))
					switch {
					case errors.Is(err, room.ErrNotAllowed):
						return "out"
					case err != nil:
						t.Fatal(err)
					}
					defer m.leave()
					if last[*room.Snapshot](t, m).Self.Permission.Allows(auth.WriteStorage) {
						return "write"
					}
					return "read"
				}
				var ada *member
				if c.before != nil {
					ada = h.visits("hall", idToken("ada"))
				}
				present := func() string {
					if ada == nil {
						return "out"
					}
					info, err := h.lookup("hall").Participant(room.Target{Identity: "ada"})
					switch {
					case err != nil:
						return "out"
					case info.Permission.Allows(auth.WriteStorage):
						return "write"
					}
					return "read"
				}
				s.hold(true)
				done := make(chan error, 1)
				go func() {
					words := append([]string{}, c.after...)
					_, err := h.rooms.UpdateLiveblocks(h.rooms.Batch(), "test", "hall", byDefault(words...))
					done <- err
				}()
				<-s.began
				want(t, "who comes meanwhile", state(h, "bob"), c.meanwhile)
				want(t, "who is there meanwhile", present(), c.meanwhile)
				if got, err := h.rooms.Liveblocks("test", "hall"); err != nil || !slices.Equal(got.Access.Default, append([]string{}, c.before...)) {
					t.Errorf("it shows %q before it is durable, %v", got.Access.Default, err)
				}
				s.hold(false)
				then := c.then
				if fails {
					s.settle(errDisk)
					then = c.failed
				} else {
					s.settle(nil)
				}
				if err := <-done; fails != errors.Is(err, room.ErrUnavailable) || !fails && err != nil {
					t.Errorf("got %v", err)
				}
				want(t, "who comes afterwards", state(h, "bob"), then)
				if ada != nil {
					want(t, "who is there afterwards", present(), then)
				}
				again := start(t, cfg)
				atStart := then
				if fails {
					atStart = map[bool]string{true: "out", false: "read"}[c.before == nil]
					if slices.Contains(c.before, "room:write") || slices.Contains(c.before, "*:write") {
						atStart = "write"
					}
				}
				want(t, "who comes after a start", state(again, "bob"), atStart)
				if fails { // an edit of anything else does not lift it, one that is written does
					h.edit("hall", room.LiveblocksChange{Metadata: map[string]*room.Metadatum{"k": text("v")}})
					want(t, "who comes after another edit", state(h, "bob"), c.failed)
					h.edit("hall", byUser("x", "*:read"))
					want(t, "who comes after an edit of the list", state(h, "bob"), atStart)
				}
			})
		}
	}
}

// Edits that come while one is written are written together, in their order.
func TestEditsKeepTheirOrder(t *testing.T) {
	s := newSlowStore(t)
	cfg := room.Config{Store: s}
	h := start(t, cfg)
	h.create("hall", access())
	s.hold(true)
	var wg sync.WaitGroup
	push := func(i int) {
		wg.Go(func() {
			now, err := h.rooms.UpdateLiveblocks(h.rooms.Batch(), "test", "hall", room.LiveblocksChange{
				Users:    map[string]*[]string{fmt.Sprint("u", i): {"*:read"}},
				Metadata: map[string]*room.Metadatum{"last": text(fmt.Sprint(i))}})
			if err != nil || now.Metadata["last"].Text != fmt.Sprint(i) {
				t.Errorf("%d: %+v, %v", i, now.Metadata, err)
			}
		})
	}
	push(0)
	<-s.began
	const more = 20
	for i := 1; i <= more; i++ {
		push(i)
		waitFor(t, func() bool { // it is in force for those who come, so it is queued
			m, err := h.visit("hall", idToken(fmt.Sprint("u", i)))
			if err == nil {
				m.leave()
			}
			return room.Edits(h.rooms, "test", "hall") == i+1
		})
	}
	writes := s.writes
	s.hold(false)
	s.settle(nil)
	wg.Wait()
	if n := s.writes - writes; n > 2 {
		t.Errorf("%d writes for %d edits", n, more)
	}
	for _, h := range []*run{h, start(t, cfg)} {
		got, err := h.rooms.Liveblocks("test", "hall")
		if err != nil || got.Metadata["last"].Text != fmt.Sprint(more) || len(got.Access.Users) != more+1 {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

// A group of edits that cannot be written has no part in what is written later,
// and what was waiting behind it is done as if it had never been.
func TestEditsBehindAFailure(t *testing.T) {
	s := newSlowStore(t)
	cfg := room.Config{Store: s}
	h := start(t, cfg)
	h.create("hall", access())
	s.hold(true)
	edit := func(identity string) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := h.rooms.UpdateLiveblocks(h.rooms.Batch(), "test", "hall", byUser(identity, "*:write"))
			done <- err
		}()
		return done
	}
	first := edit("first")
	<-s.began
	second := edit("second")
	waitFor(t, func() bool { return room.Edits(h.rooms, "test", "hall") == 2 })
	s.hold(false)
	s.settle(errDisk)
	if err := <-first; !errors.Is(err, room.ErrUnavailable) {
		t.Errorf("the first: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second: %v", err)
	}
	for _, h := range []*run{h, start(t, cfg)} {
		got, err := h.rooms.Liveblocks("test", "hall")
		if err != nil || len(got.Access.Users) != 1 || got.Access.Users["second"] == nil {
			t.Errorf("got %+v, %v", got.Access, err)
		}
		if _, err := h.visit("hall", idToken("first")); !errors.Is(err, room.ErrNotAllowed) {
			t.Errorf("the first comes in: %v", err)
		}
		if m, err := h.visit("hall", idToken("second")); err != nil {
			t.Errorf("the second: %v", err)
		} else {
			m.leave()
		}
	}
}

// What a broken disk could not take goes on taking away, once however often it is
// tried, until somebody says again who may do what and it can be written.
func TestNarrowingThatCannotBeWritten(t *testing.T) {
	s := newSlowStore(t)
	h := start(t, room.Config{Store: s})
	h.create("hall", access("room:write"))
	fail := func(f func() bool) {
		s.mu.Lock()
		s.fails = f
		s.mu.Unlock()
	}
	none, all := []string{}, []string{"room:write"}
	fail(func() bool { return true })
	for range 20 {
		if _, err := h.rooms.UpdateLiveblocks(h.rooms.Batch(), "test", "hall", room.LiveblocksChange{Default: &none}); !errors.Is(err, room.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if n := room.Held(h.rooms, "test", "hall"); n != 1 {
		t.Errorf("%d parts are held, want 1", n)
	}
	fail(nil)
	refused := func(when string, want bool) {
		t.Helper()
		m, err := h.visit("hall", idToken("bob"))
		if errors.Is(err, room.ErrNotAllowed) != want || err != nil && !want {
			t.Errorf("%s: got %v", when, err)
		}
		if err == nil {
			m.leave()
		}
	}
	refused("while the disk was broken", true)
	if got := h.edit("hall", room.LiveblocksChange{Metadata: map[string]*room.Metadatum{"title": text("x")}}); len(got.Access.Default) != 1 {
		t.Errorf("got %v", got.Access)
	}
	refused("after a change of something else", true)
	h.edit("hall", room.LiveblocksChange{Default: &all})
	refused("after it was said what holds", false)
	if n := room.Held(h.rooms, "test", "hall"); n != 0 {
		t.Errorf("%d parts are held, want none", n)
	}
}
