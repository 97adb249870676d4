package room_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
)

// What is said of one who came by a token that many have is not said of the others.
// What it was allowed goes only with the tokens that its own session was given; what
// was taken from it stays taken, by whatever token of a person with a name.
func TestSaidOfOneIsNotSaidOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		token *auth.Grant
		named bool
	}{
		"of a person":     {caller("ada"), true},
		"without a name":  {caller(auth.AnonymousPrefix + "HASH"), false},
		"without a token": {stranger(), false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{Refresh: new(tokens).sign})
			h.opens(room.DailySettings{})
			state := func(m *member, say auth.Say) {
				h.flushed(func(b *room.Batch) { must(t, h.room().State(b, map[string]auth.Say{m.p.SID: say}, nil, "")) })
			}
			// check looks at somebody who comes now.
			check := func(what string, g *auth.Grant, moderates, sends bool) *member {
				t.Helper()
				m := h.comes(g)
				p := last[*room.Snapshot](t, m).Self.Permission
				if p.Allows(auth.ModerateParticipants) != moderates || p.Allows(auth.SendMicrophone) != sends {
					t.Errorf("%s: moderates %v, sends %v", what, p.Allows(auth.ModerateParticipants), p.Allows(auth.SendMicrophone))
				}
				return m
			}
			one := h.comes(c.token)
			state(one, auth.Say{Allow: auth.ModerateParticipants, Deny: auth.SendMicrophone, ReceiveFromIdentity: map[string]auth.Rights{"bob": 0}})
			check("the next by the token", c.token, false, !c.named).leave()
			if c.token.Claims == nil {
				if n := room.Remembered(h.room()); n != 0 {
					t.Errorf("remembers %d", n)
				}
				return
			}
			refreshed := again(c.token, auth.Current{Session: one.p.SID})
			second := check("by its refreshed token", refreshed, true, false)
			if p := last[*room.Snapshot](t, second).Self.Permission; p.Receives(auth.Camera, "bob", "PA_b", true) {
				t.Error("bob is received again")
			}
			third := check("by that one's", again(refreshed, auth.Current{Session: second.p.SID}), true, false)
			state(third, auth.Say{Deny: auth.ModerateParticipants, Allow: auth.SendMicrophone})
			check("by the first again", refreshed, false, true).leave()
			check("by the token again", c.token, false, true).leave()
			state(one, auth.Say{Allow: auth.ModerateParticipants})
			if g := again(caller(c.token.Identity), auth.Current{Session: "PA_other"}); c.named {
				check("another token's session", g, false, true).leave()
			}
		})
	}
}

// A denial holds though the room gives the right only afterwards.
func TestSaidDenialsOutlastEdits(t *testing.T) {
	h := newHall(t, room.Config{})
	h.opens(room.DailySettings{Permissions: auth.Say{Layer: "room", Deny: auth.SendCamera}})
	token := caller("ada")
	first := h.comes(token)
	h.flushed(func(b *room.Batch) {
		must(t, h.room().State(b, map[string]auth.Say{first.p.SID: {Allow: auth.Hidden, Deny: auth.SendCamera}}, nil, ""))
	})
	first.leaveIf()
	h.comes(caller("keeper"))
	second := h.comes(token)
	h.set("hall", permits(auth.Say{}))
	info, err := h.room().Participant(room.Target{SID: second.p.SID})
	must(t, err)
	if info.Permission.Allows(auth.SendCamera) || !info.Permission.Hidden() {
		t.Errorf("what was denied is given: %+v", info.Permission)
	}
}

// When too much is to be remembered that goes of which nothing was said for the
// longest. How long the token of one holds, and whether there were refreshed ones, does
// not matter, and people without a token take no place.
func TestSaidIsBounded(t *testing.T) {
	room.RememberAtMost(t, 10)
	h := newHall(t, room.Config{})
	h.opens(room.DailySettings{})
	h.comes(caller("host", owner))
	deny := func(g *auth.Grant) {
		m := h.comes(g)
		h.flushed(func(b *room.Batch) {
			must(t, h.room().State(b, map[string]auth.Say{m.p.SID: {Deny: auth.SendMicrophone}}, nil, ""))
		})
		m.leave()
	}
	var people []*auth.Grant
	for i := range 15 {
		g := caller(fmt.Sprint("n", i), expires(time.Now().Add(time.Hour)))
		if i%2 == 0 {
			g = again(g, auth.Current{Session: fmt.Sprint("PA_", i)})
		}
		people = append(people, g)
		deny(g)
		if i == 8 {
			deny(people[0]) // it is the latest again
		}
		deny(stranger())
	}
	if n := room.Remembered(h.room()); n != 10 {
		t.Errorf("remembers %d", n)
	}
	for i, g := range people {
		m := h.comes(g)
		want := i == 0 || i > 5
		if got := !last[*room.Snapshot](t, m).Self.Permission.Allows(auth.SendMicrophone); got != want {
			t.Errorf("of %s it is remembered: %v", g.Identity, got)
		}
		m.leave()
	}
}

// What is said of a room's people is forgotten with its life.
func TestSaidEndsWithTheLife(t *testing.T) {
	h := newHall(t, room.Config{})
	h.opens(room.DailySettings{})
	token := caller("ada")
	ada := h.comes(token)
	h.flushed(func(b *room.Batch) {
		must(t, h.room().State(b, map[string]auth.Say{ada.p.SID: {Deny: auth.SendMicrophone}}, nil, ""))
	})
	r := h.room()
	h.flushed(func(b *room.Batch) { must(t, r.Delete(b)) })
	if n := room.Remembered(r); n != 0 {
		t.Errorf("remembers %d", n)
	}
	if p := last[*room.Snapshot](t, h.comes(token)).Self.Permission; !p.Allows(auth.SendMicrophone) {
		t.Error("it holds in the next life")
	}
}

// One figure for what a permission may name of others: of tokens, rooms and what is
// stated live, of which the sum counts. Nothing is stated when it is too much.
func TestExceptionsAreBounded(t *testing.T) {
	if room.MaxExceptions != daily.MaxExceptions {
		t.Errorf("a token may name %d, others %d", daily.MaxExceptions, room.MaxExceptions)
	}
	some := func(from, to int) map[string]auth.Rights {
		m := make(map[string]auth.Rights)
		for i := from; i < to; i++ {
			m[fmt.Sprint("n", i)] = 0
		}
		return m
	}
	limited := func(what string, err error) {
		t.Helper()
		var limit *room.LimitError
		if !errors.As(err, &limit) || limit.Limit != room.MaxExceptions {
			t.Errorf("%s: %v", what, err)
		}
	}
	h := newHall(t, room.Config{})
	full, over := some(0, room.MaxExceptions), some(0, room.MaxExceptions+1)
	b := h.rooms.Batch()
	defer b.Flush()
	for _, say := range []auth.Say{{ReceiveFromIdentity: over}, {ReceiveFromParticipant: over}} {
		_, _, err := h.rooms.CreateDaily(b, "test", []string{"other"}, []room.DailySettings{{Permissions: say}})
		limited("making a room", err)
	}
	h.opens(room.DailySettings{})
	_, err := h.setting("hall", permits(auth.Say{ReceiveFromParticipant: over}))
	limited("an edit", err)
	ada, bob := h.comes(caller("ada")), h.comes(caller("bob"))
	host := h.comes(caller("host", owner))
	must(t, h.room().State(b, map[string]auth.Say{ada.p.SID: {ReceiveFromIdentity: full, ReceiveFromParticipant: full}}, nil, ""))
	more := auth.Say{Deny: auth.SendCamera, ReceiveFromIdentity: some(room.MaxExceptions, room.MaxExceptions+1)}
	limited("stated twice", h.room().State(b, map[string]auth.Say{ada.p.SID: more}, nil, ""))
	limited("of everybody", h.room().State(b, nil, &more, ""))
	limited("from inside", host.p.StatePermissions(host.quiet(), nil, &more))
	for _, to := range []room.Target{{SID: ada.p.SID}} {
		_, err := h.room().Update(b, to, room.Change{Permission: &more})
		limited("an update", err)
	}
	_, err = h.room().Update(b, room.Target{Identity: "bob"}, room.Change{Permission: &auth.Say{Layer: auth.Live, ReceiveFromIdentity: full}})
	must(t, err)
	_, err = h.room().Update(b, room.Target{Identity: "bob"}, room.Change{Permission: &more})
	limited("two updates", err)
	for _, m := range []*member{ada, bob} {
		info, err := h.room().Participant(room.Target{SID: m.p.SID})
		must(t, err)
		if !info.Permission.Allows(auth.SendCamera) || len(info.Permission.ReceiveFromIdentity) != room.MaxExceptions {
			t.Errorf("%s was concerned all the same", m.p.Identity)
		}
	}
	must(t, h.room().State(b, nil, &auth.Say{Deny: auth.SendCamera}, "")) // names nobody
	must(t, h.room().State(b, map[string]auth.Say{ada.p.SID: {ReceiveFromIdentity: some(0, 1), AllFromIdentity: true}}, nil, ""))
}

// A statement that a refreshed token could not tell is refused, of all whom it
// concerns; one that names nobody never is.
func TestStatementsFitTokens(t *testing.T) {
	signs := func(_ *auth.Grant, now auth.Current) (string, time.Time, error) {
		if len(now.Metadata)+8*len(now.Permission.ReceiveFromIdentity) > 1000 {
			return "", time.Time{}, auth.ErrTooLarge
		}
		return "token", time.Now().Add(time.Minute), nil
	}
	h := newHall(t, room.Config{Refresh: signs})
	h.opens(room.DailySettings{})
	host := h.comes(caller("host", owner))
	for i := range 10 {
		h.comes(caller(fmt.Sprint("n", i)))
	}
	long := h.comes(caller("long", func(g *auth.Grant) { g.Metadata = string(make([]byte, 999)) }))
	b := h.rooms.Batch()
	defer b.Flush()
	say := auth.Say{Deny: auth.SendCamera, ReceiveFromIdentity: map[string]auth.Rights{"bob": 0}}
	for what, err := range map[string]error{"an API": h.room().State(b, nil, &say, ""), "a moderator": host.p.StatePermissions(host.quiet(), nil, &say)} {
		var limit *room.LimitError
		if !errors.As(err, &limit) || limit.Unit != "token_bytes" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, i := range h.room().Participants() {
		if !i.Permission.Allows(auth.SendCamera) {
			t.Errorf("%s was concerned all the same", i.Identity)
		}
	}
	must(t, h.room().State(b, map[string]auth.Say{long.p.SID: {Deny: auth.SendCamera}}, nil, ""))
}

// What is said so that somebody may do no more than the stricter of two permissions
// leaves nothing that one of them does not permit, of any publisher.
func TestLesserIsNeverMore(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	some := func() auth.Permission {
		p := auth.Permission{Rights: auth.Rights(r.Uint64()) & auth.AllRights}
		exceptions := func(keys ...string) map[string]auth.Rights {
			m := map[string]auth.Rights{}
			for _, k := range keys {
				if r.IntN(2) == 0 {
					m[k] = auth.Rights(r.Uint64()) & auth.ReceiveTracks
				}
			}
			return m
		}
		if r.IntN(2) == 0 {
			p.ReceiveFromIdentity = exceptions("a", "b", auth.Everybody)
		}
		if r.IntN(2) == 0 {
			p.ReceiveFromParticipant = exceptions("S1", "S2", auth.Everybody)
		}
		return p
	}
	more := func(than, p auth.Permission) string {
		const narrows = auth.Hidden | auth.ReceiveOnlyOwners
		if x := p.Rights &^ than.Rights &^ narrows &^ auth.ReceiveTracks; x != 0 {
			return fmt.Sprint(x.Names())
		}
		if than.Hidden() && !p.Hidden() {
			return "is shown"
		}
		for _, identity := range []string{"a", "b", "c"} {
			for _, sid := range []string{"S1", "S2", "S3"} {
				for _, owner := range []bool{false, true} {
					for s := auth.NoSource; s <= auth.CustomAudio; s++ {
						if p.Receives(s, identity, sid, owner) && !than.Receives(s, identity, sid, owner) {
							return fmt.Sprintf("receives %q of %s, %s, owner %v", s, identity, sid, owner)
						}
					}
				}
			}
		}
		return ""
	}
	for range 20_000 {
		p, q := some(), some()
		got := auth.Resolve(auth.Say{Allow: p.Rights, ReceiveFromIdentity: p.ReceiveFromIdentity, ReceiveFromParticipant: p.ReceiveFromParticipant}, room.Lesser(p, q))
		for _, than := range []auth.Permission{p, q} {
			if what := more(than, got); what != "" {
				t.Fatalf("%s\nmore than %+v\nof %+v\nand %+v\ngot %+v", what, than, p, q, got)
			}
		}
	}
}
