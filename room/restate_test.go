package room_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/room"
)

// A world is what a client of a dialect without numbers believes, which takes
// each snapshot as it is and counts who joins and leaves.
type world struct {
	t     *testing.T
	who   string
	self  string
	there map[string]bool
}

func (w *world) hear(ev room.Event) {
	switch ev := ev.(type) {
	case *room.Snapshot:
		w.self, w.there = ev.Self.SID, map[string]bool{}
		for _, p := range ev.Participants {
			w.there[p.SID] = true
		}
	case *room.Changes:
		for _, c := range ev.Changes {
			w.hear(c)
		}
	case *room.ParticipantJoined:
		if ev.Participant.SID == w.self {
			w.t.Errorf("%s was told that it joined itself", w.who)
		}
		if w.there[ev.Participant.SID] {
			w.t.Errorf("%s was told twice of %s", w.who, ev.Participant.Identity)
		}
		w.there[ev.Participant.SID] = true
	case *room.ParticipantLeft:
		if !w.there[ev.SID] {
			w.t.Errorf("%s was told of the end of %s, of whom it did not know", w.who, ev.Identity)
		}
		delete(w.there, ev.SID)
	case *room.ParticipantUpdated:
		if ev.Participant.SID == w.self || !w.there[ev.Participant.SID] {
			w.t.Errorf("%s was told of a change of %s", w.who, ev.Participant.Identity)
		}
	case *room.PresenceUpdated:
		if !w.there[ev.SID] {
			w.t.Errorf("%s was told of a presence of a stranger", w.who)
		}
	}
}

// Whoever is told by snapshots hears of nothing that its snapshot has, though in
// a large room joins and leaves are announced later.
func TestRestatedListenersHearNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := newSeed(t)
		h := start(t, room.Config{AutoCreate: true, AccessLists: listFormat})
		h.create("hall", access(writer...))
		var members []*member
		all := []*member{}
		for i := range 2000 {
			switch n := seed.IntN(20); {
			case n < 8 || len(members) < 40:
				m := h.visits("hall", idToken(fmt.Sprint("p", i)))
				members, all = append(members, m), append(all, m)
			case n < 14:
				k := seed.IntN(len(members))
				members[k].leave()
				members = append(members[:k], members[k+1:]...)
			case n < 16:
				m := members[seed.IntN(len(members))]
				if err := m.p.UpdatePresence(m.call(0), room.Presence{"n": []byte(fmt.Sprint(i))}, true); err != nil {
					t.Fatal(err)
				}
				m.batch.Flush()
			case n < 17:
				h.edit("hall", byDefault([][]string{reader, writer}[seed.IntN(2)]...))
			case n < 18:
				m := members[seed.IntN(len(members))]
				h.edit("hall", byUser(m.p.Identity, [][]string{reader, writer}[seed.IntN(2)]...))
			case n < 19:
				m := members[seed.IntN(len(members))]
				ch := room.Change{Permission: &auth.Say{Layer: auth.Live, Allow: auth.Hidden}}
				if seed.IntN(2) == 0 {
					ch.Permission = &auth.Say{Layer: auth.Live, Deny: auth.Hidden}
				}
				h.update(room.Target{Identity: m.p.Identity}, ch)
			default:
				time.Sleep(30 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		shown := map[string]bool{}
		for _, i := range h.lookup("hall").Active() {
			shown[i.SID] = true
		}
		for _, m := range all {
			w := &world{t: t, who: m.p.Identity}
			for _, ev := range m.since(0) {
				w.hear(ev)
			}
			if m.ended() != nil {
				continue
			}
			for sid := range shown {
				if sid != w.self && !w.there[sid] {
					t.Errorf("%s does not know of somebody who is there", w.who)
				}
			}
			for sid := range w.there {
				if !shown[sid] {
					t.Errorf("%s believes that somebody is there who is not", w.who)
				}
			}
			if t.Failed() {
				return
			}
		}
	})
}

// Many changes in a row leave one snapshot to somebody who does not read, and
// quiet calls return what is wrong with them.
func TestQuietCalls(t *testing.T) {
	h := start(t, room.Config{AutoCreate: true})
	h.create("hall", access("*:read", "comments:write"))
	ada, bob := h.visits("hall", idToken("ada")), h.visits("hall", idToken("bob"))
	quiet := ada.call(0)
	quiet.Quiet = true
	n := ada.count()
	var limit *room.LimitError
	if err := ada.p.PublishData(quiet, room.Message{Payload: []byte(strings.Repeat("x", 1<<20)), Reliable: true}); !errors.As(err, &limit) {
		t.Errorf("a large message: %v", err)
	}
	if err := ada.p.Allowed(quiet, auth.WriteStorage, "canWriteStorage"); !errors.Is(err, room.ErrNotAllowed) {
		t.Errorf("a reader writes: %v", err)
	}
	if err := ada.p.Allowed(quiet, auth.ReadStorage, "canReadStorage"); err != nil {
		t.Errorf("a reader reads: %v", err)
	}
	h.update(room.Target{Identity: "ada"}, deny(auth.SendData|auth.SendPresence))
	quiet.Batch.Flush()
	if err := ada.p.PublishData(quiet, room.Message{Payload: []byte(`1`)}); !errors.Is(err, room.ErrNotAllowed) {
		t.Errorf("a message that is denied: %v", err)
	}
	if err := ada.p.UpdatePresence(quiet, room.Presence{}, true); !errors.Is(err, room.ErrNotAllowed) {
		t.Errorf("a presence that is denied: %v", err)
	}
	ada.batch.Flush()
	h.expect(ada, n, "Snapshot") // of its own change, and no reply

	m := bob.call(0)
	m.Quiet = true
	n = ada.count()
	for range 3 { // the same whole presence tells nobody anything
		if err := bob.p.UpdatePresence(m, room.Presence{"x": []byte("1"), "y": []byte("2")}, true); err != nil {
			t.Error(err)
		}
		bob.batch.Flush()
	}
	h.expect(ada, n, "PresenceUpdated")
	if err := bob.p.UpdatePresence(m, nil, true); err != nil {
		t.Error(err)
	}
	bob.batch.Flush()
	h.expect(ada, n, "PresenceUpdated", "PresenceUpdated")
	if p := last[*room.PresenceUpdated](t, ada); p.Presence == nil || len(p.Presence) != 0 || p.Participant.Identity != "bob" {
		t.Errorf("an empty presence is told as %v of %+v", p.Presence, p.Participant)
	}
	if s := last[*room.Snapshot](t, h.visits("hall", idToken("carl"))); s.Presence[bob.p.SID] == nil || s.Presence[ada.p.SID] != nil {
		t.Errorf("a newcomer finds the presences %v", s.Presence)
	}
	bob.leave()
	if err := bob.p.PublishData(m, room.Message{Payload: []byte(`1`)}); !errors.Is(err, room.ErrFenced) {
		t.Errorf("after the end: %v", err)
	}
}

// Who cannot be moved is told where to go, when it would be let in there.
func TestMovingRestated(t *testing.T) {
	h := start(t, room.Config{AutoCreate: true})
	h.create("hall", access(writer...))
	h.create("open", access(writer...))
	h.create("private", access())
	ada := h.visits("hall", idToken("ada"))
	if err := h.move("ada", "hall", "private"); !errors.Is(err, room.ErrNotAllowed) || ada.ended() != nil {
		t.Errorf("moved to where it may not be: %v", err)
	}
	if err := h.move("ada", "hall", "open"); err != nil {
		t.Fatal(err)
	}
	if cause := ada.ended(); cause == nil || *cause != room.CauseRenamed || ada.detail() != "open" {
		t.Errorf("ada was told %v %q", cause, ada.detail())
	}
	// One that can be moved is held to what the other room's list says.
	bob, err := h.enter(func() *auth.Grant { g := idToken("bob"); g.Room = "hall"; return g }())
	if err != nil {
		t.Fatal(err)
	}
	bob.batch.Flush()
	if err := h.move("bob", "hall", "private"); err == nil {
		t.Error("moved to where it may not be")
	}
	h.expectIn("hall", "bob")
}

// Removing somebody who has no token, or putting out all who came with one, does
// not concern others without one.
func TestTokenlessPeople(t *testing.T) {
	h := start(t, room.Config{AutoCreate: true, Refresh: func(*auth.Grant, auth.Current) (string, time.Time, error) {
		return "token", time.Now().Add(time.Hour), nil
	}})
	public := func() *auth.Grant {
		g := liveblocks.PublicGrant(listFormat, "test", "pk_x")
		g.TokenHash = auth.TokenHash{}
		return g
	}
	first, second := h.visits("hall", public()), h.visits("hall", public())
	for _, ev := range first.since(0) {
		if _, ok := ev.(*room.TokenRefreshed); ok {
			t.Error("somebody without a token was given one")
		}
	}
	if err := h.lookup("hall").Remove(first.batch, room.Target{SID: first.p.SID}, room.Removal{}); err != nil {
		t.Fatal(err)
	}
	if first.ended() == nil || second.ended() != nil {
		t.Error("not the one, or the other too")
	}
	if _, err := h.visit("hall", public()); err != nil {
		t.Errorf("another one: %v", err)
	}
	native, err := h.enter(func() *auth.Grant { g := public(); g.Room = "hall"; return g }())
	native.batch.Flush()
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range native.since(0) {
		if _, ok := ev.(*room.TokenRefreshed); ok {
			t.Error("somebody without a token was given one")
		}
	}
}

// Explanations name the level that decides, of those who are there and of others.
func TestExplainLevels(t *testing.T) {
	h := start(t, room.Config{AccessLists: listFormat})
	h.create("hall", auth.AccessList{Default: reader, Users: map[string][]string{"ada": writer}})
	h.visits("hall", idToken("ada"))
	h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
	layers := func(identity string) (names []string) {
		t.Helper()
		_, list, err := h.rooms.Explain("test", "hall", room.Target{Identity: identity})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			if l.At.IsZero() {
				t.Errorf("%s has no time", l.Layer)
			}
			names = append(names, l.Layer)
		}
		return names
	}
	for identity, want := range map[string]string{"ada": "usersAccesses.ada", "bob": "defaultAccesses"} {
		if got := strings.Join(layers(identity), " "); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %s in it", identity, got, want)
		}
	}
	if got := layers("ada"); got[len(got)-1] != auth.Live {
		t.Errorf("the last layer is of %q", got)
	}
}
