package room_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
)

func (h *hall) move(identity, from, to string) error {
	b := h.rooms.Batch()
	defer b.Flush()
	return h.rooms.Move(b, "test", from, to, identity)
}

func (h *hall) lookup(name string) *room.Room {
	h.t.Helper()
	r, ok := h.rooms.Lookup("test", name)
	if !ok {
		h.t.Fatalf("there is no %s", name)
	}
	return r
}

// in is who is in a room, by identity.
func (h *hall) in(name string) []string {
	who := []string{}
	if r, ok := h.rooms.Lookup("test", name); ok {
		for _, i := range r.Participants() {
			who = append(who, i.Identity)
		}
	}
	slices.Sort(who)
	return who
}

func (h *hall) expectIn(name string, want ...string) {
	h.t.Helper()
	if got := h.in(name); !slices.Equal(got, append([]string{}, want...)) {
		h.t.Errorf("in %s are %q, want %q", name, got, want)
	}
	if r, ok := h.rooms.Lookup("test", name); ok {
		shown := 0
		for _, i := range r.Participants() {
			if !i.Permission.Hidden() {
				shown++
			}
		}
		if n := r.Summary().NumParticipants; n != shown {
			h.t.Errorf("%s counts %d participants, %d are shown", name, n, shown)
		}
	}
}

func toRoom(name string) func(*auth.Grant) { return func(g *auth.Grant) { g.Room = name } }

// reliable counts what a client counts.
func reliable(events []room.Event) (n uint64) {
	for _, e := range events {
		switch e := e.(type) {
		case *room.Snapshot:
			if !e.Recovered {
				n = 0
			}
		case *room.Waiting, *room.Pong, *room.PresenceUpdated, *room.SessionDataChanged, *room.ReconnectHint, passed:
		case *room.Data:
			if e.Reliable {
				n++
			}
		default:
			n++
		}
	}
	return n
}

// follow has the member go on as whoever it was moved to be, as a session does.
func (m *member) follow() {
	m.hall.t.Helper()
	q := m.p.Successor()
	if q == nil {
		m.hall.t.Fatalf("%s was not moved", m.p.Identity)
	}
	m.p = q
}

func (m *member) ack() {
	m.hall.t.Helper()
	if err := m.p.Ack(m.call(0), reliable(m.since(0))); err != nil {
		m.hall.t.Fatal(err)
	}
	m.batch.Flush()
}

// said is data that some member was told.
func said(events []room.Event) (payloads []string) {
	for _, e := range events {
		if d, ok := e.(*room.Data); ok {
			payloads = append(payloads, string(d.Payload))
		}
	}
	return payloads
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func says(s string) room.Message {
	return room.Message{Payload: []byte(`"` + s + `"`), Reliable: true}
}

// tokens signs tokens that say what they tell.
type tokens struct {
	mu     sync.Mutex
	signed []auth.Current
	before func(auth.Current) // called outside of all locks
}

func (s *tokens) sign(_ *auth.Grant, now auth.Current) (string, time.Time, error) {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		before(now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed = append(s.signed, now)
	return fmt.Sprint(len(s.signed) - 1), time.Now().Add(time.Minute), nil
}

func (s *tokens) tells(t *testing.T, token string) auth.Current {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int
	if _, err := fmt.Sscan(token, &n); err != nil {
		t.Fatalf("%q is no token", token)
	}
	return s.signed[n]
}

// newest is the last token that a member was told, and what it tells.
func (s *tokens) newest(t *testing.T, m *member) auth.Current {
	t.Helper()
	token := ""
	for _, e := range m.since(0) {
		switch e := e.(type) {
		case *room.TokenRefreshed:
			token = e.Token
		case *room.Moved:
			if e.Token != "" {
				token = e.Token
			}
		}
	}
	return s.tells(t, token)
}

// A session that is moved goes on. Those it was among see it leave, those it
// comes among see it join, and what was stated about it there counts, and not
// what was stated here.
func TestMove(t *testing.T) {
	s := new(tokens)
	h := newHall(t, room.Config{AutoCreate: true, Refresh: s.sign})
	cat := h.join("cat", toRoom("stage"))
	// What was stated in the stage about ada, who was there before.
	early := h.join("ada", toRoom("stage"))
	b := h.rooms.Batch()
	_, err := h.lookup("stage").Update(b, room.Target{Identity: "ada"}, deny(auth.SendMicrophone))
	must(t, err)
	early.leave()

	ada, bob := h.join("ada"), h.join("bob")
	joined := last[*room.Snapshot](t, ada)
	h.update(room.Target{Identity: "ada"}, room.Change{Name: new("Ada"), Attributes: map[string]string{"a": "1"}, Permission: deny(auth.SendCamera).Permission})
	must(t, ada.p.PublishTrack(ada.call(1), room.Track{Kind: room.Audio, Source: auth.Microphone}),
		ada.p.UpdatePresence(ada.call(2), room.Presence{"x": []byte("1")}, false),
		cat.p.PublishTrack(cat.call(1), room.Track{Kind: room.Audio, Source: auth.Microphone}),
		cat.p.UpdatePresence(cat.call(2), room.Presence{"y": []byte("2")}, false))
	ada.batch.Flush()
	cat.batch.Flush()
	track := last[*room.TrackPublished](t, bob)
	fromAda, fromBob, fromCat := ada.count(), bob.count(), cat.count()

	must(t, h.move("ada", "hall", "stage"))
	h.expectIn("hall", "bob")
	h.expectIn("stage", "ada", "cat")
	h.expect(bob, fromBob, "TrackUnpublished", "ParticipantLeft")
	if left := last[*room.ParticipantLeft](t, bob); left.Reason != room.Migration || left.SID != ada.p.SID {
		t.Errorf("bob was told %+v", left)
	}
	h.expect(cat, fromCat, "ParticipantJoined")
	if p := last[*room.ParticipantJoined](t, cat).Participant; p.SID != joined.Session || p.Name != "Ada" || p.Attributes["a"] != "1" ||
		len(p.Tracks) != 0 || p.State != room.Active || !p.Permission.Allows(auth.SendCamera) || p.Permission.Allows(auth.SendMicrophone) {
		t.Errorf("cat was told %+v", p)
	}
	h.expect(ada, fromAda, "TrackUnpublished", "Moved", "TrackSubscribed")
	moved := last[*room.Moved](t, ada)
	if moved.Session != joined.Session || moved.Secret != joined.Secret || moved.Recovered || moved.Room.Name != "stage" || moved.Room.NumParticipants != 2 ||
		moved.Epoch == joined.Epoch || moved.LastRequest != 2 || len(moved.Participants) != 1 || moved.Participants[0].Identity != "cat" ||
		string(moved.Presence[cat.p.SID]["y"]) != "2" || len(moved.Presence) != 1 || moved.Self.SID != joined.Session {
		t.Errorf("ada was told %+v", moved)
	}
	if now := s.tells(t, moved.Token); now.Room != "stage" || now.Name != "Ada" || !now.Permission.Equal(moved.Self.Permission) || now.Session != joined.Session {
		t.Errorf("its token tells %+v", now)
	}

	// Before it knows, nothing it says is for those here.
	fromAda, fromBob, fromCat = ada.count(), bob.count(), cat.count()
	if err := ada.p.PublishData(ada.call(3), says("to the hall")); !errors.Is(err, room.ErrFenced) {
		t.Errorf("as it was before it is answered with %v, want fenced", err)
	}
	ada.follow()
	must(t, ada.p.PublishData(ada.call(3), says("to the hall")),
		ada.p.PublishData(ada.call(0), says("to the hall")),
		ada.p.UpdatePresence(ada.call(4), room.Presence{"x": []byte("1")}, false),
		ada.p.PublishTrack(ada.call(5), room.Track{Kind: room.Video, Source: auth.Camera}),
		ada.p.UpdateMetadata(ada.call(6), room.Change{Name: new("of the hall")}),
		ada.p.MuteTrack(ada.call(7), track.Track.SID, true),
		ada.p.ListParticipants(ada.call(8), "", 0),
		ada.p.PassFrame(ada.call(0), room.TrackFrame{Handle: track.Track.Handle, Last: true, Wire: wireFrame(1)}),
		ada.p.Ack(ada.call(0), reliable(ada.since(0))-4), // of what came before
		ada.p.PublishData(ada.call(9), says("to the hall")),
		ada.p.Ping(ada.call(10)))
	ada.batch.Flush()
	h.expect(cat, fromCat)
	h.expect(bob, fromBob)
	for _, e := range ada.since(fromAda) {
		if r, ok := e.(*room.Reply); ok && !errors.Is(r.Err, room.ErrMoved) {
			t.Errorf("before the ack request %d is answered with %v, want moved", r.ID, r.Err)
		}
	}
	last[*room.Pong](t, ada)

	ada.ack()
	must(t, ada.p.PublishData(ada.call(11), says("to the stage")),
		ada.p.UpdatePresence(ada.call(12), room.Presence{"x": []byte("1")}, false),
		ada.p.PublishTrack(ada.call(13), room.Track{Kind: room.Video, Source: auth.Camera}),
		ada.p.PublishTrack(ada.call(14), room.Track{Kind: room.Audio, Source: auth.Microphone}))
	ada.batch.Flush()
	h.expect(cat, fromCat, "Data", "PresenceUpdated", "TrackPublished", "TrackSubscribed")
	if r := last[*room.Reply](t, ada); !errors.Is(r.Err, room.ErrNotAllowed) || r.Denial.Layer != auth.Live {
		t.Errorf("what the stage denies: got %+v", r)
	}
	h.expect(bob, fromBob)

	// It is one like any other: moderation, leaving.
	must(t, h.move("ada", "stage", "hall"))
	ada.follow()
	ada.ack()
	h.expectIn("stage", "cat")
	h.expectIn("hall", "ada", "bob")
	if p := h.now("ada"); p.Allows(auth.SendCamera) || !p.Allows(auth.SendMicrophone) {
		t.Errorf("back in the hall it may %q", p.Rights.Names())
	}
	h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
	if now := s.newest(t, ada); now.Room != "hall" || now.Permission.Allows(auth.SendData) {
		t.Errorf("the newest token tells %+v", now)
	}
	ada.leave()
	h.expectIn("hall", "bob")
	if left := last[*room.ParticipantLeft](t, bob); left.Reason != room.ClientInitiated {
		t.Errorf("bob was told %+v", left)
	}
}

// A client that does not know yet may leave.
func TestLeaveWhenMoved(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.join("keeper", toRoom("stage"))
	ada := h.join("ada")
	must(t, h.move("ada", "hall", "stage"))
	ada.follow()
	ada.leave()
	h.expectIn("stage", "keeper")
	if c := ada.ended(); c == nil || *c != room.CauseLeft {
		t.Errorf("it ended with %v, want that it left", c)
	}
}

// A move that cannot be made changes nothing and keeps no place.
func TestMoveRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config   room.Config
		identity string
		from, to string
		prepare  func(*hall)
		want     error // nil: an InvalidError or a LimitError
	}{
		"the same room":   {config: room.Config{AutoCreate: true}, to: "hall"},
		"no room":         {config: room.Config{AutoCreate: true}, to: ""},
		"too long a name": {config: room.Config{AutoCreate: true}, to: strings.Repeat("x", 300)},
		"a stranger":      {config: room.Config{AutoCreate: true}, identity: "eve", to: "stage", want: room.ErrNoParticipant},
		"from elsewhere":  {config: room.Config{AutoCreate: true}, from: "nowhere", to: "stage", want: room.ErrNoParticipant},
		"a full room": {config: room.Config{AutoCreate: true, MaxParticipants: 2}, to: "stage", want: room.ErrFull,
			prepare: func(h *hall) { h.join("p1", toRoom("stage")); h.join("p2", toRoom("stage")) }},
		"it is there, and no second may be": {config: room.Config{AutoCreate: true, DuplicateIdentity: room.Reject}, to: "stage", want: room.ErrIdentityTaken,
			prepare: func(h *hall) { h.join("ada", toRoom("stage")) }},
		"it was removed from there": {config: room.Config{AutoCreate: true}, to: "stage", want: room.ErrRevoked,
			prepare: func(h *hall) {
				_, err := h.rooms.Revoke(h.rooms.Batch(), room.Revocation{Project: "test", Room: "stage", Identity: "ada", Until: time.Now()})
				must(h.t, err)
			}},
		"a room that nobody may make": {config: room.Config{}, to: "stage", want: room.ErrNotFound,
			prepare: func(h *hall) {
				_, err := h.rooms.Create("test", "hall", auth.RoomConfig{})
				must(h.t, err)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, c.config)
			if c.prepare != nil {
				c.prepare(h)
			}
			identity, from := "ada", "hall"
			if c.identity != "" {
				identity = c.identity
			}
			if c.from != "" {
				from = c.from
			}
			ada, bob := h.join("ada"), h.join("bob")
			before := h.in("stage")
			_, there := h.rooms.Lookup("test", "stage")
			fromAda, fromBob := ada.count(), bob.count()
			err := h.move(identity, from, c.to)
			var invalid *room.InvalidError
			var limit *room.LimitError
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && !errors.As(err, &invalid) && !errors.As(err, &limit) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			h.expect(ada, fromAda)
			h.expect(bob, fromBob)
			h.expectIn("hall", "ada", "bob")
			h.expectIn("stage", before...)
			if _, now := h.rooms.Lookup("test", "stage"); now != there {
				t.Errorf("the room is there: %t, was %t", now, there)
			}
			// It goes on as if nothing had been.
			must(t, ada.p.PublishData(ada.call(1), says("x")))
			ada.batch.Flush()
			h.expect(bob, fromBob, "Data")
		})
	}
}

// What happens while a move is on its way, after the place was reserved.
func TestMeanwhile(t *testing.T) {
	const stage, hallOf = "stage", "hall"
	var revoked, unlisted atomic.Bool // ada's key
	for name, c := range map[string]struct {
		meanwhile func(h *hall, ada *member)
		err       error
		hall      []string // who is there after it, besides bob
		stage     []string // besides cat
		ended     room.Cause
		roomy     bool
		check     func(t *testing.T, h *hall, s *tokens, ada *member)
	}{
		"the target is deleted": {
			meanwhile: func(h *hall, _ *member) { must(h.t, h.lookup(stage).Delete(h.rooms.Batch())) },
			err:       room.ErrNoParticipant, ended: room.CauseRoomDeleted,
		},
		"it is removed": {
			meanwhile: func(h *hall, _ *member) {
				b := h.rooms.Batch()
				must(h.t, h.lookup(hallOf).Remove(b, room.Target{Identity: "ada"}, room.Removal{}))
			},
			err: room.ErrNoParticipant, ended: room.CauseRemoved,
		},
		"it leaves": {
			meanwhile: func(_ *hall, ada *member) { ada.leave() },
			err:       room.ErrNoParticipant, ended: room.CauseLeft,
		},
		"it is moved by another": {
			meanwhile: func(h *hall, _ *member) { must(h.t, h.move("ada", hallOf, "attic")) },
			err:       room.ErrNoParticipant,
			check: func(t *testing.T, h *hall, _ *tokens, ada *member) {
				h.expectIn("attic", "ada")
				ada.follow()
			},
		},
		"its key is revoked": {
			meanwhile: func(*hall, *member) { revoked.Store(true) },
			err:       room.ErrNoParticipant, ended: room.CauseKeyRevoked,
		},
		"its key is not listed any more": { // which no session ends by
			meanwhile: func(*hall, *member) { unlisted.Store(true) },
			stage:     []string{"ada"},
		},
		"its tokens are revoked there": {
			meanwhile: func(h *hall, _ *member) {
				b := h.rooms.Batch()
				_, err := h.rooms.Revoke(b, room.Revocation{Project: "test", Room: stage, Identity: "ada", Until: time.Now()})
				must(h.t, err)
			},
			err: room.ErrNoParticipant, ended: room.CauseRemoved,
		},
		"its name changes": {
			meanwhile: func(h *hall, _ *member) {
				h.update(room.Target{Identity: "ada"}, room.Change{Name: new("Ada")})
			},
			stage: []string{"ada"},
			check: func(t *testing.T, h *hall, s *tokens, ada *member) {
				if now := s.newest(t, ada); now.Name != "Ada" || now.Room != stage {
					t.Errorf("the newest token tells %+v", now)
				}
				if i := last[*room.Moved](t, ada).Self; i.Name != "Ada" {
					t.Errorf("it arrived as %+v", i)
				}
			},
		},
		"it is demoted there": {
			meanwhile: func(h *hall, _ *member) {
				early := h.join("ada", toRoom(stage))
				_, err := h.lookup(stage).Update(h.rooms.Batch(), room.Target{Identity: "ada"}, deny(auth.SendData))
				must(h.t, err)
				early.leave()
			},
			roomy: true,
			stage: []string{"ada"},
			check: func(t *testing.T, h *hall, s *tokens, ada *member) {
				if now := s.newest(t, ada); now.Permission.Allows(auth.SendData) || now.Room != stage {
					t.Errorf("the newest token tells %+v", now)
				}
				if last[*room.Moved](t, ada).Self.Permission.Allows(auth.SendData) {
					t.Error("it arrived with the right")
				}
			},
		},
		"its connection is cut": {
			meanwhile: func(h *hall, ada *member) {
				ada.p.Disconnected(ada.batch, 1, true)
				ada.batch.Flush()
			},
			stage: []string{"ada"},
			check: func(t *testing.T, h *hall, s *tokens, ada *member) {
				info, err := h.lookup(stage).Participant(room.Target{Identity: "ada"})
				if err != nil || info.State != room.Reconnecting {
					t.Errorf("got %+v, %v, want that it is reconnecting", info, err)
				}
			},
		},
		"the last place is wanted by another": {
			meanwhile: func(h *hall, _ *member) {
				m, err := h.enter(grant("eve", toRoom(stage)))
				m.batch.Flush()
				if !errors.Is(err, room.ErrFull) {
					h.t.Errorf("the place that was kept was given away: %v", err)
				}
			},
			stage: []string{"ada"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			revoked.Store(false)
			unlisted.Store(false)
			s := new(tokens)
			places := 2
			if c.roomy {
				places = 3
			}
			h := newHall(t, room.Config{AutoCreate: true, MaxParticipants: places, Refresh: s.sign})
			cat, bob := h.join("cat", toRoom(stage)), h.join("bob")
			ada := &member{hall: h, batch: h.rooms.Batch()}
			var err error
			ada.p, err = h.rooms.Join(ada.batch, room.Join{Grant: grant("ada"), Room: hallOf, Conn: ada, Encoder: h.events, Replay: true, AutoSubscribe: true, Admit: func() error {
				switch {
				case revoked.Load():
					return auth.ErrRevokedKey
				case unlisted.Load():
					return fmt.Errorf("%w: k1", auth.ErrUnknownKey)
				}
				return nil
			}})
			must(t, err)
			ada.batch.Flush()
			var done atomic.Bool
			s.mu.Lock()
			s.before = func(now auth.Current) {
				if now.Room == stage && now.Identity == "ada" && !done.Swap(true) {
					c.meanwhile(h, ada)
				}
			}
			s.mu.Unlock()
			if err := h.move("ada", hallOf, stage); !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
			h.expectIn(hallOf, append(c.hall, "bob")...)
			if c.ended != room.CauseRoomDeleted {
				h.expectIn(stage, append(c.stage, "cat")...)
			}
			switch got := ada.ended(); {
			case (c.err == nil || c.check != nil) && got != nil && name != "its connection is cut":
				t.Errorf("its connection ended with %v", *got)
			case c.err != nil && c.check == nil && (got == nil || *got != c.ended):
				t.Errorf("its connection ended with %v, want %v", got, c.ended)
			}
			if c.check != nil {
				c.check(t, h, s, ada)
			}
			// Everybody who was told that ada came was told that it went.
			for _, m := range []*member{cat, bob} {
				there := 0
				for _, e := range m.since(0) {
					switch e := e.(type) {
					case *room.Snapshot:
						there = 0
						for _, i := range e.Participants {
							if i.Identity == "ada" {
								there++
							}
						}
					case *room.ParticipantJoined:
						if e.Participant.Identity == "ada" {
							there++
						}
					case *room.ParticipantLeft:
						if e.Identity == "ada" {
							there--
						}
					}
				}
				want := 0
				if r := m.p.Room(); slices.Contains(h.in(r.Name), "ada") {
					want = 1
				}
				if m.ended() == nil && there != want {
					t.Errorf("%s believes that ada is there %d times, it is %d", m.p.Identity, there, want)
				}
			}
			// No place is kept any more.
			if c.err != nil && c.ended != room.CauseRoomDeleted {
				h.join("eve", toRoom(stage))
			}
		})
	}
}

// A room to which somebody was to be moved, and in which nobody is then, ends as if
// nobody had been on the way: after what it has for the first to come.
func TestMovesKeepNoRoom(t *testing.T) {
	revoke := func(h *hall, _ *member) {
		_, err := h.rooms.Revoke(h.rooms.Batch(), room.Revocation{Project: "test", Room: "stage", Identity: "ada", Until: time.Now()})
		must(h.t, err)
	}
	for name, c := range map[string]struct {
		made      bool // by an API
		grant     func(*auth.Grant)
		meanwhile func(h *hall, ada *member)
		err       error
		ends      time.Duration
	}{
		"refused there":                    {meanwhile: revoke, err: room.ErrNoParticipant, ends: time.Minute},
		"refused there, a room of an API":  {made: true, meanwhile: revoke, err: room.ErrNoParticipant, ends: time.Hour},
		"it left":                          {meanwhile: func(_ *hall, ada *member) { ada.leave() }, err: room.ErrNoParticipant, ends: time.Minute},
		"it left, a room of an API":        {made: true, meanwhile: func(_ *hall, ada *member) { ada.leave() }, err: room.ErrNoParticipant, ends: time.Hour},
		"an agent, who keeps no room open": {grant: func(g *auth.Grant) { g.Kind = auth.Agent }, ends: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(tokens)
				h := start(t, room.Config{AutoCreate: true, EmptyTimeout: time.Minute, DepartureTimeout: time.Second, Refresh: s.sign})
				defer h.stop()
				began := time.Now()
				if c.made {
					_, err := h.rooms.Create("test", "stage", auth.RoomConfig{EmptyTimeout: time.Hour})
					must(t, err)
				}
				h.join("bob")
				ada := h.join("ada", func(g *auth.Grant) {
					if c.grant != nil {
						c.grant(g)
					}
				})
				s.mu.Lock()
				s.before = func(now auth.Current) {
					if now.Room == "stage" && c.meanwhile != nil {
						c.meanwhile(h.hall, ada)
					}
				}
				s.mu.Unlock()
				if err := h.move("ada", "hall", "stage"); !errors.Is(err, c.err) {
					t.Errorf("got %v, want %v", err, c.err)
				}
				lives := func() bool { _, ok := h.rooms.Lookup("test", "stage"); return ok }
				time.Sleep(time.Until(began.Add(c.ends - time.Second)))
				synctest.Wait()
				if !lives() {
					t.Error("it ended early")
				}
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if lives() {
					t.Error("it goes on, and nobody is there")
				}
			})
		})
	}
}

// resume gives a session a new connection.
func (h *hall) resume(joined *room.Snapshot, received uint64) (*member, error) {
	m := &member{hall: h, batch: h.rooms.Batch()}
	secret, _ := room.ParseSecret(joined.Secret)
	var ended *room.Final
	var err error
	m.p, _, ended, err = h.rooms.Resume(m.batch, room.Resumption{Session: joined.Session, Secret: secret, Received: received, Conn: m})
	if ended != nil {
		err = fmt.Errorf("ended: %v", *ended)
	}
	m.batch.Flush()
	return m, err
}

// A resume finds the session in the room that it is in. Until the client has
// said that it knows, it is a fresh start there.
func TestResumeMoved(t *testing.T) {
	for name, c := range map[string]struct {
		cutBefore, ack, recovered bool
	}{
		"moved while it was away":  {cutBefore: true},
		"cut before it said so":    {},
		"cut after it had said so": {ack: true, recovered: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{AutoCreate: true})
			cat := h.join("cat", toRoom("stage"))
			ada, bob := h.join("ada"), h.join("bob")
			joined := last[*room.Snapshot](t, ada)
			cut := func() {
				ada.p.Disconnected(ada.batch, 1, true)
				ada.batch.Flush()
			}
			if c.cutBefore {
				cut()
			}
			received := reliable(ada.since(0))
			must(t, h.move("ada", "hall", "stage"))
			if info, _ := h.lookup("stage").Participant(room.Target{Identity: "ada"}); (info.State == room.Reconnecting) != c.cutBefore {
				t.Errorf("it arrives %s", info.State)
			}
			if c.ack {
				ada.follow()
				ada.ack()
			}
			if !c.cutBefore {
				received = reliable(ada.since(0))
				cut() // what was it before says so
			}
			must(t, cat.p.PublishData(cat.call(1), says("missed")), bob.p.PublishData(bob.call(1), says("of the hall")))
			cat.batch.Flush()
			bob.batch.Flush()

			back, err := h.resume(joined, received)
			must(t, err)
			told := back.since(0)
			snapshot := told[0].(*room.Snapshot)
			if snapshot.Recovered != c.recovered || snapshot.Room.Name != "stage" || snapshot.Session != joined.Session {
				t.Errorf("it was told %+v", snapshot)
			}
			if !c.recovered && (len(snapshot.Participants) != 1 || snapshot.Participants[0].Identity != "cat") {
				t.Errorf("it was told of %v", snapshot.Participants)
			}
			want := []string(nil)
			if c.recovered {
				want = []string{`"missed"`}
			}
			if got := said(told); !slices.Equal(got, want) {
				t.Errorf("it was told %q, want %q", got, want)
			}
			// It knows now: what it says counts.
			n := cat.count()
			must(t, back.p.PublishData(room.Call{Generation: generation(h, back), ID: 1, Batch: back.batch}, says("here")))
			back.batch.Flush()
			if got := said(cat.since(n)); !slices.Equal(got, []string{`"here"`}) {
				t.Errorf("cat was told %q", got)
			}
			h.expectIn("stage", "ada", "cat")
		})
	}
}

// generation of the connection that speaks for a member: the first that it takes.
func generation(h *hall, m *member) uint32 {
	for g := uint32(1); ; g++ {
		if err := m.p.Ping(room.Call{Generation: g, Batch: m.batch}); !errors.Is(err, room.ErrFenced) {
			m.batch.Flush()
			return g
		}
	}
}

// Somebody who is moved while it is away has a whole grace period there, and no
// more.
func TestMovedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, room.Config{AutoCreate: true, Grace: 10 * time.Second})
		h.join("keeper")
		cat := h.join("cat", toRoom("stage"))
		ada := h.join("ada")
		joined := last[*room.Snapshot](t, ada)
		ada.p.Disconnected(ada.batch, 1, true)
		time.Sleep(9 * time.Second)
		must(t, h.move("ada", "hall", "stage"))
		time.Sleep(9 * time.Second)
		h.expectIn("stage", "ada", "cat")
		time.Sleep(2 * time.Second)
		h.expectIn("stage", "cat")
		if left := last[*room.ParticipantLeft](t, cat); left.Reason != room.ConnectionTimeout {
			t.Errorf("cat was told %+v", left)
		}
		if _, err := h.resume(joined, 0); err == nil {
			t.Error("it came back after its time")
		}
	})
}

// A hidden participant comes and goes without a trace.
func TestMoveHidden(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true, MaxParticipants: 1})
	bob, cat := h.join("bob"), h.join("cat", toRoom("stage"))
	spy := h.join("spy", hidden)
	fromBob, fromCat := bob.count(), cat.count()
	must(t, h.move("spy", "hall", "stage"), h.move("spy", "stage", "hall"), h.move("spy", "hall", "stage"))
	spy.follow()
	spy.follow()
	spy.follow()
	spy.ack()
	must(t, bob.p.UpdateMetadata(bob.call(1), room.Change{Name: new("Bob")}), cat.p.UpdateMetadata(cat.call(1), room.Change{Name: new("Cat")}))
	bob.batch.Flush()
	cat.batch.Flush()
	h.expect(bob, fromBob, "ParticipantUpdated", "Reply")
	h.expect(cat, fromCat, "ParticipantUpdated", "Reply")
	for _, m := range []*member{bob, cat} {
		if seq, at := last[*room.ParticipantUpdated](t, m).Seq, last[*room.Snapshot](t, m).Seq; seq != at+1 {
			t.Errorf("%s was told event %d after %d", m.p.Identity, seq, at)
		}
	}
	h.expectIn("stage", "cat", "spy")
	if n := h.lookup("stage").Summary().NumParticipants; n != 1 {
		t.Errorf("the stage counts %d", n)
	}
}

// The one of the same identity there gives way.
func TestMoveReplaces(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true, MaxParticipants: 2})
	h.join("keeper")
	cat, there := h.join("cat", toRoom("stage")), h.join("ada", toRoom("stage"))
	here := h.join("ada")
	n := cat.count()
	must(t, h.move("ada", "hall", "stage"))
	h.expect(cat, n, "ParticipantLeft", "ParticipantJoined")
	if c := there.ended(); c == nil || *c != room.CauseReplaced {
		t.Errorf("who was there ended with %v", c)
	}
	if here.ended() != nil {
		t.Error("the one who was moved ended")
	}
	h.expectIn("stage", "ada", "cat")
}

// A request that waits for the store is answered, wherever its sender is then.
func TestMovedWhileItsRequestWaits(t *testing.T) {
	s := newSlowStore(t)
	h := start(t, room.Config{AutoCreate: true, Store: s})
	h.join("keeper", toRoom("stage"))
	h.join("bob")
	ada := h.join("ada", func(g *auth.Grant) {
		g.Base[0].Allow |= auth.ModerateParticipants
		g.Base[0].Deny &^= auth.ModerateParticipants
	})
	s.hold(true)
	done := make(chan error, 1)
	go func() {
		err := ada.p.UpdateParticipant(ada.call(1), room.Target{Identity: "bob"}, deny(auth.SendData))
		ada.batch.Flush()
		done <- err
	}()
	<-s.began
	must(t, h.move("ada", "hall", "stage"))
	s.hold(false)
	s.settle(nil)
	must(t, <-done)
	replies := 0
	for _, e := range ada.since(0) {
		if r, ok := e.(*room.Reply); ok && r.ID == 1 {
			replies++
		}
	}
	if replies != 1 {
		t.Errorf("it got %d replies, want one", replies)
	}
}

// A mover is a client in the storm: it reads what its connection is told, and
// checks it.
type mover struct {
	*member
	generation uint32
	id         uint64
}

// People move back and forth while they talk, leave, are cut and demoted.
// Nobody is lost, doubled or in two rooms, and nothing of one room is seen in
// the other.
func TestMovingStorm(t *testing.T) {
	seed := newSeed(t)
	watch := newWatcher()
	s := new(tokens)
	h := newHall(t, room.Config{AutoCreate: true, Observer: watch, Refresh: s.sign, DepartureTimeout: time.Hour})
	h.join("keeper")
	h.join("keeper", toRoom("stage"))
	names := []string{"hall", "stage"}
	const people = 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	var members []*member // every connection there was
	still := make([]*mover, people)
	fail := func(format string, args ...any) { t.Errorf(format, args...) }

	enter := func(i, n int) *mover {
		m, err := h.enter(grant(fmt.Sprint("p", i), issued(time.Now()), toRoom(names[n%2]), func(g *auth.Grant) { g.TokenHash[0], g.TokenHash[1] = byte(i), byte(n) }))
		m.batch.Flush()
		if err != nil {
			fail("joining: %v", err)
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		members = append(members, m)
		return &mover{member: m, generation: 1}
	}
	for i := range people {
		random := rand.New(rand.NewPCG(seed.Uint64(), uint64(i)))
		wg.Go(func() {
			c := enter(i, i)
			if c == nil {
				return
			}
			defer func() { still[i] = c }()
			var call func(func(room.Call) error)
			call = func(do func(room.Call) error) {
				c.id++
				if err := do(room.Call{Generation: c.generation, ID: c.id, Batch: c.batch}); errors.Is(err, room.ErrFenced) {
					q := c.p.Successor()
					if q == nil {
						return // removed
					}
					c.p = q
					call(do)
				}
				c.batch.Flush()
			}
			for n := range rounds(200) {
				if c.ended() != nil {
					if c = enter(i, n); c == nil {
						return
					}
				}
				switch random.IntN(12) {
				case 0, 1, 2:
					from := c.p.Room().Name
					to := names[random.IntN(2)]
					err := h.move(c.p.Identity, from, to)
					var invalid *room.InvalidError
					if err != nil && !errors.Is(err, room.ErrNoParticipant) && !errors.As(err, &invalid) {
						fail("moving: %v", err)
					}
				case 3, 4, 5, 6:
					call(func(k room.Call) error {
						m := says(c.p.Room().Name)
						m.Reliable = random.IntN(2) == 0
						return c.p.PublishData(k, m)
					})
				case 7:
					call(func(k room.Call) error {
						return c.p.PublishTrack(k, room.Track{Kind: room.Audio, Source: auth.Microphone})
					})
				case 8:
					call(func(k room.Call) error {
						return c.p.UpdatePresence(k, room.Presence{"room": []byte(`"` + c.p.Room().Name + `"`)}, true)
					})
				case 9:
					say := allow(auth.SendData | auth.SendMicrophone)
					switch random.IntN(3) {
					case 0:
						say = deny(auth.SendData | auth.SendMicrophone)
					case 1:
						say = allow(auth.Hidden)
					case 2:
						say.Permission.Deny = auth.Hidden
					}
					if r, ok := h.rooms.Lookup("test", names[random.IntN(2)]); ok {
						b := h.rooms.Batch()
						if _, err := r.Update(b, room.Target{Identity: fmt.Sprint("p", random.IntN(people))}, say); err != nil && !room.IsNotFound(err) {
							fail("updating: %v", err)
						}
						b.Flush()
					}
				case 10:
					if random.IntN(2) == 0 {
						call(func(k room.Call) error { return c.p.Leave(k) })
						break
					}
					b := h.rooms.Batch()
					err := h.rooms.Remove(b, "test", names[random.IntN(2)], room.Target{Identity: fmt.Sprint("p", random.IntN(people))},
						room.Removal{Until: time.Unix(1, 0)})
					b.Flush()
					if err != nil && !room.IsNotFound(err) {
						fail("removing: %v", err)
					}
				case 11:
					told := c.since(0)
					if len(told) == 0 {
						break // it was put out before it was told that it is in
					}
					joined := told[0].(*room.Snapshot)
					c.p.Disconnected(c.batch, c.generation, true)
					c.batch.Flush()
					back := &member{hall: h, batch: h.rooms.Batch()}
					secret, _ := room.ParseSecret(joined.Secret)
					p, generation, ended, err := h.rooms.Resume(back.batch, room.Resumption{Session: joined.Session, Secret: secret, Received: 1 << 40, Conn: back})
					back.p = p
					back.batch.Flush()
					if err != nil || ended != nil {
						if err != nil {
							fail("resuming: %v", err)
						}
						break
					}
					mu.Lock()
					members = append(members, back)
					mu.Unlock()
					c = &mover{member: back, generation: generation, id: c.id}
				}
				if random.IntN(3) == 0 { // sometimes it is slow to see that it was moved
					call(func(k room.Call) error {
						k.ID = 0
						return c.p.Ack(k, reliable(c.since(0)))
					})
				}
			}
		})
	}
	wg.Wait()

	for _, m := range members {
		m.check(t)
	}
	where := map[string][]string{}
	for _, name := range names {
		r := h.lookup(name)
		shown := 0
		for _, i := range r.Participants() {
			where[i.Identity] = append(where[i.Identity], name)
			if !i.Permission.Hidden() {
				shown++
			}
		}
		if n := r.Summary().NumParticipants; n != shown {
			t.Errorf("%s counts %d, %d are shown", name, n, shown)
		}
	}
	for i, c := range still {
		if c == nil {
			continue
		}
		want := 1
		if c.ended() != nil {
			want = 0
		}
		if got := where[fmt.Sprint("p", i)]; len(got) != want {
			t.Errorf("p%d is in %v, want in %d of them", i, got, want)
		}
	}
	h.rooms.Stop()
	for _, name := range names {
		must(t, h.lookup(name).Delete(h.rooms.Batch()))
	}
	watch.check(t)
}

// check goes through all that a connection was told: every numbered event, of
// one room at a time, and nobody twice.
func (m *member) check(t *testing.T) {
	t.Helper()
	var seq uint64
	where := ""
	people := map[string]bool{}
	next := func(n uint64, e room.Event) {
		if n != 0 && n != seq+1 {
			t.Errorf("%s: event %d follows event %d: %T", m.p.Identity, n, seq, e)
		}
		seq = max(seq, n)
	}
	open := func(s *room.Snapshot) {
		seq, where = s.Seq, s.Room.Name
		clear(people)
		people[s.Session] = true
		for _, i := range s.Participants {
			people[i.SID] = true
		}
	}
	for _, e := range m.since(0) {
		switch e := e.(type) {
		case *room.Snapshot:
			open(e)
		case *room.Moved:
			if e.Room.Name == where {
				t.Errorf("%s was moved to the room where it was", m.p.Identity)
			}
			open(&e.Snapshot)
		case *room.ParticipantJoined:
			next(e.Seq, e)
			if people[e.Participant.SID] && e.Participant.SID != m.p.SID {
				t.Errorf("%s: %s joined twice", m.p.Identity, e.Participant.Identity)
			}
			people[e.Participant.SID] = true
		case *room.ParticipantLeft:
			next(e.Seq, e)
			if !people[e.SID] {
				t.Errorf("%s: %s left, who was not there", m.p.Identity, e.Identity)
			}
			people[e.SID] = e.SID == m.p.SID // it has become hidden
		case *room.ParticipantUpdated:
			next(e.Seq, e)
			if !people[e.Participant.SID] {
				t.Errorf("%s: an update of %s, who is not there", m.p.Identity, e.Participant.Identity)
			}
		case *room.TrackPublished:
			next(e.Seq, e)
		case *room.TrackUnpublished:
			next(e.Seq, e)
		case *room.TrackMuted:
			next(e.Seq, e)
		case *room.RoomUpdated:
			next(e.Seq, e)
		case *room.PresenceUpdated:
			if !people[e.SID] {
				t.Errorf("%s: presence of somebody who is not there", m.p.Identity)
			}
			if p := string(e.Presence["room"]); p != "" && p != `"`+where+`"` {
				t.Errorf("%s, in %s, was told a presence of %s", m.p.Identity, where, p)
			}
		case *room.Data:
			if string(e.Payload) != `"`+where+`"` {
				t.Errorf("%s, in %s, was told data of %s", m.p.Identity, where, e.Payload)
			}
			if e.From != nil && !people[e.From.SID] {
				t.Errorf("%s: data of somebody who is not there", m.p.Identity)
			}
		}
	}
}
