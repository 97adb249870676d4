package room_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

func (h *hall) eject(ban bool, targets ...room.Target) (sids []string) {
	h.t.Helper()
	h.flushed(func(b *room.Batch) {
		var err error
		if sids, err = h.room().Eject(b, targets, ban, "backend"); err != nil {
			h.t.Error(err)
		}
	})
	return sids
}

// Ejecting disconnects by sid or by identity, all of a person's participants, and
// leaves the tokens good. Naming nobody is no error. Facts §1.9, §3.
func TestEject(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.opens(room.DailySettings{})
	token := caller("ada")
	ada, ada2, bob, cat, keeper := h.comes(token), h.comes(token), h.comes(caller("bob")), h.comes(caller("cat")), h.join("keeper")
	n := keeper.count()
	got := h.eject(false, room.Target{Identity: "ada"}, room.Target{SID: bob.p.SID}, room.Target{SID: "PA_nobody"}, room.Target{Identity: "nobody"},
		room.Target{SID: ada.p.SID}, room.Target{})
	if want := []string{ada.p.SID, ada2.p.SID, bob.p.SID}; !slices.Equal(got, want) {
		t.Errorf("ejected %v, want %v", got, want)
	}
	for _, m := range []*member{ada, ada2, bob} {
		expectEnd(t, m, room.CauseEjected)
	}
	h.expect(keeper, n, "ParticipantLeft", "ParticipantLeft", "ParticipantLeft")
	if cat.ended() != nil {
		t.Error("cat was ejected, too")
	}
	if _, err := h.resume(last[*room.Snapshot](t, ada), 0); err == nil {
		t.Error("ada resumes")
	}
	h.comes(token)
	if list := h.rooms.Revocations("test", ""); len(list) != 0 {
		t.Errorf("revoked: %v", list)
	}
	// By sid a ban is one of the token that it has shown.
	shown := caller("dan")
	dan := h.comes(shown)
	h.eject(true, room.Target{SID: dan.p.SID})
	expectEnd(t, dan, room.CauseEjected)
	if _, err := h.enter(shown); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("by the token of a banned sid: %v", err)
	}
	h.comes(caller("dan"))
}

// A ban holds against every token of the identities named, there or not, while the
// room's life goes on, and against those that they had until then also after it, and
// after a restart. Facts §1.9, §3.
func TestBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := room.Config{AutoCreate: true, Store: store.NewMemory(), DepartureTimeout: time.Second}
		h := start(t, cfg)
		h.opens(private)
		keeper := h.join("keeper")
		first, signed := caller("ada"), caller("absent", issued(time.Now()))
		ada, waiting := h.comes(first), h.waits(caller("ada", knocks))
		bob := h.comes(caller("bob"))
		early := caller("ada", func(g *auth.Grant) { g.Issued = time.Now().Add(10 * time.Second) })
		h.comes(early)
		h.eject(true, room.Target{Identity: "ada"}, room.Target{Identity: "absent"}, room.Target{SID: bob.p.SID})
		expectEnd(t, ada, room.CauseEjected)
		expectEnd(t, waiting, room.CauseEjected)
		expectEnd(t, bob, room.CauseEjected)
		time.Sleep(20 * time.Second)
		for what, g := range map[string]*auth.Grant{
			"the token it had": first, "a new one": caller("ada"), "one of LiveKit's": grant("ada", issued(time.Now())),
			"one who was not there": caller("absent"), "to wait": caller("ada", knocks), "an early one": early,
		} {
			if _, err := h.enter(g); !errors.Is(err, room.ErrBanned) {
				t.Errorf("%s: %v", what, err)
			}
		}
		h.comes(caller("bob")).leave() // by sid it is no ban
		if err := h.move("keeper", "hall", "stage"); err != nil {
			t.Fatal(err)
		}
		h.join("ada", toRoom("stage"), issued(time.Now()))
		if err := h.move("ada", "stage", "hall"); !errors.Is(err, room.ErrBanned) {
			t.Errorf("a move back: %v", err)
		}
		h.stop()
		h = start(t, cfg)
		_ = keeper
		for what, c := range map[string]struct {
			g    *auth.Grant
			want error
		}{"the token it had": {first, room.ErrRevoked}, "an early one": {early, room.ErrRevoked}, "the one of the absent": {signed, room.ErrRevoked},
			"a new one": {caller("ada"), nil}} {
			if _, err := h.enter(c.g); !errors.Is(err, c.want) {
				t.Errorf("after a restart, %s: %v, want %v", what, err, c.want)
			}
		}
	})
}

// With one of Daily's tokens a moderator who is no owner may do nothing to owners;
// owners may, and moderators of LiveKit's kind. Facts §4.
func TestModeratorsAndOwners(t *testing.T) {
	audio := room.Track{Kind: room.Audio, Source: auth.Microphone}
	no := auth.Say{Deny: auth.SendCamera}
	for what, act := range map[string]func(m *member, who *member) error{
		"update": func(m, who *member) error {
			return m.p.UpdateParticipant(m.quiet(), room.Target{SID: who.p.SID}, room.Change{Permission: &no})
		},
		"update name": func(m, who *member) error {
			return m.p.UpdateParticipant(m.quiet(), room.Target{Identity: who.p.Identity}, room.Change{Name: new("x")})
		},
		"remove": func(m, who *member) error {
			return m.p.RemoveParticipant(m.quiet(), room.Target{Identity: who.p.Identity})
		},
		"eject": func(m, who *member) error { return m.p.EjectParticipant(m.quiet(), room.Target{SID: who.p.SID}, false) },
		"ban": func(m, who *member) error {
			return m.p.EjectParticipant(m.quiet(), room.Target{Identity: who.p.Identity}, true)
		},
		"state": func(m, who *member) error {
			return m.p.StatePermissions(m.quiet(), map[string]auth.Say{who.p.SID: no}, nil)
		},
		"mute": func(m, who *member) error {
			info, err := m.hall.room().Participant(room.Target{SID: who.p.SID})
			if err != nil {
				return err
			}
			return m.p.MuteTrack(m.quiet(), info.Tracks[0].SID, true)
		},
	} {
		for name, c := range map[string]struct {
			by, to  *auth.Grant
			allowed bool
		}{
			"an admin to an owner":                 {caller("by", admin), caller("to", owner), false},
			"an admin to an admin":                 {caller("by", admin), caller("to", admin), true},
			"an admin to a LiveKit moderator":      {caller("by", admin), grant("to", moderator), true},
			"an owner to an owner":                 {caller("by", owner), caller("to", owner), true},
			"a LiveKit moderator to an owner":      {grant("by", moderator), caller("to", owner), true},
			"somebody with no right to anybody":    {caller("by"), caller("to"), false},
			"somebody with no right to somebody 2": {grant("by"), caller("to"), false},
		} {
			t.Run(what+"/"+name, func(t *testing.T) {
				h := newHall(t, room.Config{AutoCreate: true})
				h.opens(room.DailySettings{})
				by, to := h.comes(c.by), h.comes(c.to)
				must(t, to.p.PublishTrack(to.call(1), audio))
				to.batch.Flush()
				before, err := h.room().Participant(room.Target{SID: to.p.SID})
				must(t, err)
				err = act(by, to)
				if c.allowed != (err == nil) || err != nil && !errors.Is(err, room.ErrNotAllowed) {
					t.Errorf("%v", err)
				}
				by.batch.Flush()
				after, err := h.room().Participant(room.Target{SID: to.p.SID})
				if changed := err != nil || after.Version != before.Version; changed != c.allowed {
					t.Errorf("changed: %t", changed)
				}
			})
		}
	}
}

func moderator(g *auth.Grant) { g.Base[0].Allow |= auth.ModerateParticipants }

func (m *member) quiet() room.Call {
	c := m.call(0)
	c.Quiet = true
	return c
}

// Who moderates from inside and is no owner bans only whom it sees: that somebody who
// is not there is no owner is not known.
func TestBanFromInside(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.opens(room.DailySettings{})
	deputy, host := h.comes(caller("deputy", admin)), h.comes(caller("host", owner))
	if err := deputy.p.EjectParticipant(deputy.quiet(), room.Target{Identity: "boss"}, true); !errors.Is(err, room.ErrNoParticipant) {
		t.Errorf("by an admin: %v", err)
	}
	must(t, host.p.EjectParticipant(host.quiet(), room.Target{Identity: "eve"}, true))
	if err := host.p.EjectParticipant(host.quiet(), room.Target{Identity: "nobody"}, false); !errors.Is(err, room.ErrNoParticipant) {
		t.Errorf("without a ban: %v", err)
	}
	if _, err := h.enter(caller("eve")); !errors.Is(err, room.ErrBanned) {
		t.Errorf("eve: %v", err)
	}
	h.comes(caller("boss"))
}

// In rooms that say so a person's last page stays, of Daily's kind; elsewhere all do.
// Facts §2.3 enforce_unique_user_ids.
func TestUniqueUsers(t *testing.T) {
	for _, unique := range []bool{false, true} {
		h := newHall(t, room.Config{AutoCreate: true})
		h.opens(room.DailySettings{UniqueUsers: unique, MaxParticipants: 3})
		guest, ada := h.join("ada"), h.comes(caller("ada"))
		h.comes(caller("ada"))
		if replaced := ada.ended() != nil; replaced != unique {
			t.Errorf("unique=%t: the first was replaced: %t", unique, replaced)
		}
		if guest.ended() != nil {
			t.Error("a page with another kind of token was replaced")
		}
		same := func(g *auth.Grant) { g.Identity = auth.AnonymousPrefix + "x" }
		h.eject(false, room.Target{Identity: "ada"})
		first := h.comes(caller("", same))
		if h.comes(caller("", same)); first.ended() != nil {
			t.Errorf("unique=%t: somebody without an identity was replaced", unique)
		}
	}
}

// Statements about single participants and about the rest, in one step: owners are
// passed over unless they are named, nobody becomes one, each of those concerned is
// told once and gets one token. Facts §3 update-permissions, §4.
func TestState(t *testing.T) {
	for _, people := range []int{3, 45} { // where changes are told apart, and where they are one event
		t.Run(fmt.Sprint(people), func(t *testing.T) {
			signer := new(tokens)
			watch := newWatcher()
			h := newHall(t, room.Config{AutoCreate: true, Refresh: signer.sign, Observer: watch})
			h.opens(room.DailySettings{})
			host, boss := h.comes(caller("host", owner)), h.comes(caller("boss", owner))
			token := caller("ada")
			ada, twin := h.comes(token), h.comes(caller("ada"))
			var rest []*member
			for i := range people {
				rest = append(rest, h.comes(caller(fmt.Sprint("guest", i))))
			}
			rest = append(rest, h.join("livekit"))
			all := append([]*member{host, boss, ada, twin}, rest...)
			counts := make(map[*member]int)
			settle := func() {
				h.flushed(func(b *room.Batch) { must(t, h.room().Send(b, says("what is pending is told"), "")) })
				for _, m := range all {
					counts[m] = m.count()
				}
			}
			settle()
			h.flushed(func(b *room.Batch) {
				must(t, h.room().State(b, map[string]auth.Say{
					ada.p.SID:   {Allow: auth.ModerateParticipants | auth.Owner, Deny: auth.SendCamera},
					boss.p.SID:  {Deny: auth.SendScreenShare},
					"PA_nobody": {Deny: auth.SendData},
				}, &auth.Say{Deny: auth.SendMicrophone | auth.Owner}, "backend"))
			})
			permission := func(m *member) auth.Permission {
				info, err := h.room().Participant(room.Target{SID: m.p.SID})
				must(t, err)
				return info.Permission
			}
			if p := permission(ada); !p.Allows(auth.ModerateParticipants|auth.SendMicrophone) || p.Rights.Any(auth.SendCamera|auth.Owner) {
				t.Errorf("ada may %b", p.Rights)
			}
			if p := permission(boss); !p.Allows(auth.Owner|auth.SendMicrophone) || p.Allows(auth.SendScreenShare) {
				t.Errorf("an owner who is named may %b", p.Rights)
			}
			if p := permission(host); !p.Allows(auth.Owner | auth.SendMicrophone) {
				t.Errorf("an owner who is not named may %b", p.Rights)
			}
			for _, m := range append([]*member{twin}, rest...) {
				if permission(m).Allows(auth.SendMicrophone) || !permission(m).Allows(auth.SendCamera) {
					t.Errorf("%s may %b", m.p.Identity, permission(m).Rights)
				}
			}
			for _, m := range all {
				told, tokens := make(map[string]int), 0
				var see func(room.Event)
				see = func(e room.Event) {
					switch e := e.(type) {
					case *room.ParticipantUpdated:
						if e.Changed != room.ChangedPermission {
							t.Errorf("changed: %b", e.Changed)
						}
						told[e.Participant.SID]++
					case *room.Changes:
						for _, c := range e.Changes {
							see(c)
						}
					case *room.TokenRefreshed:
						tokens++
					}
				}
				for _, e := range m.since(counts[m]) {
					see(e)
				}
				for _, q := range all {
					want := 1
					if q == host {
						want = 0
					}
					if told[q.p.SID] != want {
						t.Errorf("%s was told %d times of %s", m.p.Identity, told[q.p.SID], q.p.Identity)
					}
				}
				want := 1
				if m == host {
					want = 0
				}
				if tokens != want {
					t.Errorf("%s got %d tokens", m.p.Identity, tokens)
				}
			}
			// It sticks to the session, through a refreshed token, and not to the person.
			if now := signer.newest(t, ada); now.Permission.Allows(auth.SendCamera) {
				t.Error("the token gives the right back")
			}
			ada.leave()
			if p := permission(h.comes(token)); p.Rights.Any(auth.SendCamera|auth.ModerateParticipants) || !p.Allows(auth.SendMicrophone) {
				t.Error("by the token that it came with it has not what is left of that")
			}
			refreshed := again(token, signer.newest(t, ada))
			if p := permission(h.comes(refreshed)); p.Allows(auth.SendCamera) || !p.Allows(auth.ModerateParticipants) {
				t.Error("by its refreshed token it is not what it was")
			}
			if p := permission(h.comes(caller("ada"))); !p.Allows(auth.SendCamera) || p.Allows(auth.ModerateParticipants) {
				t.Error("a token that was signed anew does not start anew")
			}
			if p := permission(h.comes(caller("bob"))); !p.Allows(auth.SendMicrophone) {
				t.Error("what was said of everybody holds for who comes later")
			}
			h.update(room.Target{Identity: "ada"}, allow(auth.SendCamera)) // of the person: it is later
			for g, moderates := range map[*auth.Grant]bool{token: false, refreshed: true} {
				if p := permission(h.comes(g)); !p.Allows(auth.SendCamera) || p.Allows(auth.ModerateParticipants) != moderates {
					t.Error("what is said of the person later does not hold, or more than that")
				}
			}
			settle()
			h.flushed(func(b *room.Batch) { must(t, h.room().State(b, nil, &auth.Say{Deny: auth.SendMicrophone}, "")) })
			if n := len(host.since(counts[host])); n > 6 {
				t.Errorf("the host was told %d things", n)
			}
			h.flushed(func(b *room.Batch) { must(t, h.room().Delete(b)) })
			watch.check(t)
		})
	}
}

// When no more identities can be banned, whoever is named is put out still, and its
// tokens are revoked; those banned can be banned again.
func TestBansAreBounded(t *testing.T) {
	h := newHall(t, room.Config{})
	h.opens(room.DailySettings{})
	host := h.comes(caller("host", owner))
	var targets []room.Target
	for i := range room.MaxBanned - 1 {
		targets = append(targets, room.Target{Identity: fmt.Sprint("n", i)})
	}
	h.eject(true, targets...)
	h.eject(true, room.Target{Identity: "ada"})
	h.eject(true, targets[0], targets[1])
	first := caller("bob")
	bob := h.comes(first)
	h.flushed(func(b *room.Batch) {
		sids, err := h.room().Eject(b, []room.Target{targets[0], {Identity: "bob"}}, true, "")
		var limit *room.LimitError
		if !errors.As(err, &limit) || len(sids) != 1 {
			t.Errorf("got %v, %v", sids, err)
		}
	})
	expectEnd(t, bob, room.CauseEjected)
	if err := h.turnedAway("hall", first); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("by the token it had: %v", err)
	}
	h.comes(caller("bob", issued(time.Now().Add(time.Minute)))).leave()
	eve := h.comes(caller("eve"))
	var limit *room.LimitError
	if err := host.p.EjectParticipant(host.quiet(), room.Target{Identity: "eve"}, true); !errors.As(err, &limit) {
		t.Errorf("from inside: %v", err)
	}
	host.batch.Flush()
	expectEnd(t, eve, room.CauseEjected)
}

// The identity of a token without a name is always the same one: a ban of it lasts
// when nobody is there by it. Of somebody without a token there is nothing to revoke.
func TestBanOfTheNameless(t *testing.T) {
	cfg := room.Config{Store: store.NewMemory()}
	h := start(t, cfg)
	h.opens(room.DailySettings{})
	h.comes(caller("host", owner))
	nameless, nobody := caller(auth.AnonymousPrefix+"HASH"), stranger()
	h.comes(nameless).leave()
	h.comes(nobody)
	h.eject(true, room.Target{Identity: nameless.Identity}, room.Target{Identity: nobody.Identity})
	if list := h.rooms.Revocations("test", "hall"); len(list) != 1 || list[0].Identity != nameless.Identity {
		t.Errorf("revoked: %v", list)
	}
	h.stop()
	h = start(t, cfg)
	if err := h.turnedAway("hall", nameless); !errors.Is(err, room.ErrRevoked) {
		t.Errorf("after a restart: %v", err)
	}
}

// Whoever is put out of a room whose life ends at that moment is put out of the next.
func TestEjectReachesTheNextLife(t *testing.T) {
	h := newHall(t, room.Config{})
	h.opens(room.DailySettings{})
	h.comes(caller("ada"))
	r := h.room()
	h.flushed(func(b *room.Batch) { must(t, r.Delete(b)) })
	for _, ban := range []bool{false, true} {
		ada := h.comes(caller("ada"))
		h.flushed(func(b *room.Batch) {
			if sids, err := r.Eject(b, []room.Target{{Identity: "ada"}}, ban, ""); err != nil || len(sids) != 1 {
				t.Errorf("ban %v: got %v, %v", ban, sids, err)
			}
		})
		expectEnd(t, ada, room.CauseEjected)
	}
	if err := h.turnedAway("hall", caller("ada")); !errors.Is(err, room.ErrBanned) {
		t.Errorf("the ban: %v", err)
	}
}

// Whom one receives from is decided track by track, on the side of who receives, and
// changes at once with what is said of that: the more particular first. Facts §4
// canReceive.
func TestReceiving(t *testing.T) {
	const cameras, all = auth.ReceiveCamera, auth.ReceiveTracks
	type rules = map[string]auth.Rights
	for name, c := range map[string]struct {
		says []auth.Say                  // one after the other
		want func(ada, bob string) rules // by identity: what ada receives; zero: nothing
	}{
		"all":                  {nil, func(_, _ string) rules { return rules{"bob": all, "host": all} }},
		"base: none":           {[]auth.Say{{Deny: all}}, func(_, _ string) rules { return rules{} }},
		"base: cameras":        {[]auth.Say{{Deny: all &^ cameras}}, func(_, _ string) rules { return rules{"bob": cameras, "host": cameras} }},
		"none but bob's":       {[]auth.Say{{Deny: all, ReceiveFromIdentity: rules{"bob": all}}}, func(_, _ string) rules { return rules{"bob": all} }},
		"none of bob's":        {[]auth.Say{{ReceiveFromIdentity: rules{"bob": 0}}}, func(_, _ string) rules { return rules{"host": all} }},
		"bob's cameras":        {[]auth.Say{{ReceiveFromIdentity: rules{"bob": cameras}}}, func(_, _ string) rules { return rules{"bob": cameras, "host": all} }},
		"none of all others's": {[]auth.Say{{ReceiveFromIdentity: rules{"*": 0, "bob": all}}}, func(_, _ string) rules { return rules{"bob": all} }},
		"by participant, which comes first": {[]auth.Say{{ReceiveFromIdentity: rules{"bob": all}, ReceiveFromParticipant: rules{"BOB": 0}}},
			func(_, _ string) rules { return rules{"host": all} }},
		"replaced, and what is not named stays": {[]auth.Say{{ReceiveFromIdentity: rules{"bob": 0}, ReceiveFromParticipant: rules{"HOST": 0}},
			{ReceiveFromIdentity: rules{}, AllFromIdentity: true}}, func(_, _ string) rules { return rules{"bob": all} }},
		"only owners":         {[]auth.Say{{Allow: auth.ReceiveOnlyOwners}}, func(_, _ string) rules { return rules{"host": all} }},
		"only owners and bob": {[]auth.Say{{Allow: auth.ReceiveOnlyOwners, ReceiveFromIdentity: rules{"bob": cameras}}}, func(_, _ string) rules { return rules{"bob": cameras, "host": all} }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{AutoCreate: true})
			h.opens(room.DailySettings{})
			ada, bob, host := h.comes(caller("ada")), h.comes(caller("bob")), h.comes(caller("host", owner))
			names := map[string]string{"BOB": bob.p.SID, "HOST": host.p.SID}
			var id uint64
			publish := func(m *member) {
				for kind, s := range map[auth.Source]room.TrackKind{auth.Camera: room.Video, auth.Microphone: room.Audio} {
					id++
					must(t, m.p.PublishTrack(m.call(id), room.Track{Kind: s, Source: kind}))
					m.batch.Flush()
				}
			}
			publish(bob)
			publish(host)
			for _, s := range c.says {
				s.ReceiveFromParticipant = renamed(s.ReceiveFromParticipant, names)
				h.flushed(func(b *room.Batch) { must(t, h.room().State(b, map[string]auth.Say{ada.p.SID: s}, nil, "")) })
			}
			check := func(when string) {
				t.Helper()
				got := make(rules)
				whose := make(map[string]string)
				for _, i := range h.room().Participants() {
					for _, track := range i.Tracks {
						whose[track.SID] = i.Identity
					}
				}
				for _, e := range ada.since(0) {
					switch e := e.(type) {
					case *room.TrackSubscribed:
						got[whose[e.Track.SID]] |= e.Track.Source.Receive()
					case *room.TrackUnsubscribed:
						for _, i := range h.room().Participants() {
							for _, track := range i.Tracks {
								if track.SID == e.TrackSID {
									got[i.Identity] &^= track.Source.Receive()
								}
							}
						}
					case *room.TrackUnpublished:
						delete(got, whose[e.TrackSID])
					}
				}
				want := c.want(ada.p.SID, bob.p.SID)
				for _, who := range []string{"bob", "host"} {
					if got, want := got[who], want[who]&(auth.ReceiveCamera|auth.ReceiveMicrophone); got != want {
						t.Errorf("%s: of %s it receives %b, want %b", when, who, got, want)
					}
				}
			}
			check("with tracks that were there")
			for _, m := range []*member{bob, host} {
				info, err := h.room().Participant(room.Target{SID: m.p.SID})
				must(t, err)
				for _, track := range info.Tracks {
					must(t, m.p.UnpublishTrack(m.call(0), track.SID))
				}
				m.batch.Flush()
				publish(m)
			}
			check("with tracks that came later")
		})
	}
}

func renamed(rules map[string]auth.Rights, names map[string]string) map[string]auth.Rights {
	if rules == nil {
		return nil
	}
	next := make(map[string]auth.Rights, len(rules))
	for who, rights := range rules {
		if name, ok := names[who]; ok {
			who = name
		}
		next[who] = rights
	}
	return next
}

// Somebody who becomes an owner, or is one no more, is received accordingly at once by
// those who only receive owners.
func TestOwnersChange(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.opens(room.DailySettings{})
	ada := h.comes(caller("ada", func(g *auth.Grant) { g.Base = []auth.Say{{Layer: "token", Allow: auth.ReceiveOnlyOwners}} }))
	bob := h.join("bob")
	must(t, bob.p.PublishTrack(bob.call(1), room.Track{Kind: room.Video, Source: auth.Camera}))
	bob.batch.Flush()
	n := ada.count()
	h.update(room.Target{Identity: "bob"}, allow(auth.Owner))
	h.expect(ada, n, "ParticipantUpdated", "TrackSubscribed")
	n = ada.count()
	h.update(room.Target{Identity: "bob"}, deny(auth.Owner))
	h.expect(ada, n, "ParticipantUpdated", "TrackUnsubscribed")
}
