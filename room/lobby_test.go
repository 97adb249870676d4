package room_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
)

// waits joins as somebody who has to wait.
func (h *hall) waits(g *auth.Grant) *member {
	h.t.Helper()
	m := h.comes(g)
	if !m.p.IsWaiting() {
		h.t.Fatalf("%s does not wait", g.Identity)
	}
	h.expect(m, 0, "Waiting")
	return m
}

func (h *hall) answer(admit bool, who ...*member) {
	h.t.Helper()
	var sids []string
	for _, m := range who {
		sids = append(sids, m.p.SID)
	}
	h.flushed(func(b *room.Batch) {
		if _, err := h.room().AnswerWaiting(b, sids, admit); err != nil {
			h.t.Error(err)
		}
	})
}

func (h *hall) waiting() (identities []string) {
	for _, i := range h.room().Waiting() {
		identities = append(identities, i.Identity)
	}
	return identities
}

var private = room.DailySettings{Private: true, Knocking: true}

// Who waits, who comes in, and who is refused: §2.3 enable_knocking, §4 lobby, §1.7.1.
func TestDoor(t *testing.T) {
	hour := time.Hour
	for name, c := range map[string]struct {
		room  func(*room.DailySettings)
		grant *auth.Grant
		waits bool
		err   error
	}{
		"nobody's token, public":                {grant: stranger()},
		"nobody's token, private":               {room: func(s *room.DailySettings) { s.Private = true }, grant: stranger(), err: room.ErrNotAllowed},
		"nobody's token, private with knocking": {room: func(s *room.DailySettings) { s.Private, s.Knocking = true, true }, grant: stranger(), waits: true},
		"a token, private":                      {room: func(s *room.DailySettings) { s.Private = true }, grant: caller("ada")},
		"a token, private with knocking":        {room: func(s *room.DailySettings) { s.Private, s.Knocking = true, true }, grant: caller("ada")},
		"a knocking token":                      {room: func(s *room.DailySettings) { s.Private, s.Knocking = true, true }, grant: caller("ada", knocks), waits: true},
		"a knocking token, no knocking":         {room: func(s *room.DailySettings) { s.Private = true }, grant: caller("ada", knocks)},
		"a knocking owner":                      {room: func(s *room.DailySettings) { s.Private, s.Knocking = true, true }, grant: caller("ada", knocks, owner)},
		"a LiveKit token":                       {room: func(s *room.DailySettings) { s.Private, s.Knocking = true, true }, grant: grant("ada")},
		"too early":                             {room: func(s *room.DailySettings) { s.NotBefore = time.Now().Add(hour) }, grant: caller("ada"), err: room.ErrRoomNotOpen},
		"too early, as an owner":                {room: func(s *room.DailySettings) { s.NotBefore = time.Now().Add(hour) }, grant: caller("ada", owner), err: room.ErrRoomNotOpen},
		"too early, to wait":                    {room: func(s *room.DailySettings) { s.Private, s.Knocking, s.NotBefore = true, true, time.Now().Add(hour) }, grant: stranger(), err: room.ErrRoomNotOpen},
		"too early for Daily, with LiveKit's":   {room: func(s *room.DailySettings) { s.NotBefore = time.Now().Add(hour) }, grant: grant("ada")},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{AutoCreate: true})
			var s room.DailySettings
			if c.room != nil {
				c.room(&s)
			}
			h.opens(s)
			m, err := h.enter(c.grant)
			if !errors.Is(err, c.err) {
				t.Fatalf("it is told %v, want %v", err, c.err)
			}
			if err == nil && m.p.IsWaiting() != c.waits {
				t.Errorf("waits: %t", m.p.IsWaiting())
			}
			m.batch.Flush()
		})
	}
}

// Promise 7. A waiting person is told nothing of the room whatever happens in it, and
// nobody in it is told of the person but moderators: lists, counts, numbers of events,
// errors. The webhooks are, marked.
func TestWaitingLeaksNothing(t *testing.T) {
	watch := newWatcher()
	h := newHall(t, room.Config{AutoCreate: true, Observer: watch})
	h.opens(private)
	host := h.comes(caller("host", owner))
	guest := h.join("guest")
	before := h.room().Summary()
	first := last[*room.Snapshot](t, guest).Seq

	n := guest.count()
	ada, bob := h.waits(stranger()), h.waits(caller("bob", knocks))
	h.expect(guest, n)
	if got := kinds(host.since(0)); !slices.Equal(got[len(got)-2:], []string{"WaitingJoined", "WaitingJoined"}) {
		t.Errorf("the host was told %v", got)
	}
	if after := h.room().Summary(); after != before {
		t.Errorf("the room's summary is %+v, was %+v", after, before)
	}
	if got := len(h.room().Participants()); got != 2 {
		t.Errorf("%d participants", got)
	}
	for _, target := range []room.Target{{Identity: "bob"}, {SID: bob.p.SID}} {
		if _, err := h.room().Participant(target); !errors.Is(err, room.ErrNoParticipant) {
			t.Errorf("by %+v: %v", target, err)
		}
		b := h.rooms.Batch()
		if _, err := h.room().Update(b, target, room.Change{Name: new("x")}); !errors.Is(err, room.ErrNoParticipant) {
			t.Errorf("updating %+v: %v", target, err)
		}
	}
	// All sorts of things happen in the room.
	must(t, host.p.PublishTrack(host.call(1), room.Track{Kind: room.Audio, Source: auth.Microphone}),
		host.p.PublishData(host.call(2), says("secret")), host.p.PublishData(host.call(3), room.Message{Payload: []byte(`"to you"`), Reliable: true,
			Identities: []string{"bob", ada.p.Identity}, SIDs: []string{bob.p.SID}}),
		host.p.UpdatePresence(host.call(4), room.Presence{"x": []byte("1")}, false),
		host.p.UpdateSessionData(host.call(5), room.SessionDataChange{Data: room.SessionData{"k": []byte("1")}}),
		guest.p.PublishData(guest.call(1), says("secret")))
	host.batch.Flush()
	guest.batch.Flush()
	h.flushed(func(b *room.Batch) {
		_, err := h.room().SetMetadata(b, "secret")
		must(t, err, h.room().Send(b, room.Message{Payload: []byte("1"), Reliable: true, Identities: []string{"bob"}}, ""),
			h.room().UpdateSessionData(b, room.SessionDataChange{}))
	})
	h.join("late").leave()
	h.expect(ada, 0, "Waiting")
	h.expect(bob, 0, "Waiting")
	if got := last[*room.Snapshot](t, h.join("newcomer")); len(got.Participants) != 2 || got.Waiting != nil || got.Room.NumParticipants != 3 {
		t.Errorf("a newcomer found %+v", got)
	}
	// Numbers of events go on as if nobody waited: a track, an update of the room, and
	// those who came and went.
	if got := last[*room.Snapshot](t, h.join("counts")).Seq; got != first+6 {
		t.Errorf("the last event was number %d, want %d", got, first+6)
	}

	// What they may do.
	for what, f := range map[string]func(c room.Call) error{
		"data":     func(c room.Call) error { return bob.p.PublishData(c, says("x")) },
		"presence": func(c room.Call) error { return bob.p.UpdatePresence(c, room.Presence{}, true) },
		"tracks": func(c room.Call) error {
			return bob.p.PublishTrack(c, room.Track{Kind: room.Audio, Source: auth.Microphone})
		},
		"subscribing": func(c room.Call) error { return bob.p.Subscribe(c, "TR_x") },
		"the list":    func(c room.Call) error { return bob.p.ListParticipants(c, "", 0) },
		"removing":    func(c room.Call) error { return bob.p.RemoveParticipant(c, room.Target{Identity: "host"}) },
		"updating": func(c room.Call) error {
			return bob.p.UpdateParticipant(c, room.Target{Identity: "host"}, room.Change{})
		},
		"ejecting":    func(c room.Call) error { return bob.p.EjectParticipant(c, room.Target{Identity: "host"}, true) },
		"permissions": func(c room.Call) error { return bob.p.StatePermissions(c, nil, &auth.Say{}) },
		"admitting":   func(c room.Call) error { return bob.p.AnswerWaiting(c, nil, true) },
		"shared data": func(c room.Call) error { return bob.p.UpdateSessionData(c, room.SessionDataChange{}) },
		"muting":      func(c room.Call) error { return bob.p.MuteTrack(c, "TR_x", true) },
		"metadata":    func(c room.Call) error { return bob.p.UpdateMetadata(c, room.Change{Metadata: new("m")}) },
		"nonsense":    func(c room.Call) error { return bob.p.Reject(c, errors.New("unknown")) },
	} {
		c := bob.call(0)
		c.Quiet = true
		if err := f(c); !errors.Is(err, room.ErrNotAllowed) || !strings.Contains(err.Error(), "lobby") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, bob.p.Ping(bob.call(1)), bob.p.Ack(bob.call(0), 0), bob.p.UpdateMetadata(bob.call(2), room.Change{Name: new("Bob")}))
	bob.p.Refresh(bob.batch)
	bob.batch.Flush()
	h.expect(bob, 1, "Pong", "Reply")
	if got := last[*room.WaitingJoined](t, host).Participant; got.Name != "Bob" || got.SID != bob.p.SID {
		t.Errorf("the host was told %+v", got)
	}
	for id := uint64(3); id < 100; id++ {
		must(t, bob.p.UpdateMetadata(bob.call(id), room.Change{Name: new(fmt.Sprint(id))}))
	}
	if told := kinds(host.since(0)); len(slices.DeleteFunc(told, func(s string) bool { return s != "WaitingJoined" })) > 20 {
		t.Error("who waits can tell moderators of as many names as it likes")
	}
	// No resume finds them.
	if _, err := h.resume(&room.Snapshot{Session: bob.p.SID, Secret: room.Secret{}.String()}, 0); !errors.Is(err, room.ErrNoSession) {
		t.Errorf("a resume: %v", err)
	}
	var marked []string
	for _, o := range watch.all {
		if o.Participant != nil && (o.Participant.Identity == "bob" || o.Participant.Identity == ada.p.Identity) {
			marked = append(marked, string(o.Occasion))
		}
	}
	if !slices.Equal(marked, []string{"waiting_joined", "waiting_joined"}) {
		t.Errorf("the observer was told %v", marked)
	}
}

// Who is let in joins at that moment: it has its snapshot next, everybody else is told
// as of any newcomer, and moderators that it waits no more. Who is sent away is told so.
func TestAnswers(t *testing.T) {
	signer := new(tokens)
	watch := newWatcher()
	h := newHall(t, room.Config{AutoCreate: true, Refresh: signer.sign, Observer: watch})
	h.opens(private)
	host, guest := h.comes(caller("host", owner)), h.join("guest")
	ada, bob, cat := h.waits(caller("ada", knocks)), h.waits(stranger()), h.waits(stranger())
	must(t, ada.p.UpdateMetadata(ada.call(7), room.Change{Name: new("Ada")}))
	ada.batch.Flush()
	n, m := host.count(), guest.count()
	must(t, host.p.AnswerWaiting(host.call(1), []string{ada.p.SID, "PA_nobody"}, true))
	host.batch.Flush()
	h.expect(host, n, "WaitingLeft", "ParticipantJoined", "Reply")
	h.expect(guest, m, "ParticipantJoined")
	h.expect(ada, 1, "Reply", "Snapshot", "TokenRefreshed")
	if left := last[*room.WaitingLeft](t, host); left.SID != ada.p.SID || !left.Admitted {
		t.Errorf("the host was told %+v", left)
	}
	s := last[*room.Snapshot](t, ada)
	if s.Session != ada.p.SID || s.Self.Name != "Ada" || len(s.Participants) != 2 || s.LastRequest != 7 || s.Self.State != room.Active {
		t.Errorf("ada was told %+v", s)
	}
	if e := last[*room.ParticipantJoined](t, guest); e.Seq != s.Seq || e.Participant.SID != ada.p.SID {
		t.Errorf("the guest was told %+v", e)
	}
	must(t, ada.p.PublishData(ada.call(8), says("hello")))
	ada.batch.Flush()
	if got := said(guest.since(m)); !slices.Equal(got, []string{`"hello"`}) {
		t.Errorf("the guest was told %v", got)
	}
	// She resumes as anybody does.
	ada.p.Disconnected(ada.batch, 1, true)
	ada.batch.Flush()
	if back, err := h.resume(s, reliable(ada.since(0))); err != nil || !last[*room.Snapshot](t, back).Recovered {
		t.Errorf("a resume: %v", err)
	}

	n = host.count()
	h.answer(false, bob)
	expectEnd(t, bob, room.CauseDenied)
	h.expect(host, n, "WaitingLeft")
	if last[*room.WaitingLeft](t, host).Admitted {
		t.Error("the host was told that bob is in")
	}
	if err := bob.p.Ping(bob.call(9)); !errors.Is(err, room.ErrFenced) {
		t.Errorf("what it sends then: %v", err)
	}
	h.answer(true) // all
	if cat.p.IsWaiting() || !h.now(cat.p.Identity).Allows(auth.SendData) {
		t.Error("cat is not in")
	}
	h.expect(cat, 1, "Snapshot") // it has no token to be refreshed
	h.answer(true)               // nobody
	h.flushed(func(b *room.Batch) {
		if _, err := h.room().AnswerWaiting(b, []string{ada.p.SID}, true); !errors.Is(err, room.ErrNoParticipant) {
			t.Errorf("of somebody who does not wait: %v", err)
		}
	})
	c := guest.call(0)
	c.Quiet = true
	if err := guest.p.AnswerWaiting(c, nil, true); !errors.Is(err, room.ErrNotAllowed) {
		t.Errorf("by a guest: %v", err)
	}
	h.flushed(func(b *room.Batch) { must(t, h.room().Delete(b)) })
	watch.check(t)
	// The original token knocks again, and so do those that were refreshed.
	h.comes(caller("host", owner))
	h.waits(caller("ada", knocks))
	h.waits(again(caller("ada", knocks), signer.newest(t, ada)))
}

// At the moment in which somebody is let in everything is checked that a join checks.
// What does not hold any more ends it, and the reason says why. §1.7.1, §2.3.
func TestAdmissionIsAJoin(t *testing.T) {
	for name, c := range map[string]struct {
		grant  *auth.Grant
		before func(*testing.T, *run)
		cause  room.Cause
		still  bool // it was not put out at once
	}{
		"the room is full":        {caller("ada", knocks), func(t *testing.T, h *run) { h.setDaily(func(s *room.DailySettings) { s.MaxParticipants = 1 }) }, room.CauseFull, true},
		"the room's time is over": {caller("ada", knocks), func(t *testing.T, h *run) { time.Sleep(2 * time.Hour) }, room.CauseRoomExpired, true},
		"its token's time is over": {caller("ada", knocks, func(g *auth.Grant) { g.Expires = time.Now().Add(time.Minute) }),
			func(t *testing.T, h *run) { time.Sleep(time.Minute) }, room.CauseTokenExpired, true},
		"the token was revoked": {caller("ada", knocks), func(t *testing.T, h *run) {
			h.revoke(room.Revocation{Project: "test", Identity: "ada", Until: time.Now()})
		}, room.CauseRevoked, false},
		"its key has ended": {caller("ada", knocks, keyID("k1")), func(t *testing.T, h *run) {
			h.flushed(func(b *room.Batch) {
				h.rooms.EndWhere(b, room.Final{Reason: room.ParticipantRemoved, Cause: room.CauseKeyRevoked}, func(g *auth.Grant) bool { return g.KeyID == "k1" })
			})
		}, room.CauseKeyRevoked, false},
		"removed": {caller("ada", knocks), func(t *testing.T, h *run) {
			h.flushed(func(b *room.Batch) { must(t, h.room().Remove(b, room.Target{Identity: "ada"}, room.Removal{})) })
		}, room.CauseRemoved, false},
		"ejected": {caller("ada", knocks), func(t *testing.T, h *run) {
			h.flushed(func(b *room.Batch) {
				sids, err := h.room().Eject(b, []room.Target{{Identity: "ada"}}, false, "")
				if must(t, err); len(sids) != 1 {
					t.Errorf("ejected %v", sids)
				}
			})
		}, room.CauseEjected, false},
		"knocking was turned off": {stranger(), func(t *testing.T, h *run) { h.setDaily(func(s *room.DailySettings) { s.Knocking = false }) }, room.CauseAccessLost, false},
		"the room was deleted": {caller("ada", knocks), func(t *testing.T, h *run) {
			h.flushed(func(b *room.Batch) {
				_, err := h.rooms.DeleteDaily(b, "test", "hall")
				must(t, err)
			})
		}, room.CauseRoomDeleted, false},
		"the room's life was ended": {caller("ada", knocks), func(t *testing.T, h *run) { h.flushed(func(b *room.Batch) { must(t, h.room().Delete(b)) }) }, room.CauseRoomDeleted, false},
		"the server stops":          {caller("ada", knocks), func(t *testing.T, h *run) { h.stop() }, room.CauseShutdown, false},
		"its time would be over": {caller("ada", knocks, func(g *auth.Grant) { g.Stay.At = time.Now().Add(time.Minute) }),
			func(t *testing.T, h *run) { time.Sleep(time.Hour) }, room.CauseTimeOver, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, room.Config{AutoCreate: true})
				s := private
				s.Expires = time.Now().Add(time.Hour + time.Minute)
				h.opens(s)
				g := *c.grant // made outside the bubble, at another time
				if !g.Expires.IsZero() {
					g.Expires = time.Now().Add(time.Minute)
				}
				if !g.Stay.At.IsZero() {
					g.Stay.At = time.Now().Add(time.Minute)
				}
				g.Issued = time.Now()
				host := h.join("host")
				ada := h.waits(&g)
				c.before(t, h)
				if got := ada.ended() == nil; got != c.still {
					t.Fatalf("waits still: %t", got)
				}
				if c.still {
					h.answer(true, ada)
				}
				expectEnd(t, ada, c.cause)
				for _, k := range kinds(ada.since(1)) {
					t.Errorf("it was told %s", k)
				}
				if r, ok := h.rooms.Lookup("test", "hall"); ok && len(r.Waiting()) > 0 {
					t.Error("it is still there")
				}
				_ = host
			})
		})
	}
}

// Its time counts from when it is let in. §1.7.3.
func TestWaitingIsNotStaying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{})
		s := private
		s.EjectAfter = time.Minute
		h.opens(s)
		ada := h.waits(caller("ada", knocks))
		time.Sleep(time.Hour)
		h.answer(true, ada)
		if got := last[*room.Snapshot](t, ada).Self; !got.EjectAt.Equal(time.Now().Add(time.Minute)) || !got.JoinedAt.Equal(time.Now()) {
			t.Errorf("it is %+v", got)
		}
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		expectEnd(t, ada, room.CauseTimeOver)
	})
}

// Whoever waits keeps the room open, and begins nothing in it. A cut ends the waiting,
// without a grace period.
func TestWaitingKeepsTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := newWatcher()
		h := start(t, room.Config{AutoCreate: true, Observer: watch, EmptyTimeout: time.Minute, DepartureTimeout: 10 * time.Second})
		h.opens(private)
		ada := h.waits(stranger())
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := h.waiting(); len(got) != 1 {
			t.Errorf("after an hour %v wait", got)
		}
		if got := h.rooms.List("test", nil); len(got) != 0 {
			t.Errorf("LiveKit lists %v", got)
		}
		ada.p.Disconnected(ada.batch, 1, true)
		ada.batch.Flush()
		if got := h.waiting(); len(got) != 0 {
			t.Errorf("after the cut %v wait", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, ok := h.rooms.Lookup("test", "hall"); ok {
			t.Error("the room goes on with nobody in it")
		}
		for _, o := range watch.all {
			if o.Occasion != room.WaitingEntered && o.Occasion != room.WaitingDeparted {
				t.Errorf("the observer was told of %s", o.Occasion)
			}
		}
	})
}

// Who waited and is gone leaves a room that LiveKit's API made the time that it has for
// the first to come. When people have been there, it ends as it would without.
func TestKnockingDoesNotMoveARoomsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*run)
		wait   time.Duration
		ends   time.Duration // after the start
	}{
		"nobody came":              {wait: time.Minute, ends: time.Hour},
		"nobody came, for long":    {wait: 2 * time.Hour, ends: 2*time.Hour + 20*time.Second},
		"somebody came before":     {before: func(h *run) { h.join("eve").leave() }, wait: time.Minute, ends: time.Minute + 20*time.Second},
		"only an agent was before": {before: func(h *run) { h.join("agent", func(g *auth.Grant) { g.Kind = auth.Agent }).leave() }, wait: time.Minute, ends: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, room.Config{DepartureTimeout: 20 * time.Second})
				defer h.stop()
				began := time.Now()
				_, err := h.rooms.Create("test", "hall", auth.RoomConfig{EmptyTimeout: time.Hour})
				must(t, err)
				h.opens(private)
				if c.before != nil {
					c.before(h)
				}
				w := h.waits(stranger())
				time.Sleep(c.wait)
				w.leave()
				lives := func() bool { _, ok := h.rooms.Lookup("test", "hall"); return ok }
				time.Sleep(time.Until(began.Add(c.ends - time.Millisecond)))
				if synctest.Wait(); !lives() {
					t.Error("the room ended early")
				}
				time.Sleep(2 * time.Millisecond)
				if synctest.Wait(); lives() {
					t.Error("the room goes on")
				}
			})
		})
	}
}

// A room is as old as the first who came in, or as the call of LiveKit's API that made
// it: nobody learns of it that somebody has waited before.
func TestWaitingDoesNotAgeARoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := newWatcher()
		h := start(t, room.Config{Observer: watch})
		defer h.stop()
		h.opens(private)
		w := h.waits(stranger())
		time.Sleep(5 * time.Minute)
		ada := h.comes(caller("ada"))
		s := last[*room.Snapshot](t, ada)
		if !s.Room.CreatedAt.Equal(s.Self.JoinedAt) {
			t.Errorf("the first in it joins at %v a room of %v", s.Self.JoinedAt, s.Room.CreatedAt)
		}
		time.Sleep(time.Minute)
		h.comes(caller("host", owner))
		h.answer(true, w)
		if got := last[*room.Snapshot](t, w).Room.CreatedAt; !got.Equal(s.Room.CreatedAt) {
			t.Errorf("who was let in is told of a room of %v, want %v", got, s.Room.CreatedAt)
		}
		for _, o := range watch.all {
			if o.Occasion == room.RoomStarted && !o.Room.CreatedAt.Equal(s.Room.CreatedAt) {
				t.Errorf("the observer was told of a room of %v, want %v", o.Room.CreatedAt, s.Room.CreatedAt)
			}
		}
		h.flushed(func(b *room.Batch) { must(t, h.room().Delete(b)) })
		synctest.Wait()
		h.waits(stranger())
		time.Sleep(time.Minute)
		made, err := h.rooms.Create("test", "hall", auth.RoomConfig{})
		if must(t, err); !made.CreatedAt.Equal(time.Now()) {
			t.Errorf("LiveKit's API made a room of %v, want %v", made.CreatedAt, time.Now())
		}
		time.Sleep(time.Minute)
		if got := last[*room.Snapshot](t, h.comes(caller("ada"))).Room.CreatedAt; !got.Equal(made.CreatedAt) {
			t.Errorf("the first in it is told of a room of %v, want %v", got, made.CreatedAt)
		}
	})
}

// A name that no refreshed token could tell is refused while somebody waits, as it is
// later: by what the token would tell if it were let in then.
func TestNamesOfWhoWaitsFitItsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []auth.Current
		h := start(t, room.Config{Refresh: func(_ *auth.Grant, now auth.Current) (string, time.Time, error) {
			if asked = append(asked, now); len(now.Name) > 10 {
				return "", time.Time{}, auth.ErrTooLarge
			}
			return "t", time.Now().Add(time.Minute), nil
		}})
		defer h.stop()
		h.opens(room.DailySettings{Private: true, Knocking: true, EjectAfter: time.Hour})
		host := h.comes(caller("host", owner))
		ada := h.waits(caller("ada", knocks, func(g *auth.Grant) { g.Metadata = "m" }))
		rename := func(name string) error {
			c := ada.call(0)
			c.Quiet = true
			defer ada.batch.Flush()
			return ada.p.UpdateMetadata(c, room.Change{Name: &name})
		}
		asked = nil
		n := host.count()
		var limit *room.LimitError
		if err := rename("Augusta Ada King"); !errors.As(err, &limit) {
			t.Errorf("a name that fits in no token: %v", err)
		}
		h.expect(host, n)
		must(t, rename("Ada"))
		h.expect(host, n, "WaitingJoined")
		if len(asked) != 2 {
			t.Fatalf("%d tokens were tried, want 2", len(asked))
		}
		would := asked[1]
		h.answer(true, ada)
		if is := asked[2]; !would.Permission.Equal(is.Permission) || len(would.Base) != len(is.Base) || would.Name != is.Name || would.Metadata != is.Metadata ||
			!would.EjectAt.Equal(is.EjectAt) || would.Session != is.Session || would.Room != is.Room {
			t.Errorf("what was tried tells %+v, the token %+v", would, is)
		}
		// Whoever may not change its name any more has nothing signed.
		bob := h.waits(caller("bob", knocks))
		for i := range 100 {
			must(t, bob.p.UpdateMetadata(bob.call(uint64(i+1)), room.Change{Name: new(fmt.Sprint(i))}))
		}
		if n := len(asked) - 3; n > 20 {
			t.Errorf("for 100 names %d tokens were tried", n)
		}
	})
}

// Who was let in counts anew from then on, and so does the server: after a cut it gets
// what it has not had, and nothing twice. What was answered while it waited does not
// count, be it acknowledged, on its way or its acknowledgement late.
func TestResumeAfterWaiting(t *testing.T) {
	ack := func(t *testing.T, guest *member) { must(t, guest.p.Ack(guest.call(0), 3)) }
	nothing := func(*testing.T, *member) {}
	for name, c := range map[string]struct {
		waiting, joined, told func(*testing.T, *member) // what the guest does then
	}{
		"never acknowledged":                      {func(_ *testing.T, guest *member) { guest.batch.Flush() }, nothing, nothing},
		"acknowledged at once":                    {func(t *testing.T, guest *member) { guest.batch.Flush(); ack(t, guest) }, nothing, nothing},
		"acknowledged as it was let in":           {func(_ *testing.T, guest *member) { guest.batch.Flush() }, ack, nothing},
		"acknowledged before it knew":             {func(_ *testing.T, guest *member) { guest.batch.Flush() }, nothing, ack},
		"on its way when it was let in":           {nothing, func(_ *testing.T, guest *member) { guest.batch.Flush() }, nothing},
		"on its way when the first was told":      {nothing, nothing, func(_ *testing.T, guest *member) { guest.batch.Flush() }},
		"on its way, acknowledged before it knew": {nothing, nothing, func(t *testing.T, guest *member) { guest.batch.Flush(); ack(t, guest) }},
	} {
		for had := range 4 {
			t.Run(fmt.Sprintf("%s, %d of 3 had", name, had), func(t *testing.T) {
				h := newHall(t, room.Config{})
				h.opens(private)
				host := h.comes(caller("host", owner))
				guest := h.waits(caller("guest", knocks))
				for i := range 3 {
					must(t, guest.p.UpdateMetadata(guest.call(uint64(i+1)), room.Change{Name: new(fmt.Sprint("guest", i))}))
				}
				c.waiting(t, guest)
				h.answer(true, guest)
				c.joined(t, guest)
				for i := range 3 {
					must(t, host.p.PublishData(host.call(0), says(fmt.Sprint(i))))
				}
				host.batch.Flush()
				c.told(t, guest)
				guest.batch.Flush()
				h.expect(guest, 1, "Reply", "Reply", "Reply", "Snapshot", "Data", "Data", "Data")
				resume := func(joined *room.Snapshot, had int, want ...string) *member {
					t.Helper()
					back, err := h.resume(joined, uint64(had))
					must(t, err)
					if now := last[*room.Snapshot](t, back); !now.Recovered || now.LastRequest != 3 {
						t.Errorf("it was told %+v, want that it is recovered", now)
					}
					if got := said(back.since(0)); !slices.Equal(got, want) {
						t.Errorf("it was told %v again, want %v", got, want)
					}
					return back
				}
				joined := last[*room.Snapshot](t, guest)
				guest.p.Disconnected(guest.batch, 1, true)
				guest.batch.Flush()
				all := []string{`"0"`, `"1"`, `"2"`}
				back := resume(joined, had, all[had:]...)
				// From then on no acknowledgement can be from before: three are three.
				must(t, back.p.Ack(room.Call{Generation: 3, Batch: back.batch}, 3))
				must(t, host.p.PublishData(host.call(0), says("3")))
				host.batch.Flush()
				fresh, err := h.resume(joined, 2)
				if must(t, err); last[*room.Snapshot](t, fresh).Recovered {
					t.Error("what was acknowledged was kept")
				}
			})
		}
	}
}

// Who waited and then was moved acknowledges that as anybody does, and may speak there.
func TestMovedAfterWaiting(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.opens(private)
	h.comes(caller("host", owner))
	eve := h.join("eve", toRoom("stage"))
	guest := h.waits(caller("guest", knocks))
	for i := range 5 {
		must(t, guest.p.UpdateMetadata(guest.call(uint64(i+1)), room.Change{Name: new(fmt.Sprint("guest", i))}))
	}
	guest.batch.Flush()
	h.answer(true, guest)
	must(t, h.move("guest", "hall", "stage"))
	guest.follow()
	must(t, guest.p.PublishData(guest.call(6), says("too early")))
	guest.ack()
	must(t, guest.p.PublishData(guest.call(7), says("here")))
	guest.batch.Flush()
	if got := said(eve.since(0)); !slices.Equal(got, []string{`"here"`}) {
		t.Errorf("there they were told %v", got)
	}
}

// Who becomes a moderator is told of all who wait, who is one no longer that they are
// gone; whatever gave or took the right.
func TestModeratorsComeAndGo(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.opens(private)
	guest := h.comes(caller("guest"))
	h.waits(stranger())
	h.waits(stranger())
	n := guest.count()
	moderation := auth.Say{Layer: auth.Live, Allow: auth.ModerateParticipants}
	h.flushed(func(b *room.Batch) { must(t, h.room().State(b, map[string]auth.Say{guest.p.SID: moderation}, nil, "")) })
	h.expect(guest, n, "ParticipantUpdated", "WaitingJoined", "WaitingJoined")
	n = guest.count()
	h.waits(stranger())
	h.expect(guest, n, "WaitingJoined")
	n = guest.count()
	h.update(room.Target{Identity: "guest"}, deny(auth.ModerateParticipants))
	h.expect(guest, n, "ParticipantUpdated", "WaitingLeft", "WaitingLeft", "WaitingLeft")
	n = guest.count()
	h.waits(stranger())
	h.expect(guest, n)

	// A moderator who comes, and comes back, finds them.
	host := h.comes(caller("host", admin))
	s := last[*room.Snapshot](t, host)
	if len(s.Waiting) != 4 {
		t.Errorf("a moderator found %d waiting", len(s.Waiting))
	}
	received := reliable(host.since(0))
	host.p.Disconnected(host.batch, 1, true)
	host.batch.Flush()
	h.waits(stranger())
	back, err := h.resume(s, received)
	must(t, err)
	if s := last[*room.Snapshot](t, back); !s.Recovered || s.Waiting != nil {
		t.Errorf("it resumed with %+v", s)
	}
	last[*room.WaitingJoined](t, back) // what it has missed
	back.p.Disconnected(back.batch, generation(h, back), true)
	back.batch.Flush()
	back, err = h.resume(s, 1<<40)
	must(t, err)
	if s := last[*room.Snapshot](t, back); s.Recovered || len(s.Waiting) != 5 {
		t.Errorf("it resumed with %d waiting, recovered %t", len(s.Waiting), s.Recovered)
	}
}

// An edit by which they need not wait lets those in who do, once it is durable, and
// nobody else: who may not be here is sent away, and who still has to wait goes on.
func TestEditsOpenTheLobby(t *testing.T) {
	for name, c := range map[string]struct {
		change            func(*room.DailySettings)
		nobodys, knocking bool // are let in
		ended             bool // nobody's is sent away
	}{
		"public":      {change: func(s *room.DailySettings) { s.Private = false }, nobodys: true},
		"no knocking": {change: func(s *room.DailySettings) { s.Knocking = false }, knocking: true, ended: true},
		"both":        {change: func(s *room.DailySettings) { s.Private, s.Knocking = false, false }, nobodys: true, knocking: true},
		"neither":     {change: func(s *room.DailySettings) { s.MaxParticipants = 100 }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{})
			h.opens(private)
			host := h.comes(caller("host", owner))
			nobodys, knocking := h.waits(stranger()), h.waits(caller("ada", knocks))
			h.setDaily(c.change)
			if in := nobodys.ended() == nil && !nobodys.p.IsWaiting(); in != c.nobodys || (nobodys.ended() != nil) != c.ended {
				t.Errorf("without a token: in %t, ended %v", in, nobodys.ended())
			}
			if in := !knocking.p.IsWaiting(); in != c.knocking || knocking.ended() != nil {
				t.Errorf("with a token that knocks: in %t, ended %v", in, knocking.ended())
			}
			want := 0
			for _, gone := range []bool{c.nobodys || c.ended, c.knocking} {
				if !gone {
					want++
				}
			}
			if left := len(h.room().Waiting()); left != want {
				t.Errorf("%d still wait, want %d", left, want)
			}
			if host.ended() != nil {
				t.Error("the host is out")
			}
		})
	}
	// A full room lets in as many as there are places for.
	h := newHall(t, room.Config{})
	full := private
	full.MaxParticipants = 2
	h.opens(full)
	h.comes(caller("host", owner))
	first, second := h.waits(stranger()), h.waits(stranger())
	h.setDaily(func(s *room.DailySettings) { s.Private = false })
	if first.p.IsWaiting() || first.ended() != nil || second.ended() == nil {
		t.Errorf("the first: %v, the second: %v", first.ended(), second.ended())
	}
}

// So many may wait, and no more.
func TestLobbyIsBounded(t *testing.T) {
	h := newHall(t, room.Config{})
	h.opens(private)
	for range 1000 {
		h.waits(stranger())
	}
	if _, err := h.enter(stranger()); !errors.Is(err, room.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	h.answer(false)
	h.waits(stranger())
}
