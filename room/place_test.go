package room_test

import (
	"errors"
	"testing"

	"usher/auth"
	"usher/room"
)

func unseen(g *auth.Grant) {
	g.Base = append(g.Base, auth.Say{Layer: "token", Allow: auth.Hidden})
}

// audience is somebody in a room with enable_hidden_participants.
func audience(g *auth.Grant) {
	g.Base = append(g.Base, auth.Say{Layer: "room", Allow: auth.Hidden | auth.ReceiveOnlyOwners})
}

// The smallest limit counts, of everybody but hidden people, who would show by it;
// an audience that is hidden as a whole counts. Facts §2.3.
func TestLimitOfARoom(t *testing.T) {
	for name, c := range map[string]struct {
		daily, server int
		there         []*auth.Grant
		next          *auth.Grant
		full          bool
	}{
		"Daily's limit":                        {daily: 1, there: []*auth.Grant{caller("a")}, next: caller("b"), full: true},
		"Daily's limit for LiveKit's":          {daily: 1, there: []*auth.Grant{caller("a")}, next: grant("b"), full: true},
		"the server's is smaller":              {daily: 5, server: 1, there: []*auth.Grant{caller("a")}, next: caller("b"), full: true},
		"Daily's is smaller":                   {daily: 2, server: 1000, there: []*auth.Grant{caller("a"), grant("b")}, next: caller("c"), full: true},
		"not yet":                              {daily: 3, there: []*auth.Grant{caller("a"), grant("b")}, next: caller("c")},
		"hidden of Daily's kind is there":      {daily: 1, there: []*auth.Grant{caller("a", unseen)}, next: caller("b")},
		"hidden of Daily's kind comes":         {daily: 1, there: []*auth.Grant{caller("a")}, next: caller("b", unseen)},
		"a hidden audience":                    {daily: 2, there: []*auth.Grant{caller("a", audience), caller("b", audience)}, next: caller("c", audience), full: true},
		"hidden of LiveKit's kind is there":    {daily: 1, there: []*auth.Grant{grant("a", hidden)}, next: caller("b")},
		"hidden of LiveKit's kind comes":       {daily: 1, there: []*auth.Grant{caller("a")}, next: grant("b", hidden)},
		"no limit":                             {there: []*auth.Grant{caller("a"), caller("b")}, next: caller("c")},
		"who waits takes no place from others": {daily: 2, there: []*auth.Grant{caller("a"), caller("w", knocks)}, next: caller("b")},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{AutoCreate: true, MaxParticipants: c.server})
			h.opens(room.DailySettings{MaxParticipants: c.daily, Private: true, Knocking: true})
			for _, g := range c.there {
				h.comes(g)
			}
			if _, err := h.enter(c.next); (err != nil) != c.full || err != nil && !errors.Is(err, room.ErrFull) {
				t.Errorf("%v", err)
			}
		})
	}
	// Hiding and showing somebody does not lose count.
	h := newHall(t, room.Config{AutoCreate: true})
	h.opens(room.DailySettings{MaxParticipants: 2})
	ada := h.comes(caller("ada"))
	h.join("bob")
	for range 3 {
		for _, s := range []auth.Say{{Allow: auth.Hidden | auth.ReceiveOnlyOwners}, {Deny: auth.Hidden | auth.ReceiveOnlyOwners}} {
			h.flushed(func(b *room.Batch) { must(t, h.room().State(b, map[string]auth.Say{ada.p.SID: s}, nil, "")) })
			if _, err := h.enter(caller("c")); !errors.Is(err, room.ErrFull) {
				t.Errorf("a third one: %v", err)
			}
		}
		h.flushed(func(b *room.Batch) {
			must(t, h.room().State(b, map[string]auth.Say{ada.p.SID: {Allow: auth.Hidden}}, nil, ""))
		})
		h.comes(caller("c")).leave()
		h.flushed(func(b *room.Batch) {
			must(t, h.room().State(b, map[string]auth.Say{ada.p.SID: {Deny: auth.Hidden}}, nil, ""))
		})
	}
	h.update(room.Target{Identity: "bob"}, allow(auth.Hidden)) // he is not counted any more
	h.comes(caller("c")).leave()
	ada.leave()
	h.comes(caller("c"))
	h.comes(caller("d"))
	if _, err := h.enter(caller("e")); !errors.Is(err, room.ErrFull) {
		t.Errorf("one too many: %v", err)
	}
}

// Somebody whose token names nobody is not taken for another one with the same token,
// who is away for a moment; somebody who is named is.
func TestNamelessAreNotReplaced(t *testing.T) {
	h := newHall(t, room.Config{})
	h.opens(room.DailySettings{})
	for identity, replaced := range map[string]bool{"ada": true, auth.AnonymousPrefix + "ada": false} {
		away := h.comes(caller(identity))
		away.p.Disconnected(away.batch, 1, true)
		away.batch.Flush()
		h.comes(caller(identity))
		if _, err := h.room().Participant(room.Target{SID: away.p.SID}); (err != nil) != replaced {
			t.Errorf("%s: %v", identity, err)
		}
	}
}
