package room_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A hall is rooms whose members' connections are memory: what a member is told
// can be looked at when the call that told it has been flushed.
type hall struct {
	t      *testing.T
	rooms  *room.Rooms
	events *events
}

// events numbers the events that are encoded: a frame is its event's number,
// so that a connection's bytes can be turned back into events.
type events struct {
	mu  sync.Mutex
	all []room.Event
}

const frameBytes = 9

func (*events) Dialect() int { return 0 }

func (e *events) Encode(ev room.Event) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
	return binary.BigEndian.AppendUint64([]byte{'E'}, uint64(len(e.all)-1))
}

// wireFrame is a track's frame with a number.
func wireFrame(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'W'}, n) }

// A passed frame is what a member gets of a track.
type passed struct{ room.Event }

// A member is a participant, and the connection that speaks for it.
type member struct {
	hall  *hall
	p     *room.Participant
	batch *room.Batch

	mu    sync.Mutex
	deaf  bool // keeps nothing of what it is told
	bytes []byte
	cause *room.Cause
	said  string // beside the cause
}

func (m *member) TryWrite(frames [][]byte) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range frames {
		if !m.deaf {
			m.bytes = append(m.bytes, f...)
		}
		n += len(f)
	}
	return n, nil
}

func (m *member) WriteSome(frames [][]byte) (int, error) { return m.TryWrite(frames) }

func (m *member) Farewell(rest []byte, cause room.Cause, detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes = append(m.bytes, rest...)
	if m.cause == nil {
		m.cause, m.said = &cause, detail
	}
}

func (m *member) Hurry() {}
func (m *member) Abort() {}

func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.bytes) / frameBytes
}

// since returns what the member was told after the first n things.
func (m *member) since(n int) []room.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hall.events.mu.Lock()
	defer m.hall.events.mu.Unlock()
	var told []room.Event
	for b := m.bytes[n*frameBytes:]; len(b) >= frameBytes; b = b[frameBytes:] {
		if b[0] == 'W' {
			told = append(told, passed{})
			continue
		}
		told = append(told, m.hall.events.all[binary.BigEndian.Uint64(b[1:])])
	}
	return told
}

func (m *member) ended() *room.Cause {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cause
}

// last returns the last event of a type that the member was told.
func last[E room.Event](t *testing.T, m *member) E {
	t.Helper()
	told := m.since(0)
	for i := len(told) - 1; i >= 0; i-- {
		if e, ok := told[i].(E); ok {
			return e
		}
	}
	var none E
	t.Fatalf("no %T among %d events", none, len(told))
	return none
}

func (m *member) call(id uint64) room.Call {
	return room.Call{Generation: 1, ID: id, Batch: m.batch}
}

func newHall(t *testing.T, cfg room.Config) *hall {
	rooms, err := room.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{t: t, rooms: rooms, events: new(events)}
	t.Cleanup(h.rooms.Close)
	return h
}

// grant is what a LiveKit token with nothing but identity and room grants.
func grant(identity string, change ...func(*auth.Grant)) *auth.Grant {
	g := &auth.Grant{Format: livekit.Format{}, Project: "test", Identity: identity, Room: "hall", Join: true, Kind: auth.Standard, Claims: []byte(`{}`),
		TokenHash: auth.TokenHash([]byte(fmt.Sprintf("%032s", identity))[:32])}
	base := livekit.StatementOf(livekit.Permission{CanSubscribe: true, CanPublish: true, CanPublishData: true, CanUpdateMetadata: true})
	base.Layer = livekit.Layer
	g.Base = []auth.Say{base}
	for _, f := range change {
		f(g)
	}
	return g
}

func hidden(g *auth.Grant) {
	g.Base[0].Allow |= auth.Hidden
	g.Base[0].Deny &^= auth.Hidden
}

// enter joins. It leaves the writing to its caller.
func (h *hall) enter(g *auth.Grant) (*member, error) {
	m := &member{hall: h, batch: h.rooms.Batch()}
	var err error
	m.p, err = h.rooms.Join(m.batch, room.Join{Grant: g, Room: g.Room, Conn: m, Encoder: h.events, Replay: true, AutoSubscribe: true})
	return m, err
}

func (h *hall) join(identity string, change ...func(*auth.Grant)) *member {
	h.t.Helper()
	m, err := h.enter(grant(identity, change...))
	if err != nil {
		h.t.Fatal(err)
	}
	m.batch.Flush()
	return m
}

func (h *hall) room() *room.Room {
	h.t.Helper()
	r, ok := h.rooms.Lookup("test", "hall")
	if !ok {
		h.t.Fatal("the room is gone")
	}
	return r
}

func (h *hall) update(to room.Target, ch room.Change) {
	h.t.Helper()
	b := h.rooms.Batch()
	if _, err := h.room().Update(b, to, ch); err != nil {
		h.t.Fatal(err)
	}
	b.Flush()
}

// kinds names the types of events, for comparing.
func kinds(events []room.Event) []string {
	names := []string{}
	for _, e := range events {
		names = append(names, fmt.Sprintf("%T", e)[len("*room."):])
	}
	return names
}

func (h *hall) expect(m *member, from int, want ...string) {
	h.t.Helper()
	if got := kinds(m.since(from)); !slices.Equal(got, append([]string{}, want...)) {
		h.t.Errorf("%s was told %v, want %v", m.p.Identity, got, want)
	}
}

// What a hidden participant does is not seen, and turning hidden on and off is
// told as a leave and a join.
func TestHiddenParticipant(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	ada := h.join("ada")
	n := ada.count()
	seq := last[*room.Snapshot](t, ada).Seq
	spy := h.join("spy", hidden)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(spy.p.UpdatePresence(spy.call(1), room.Presence{"x": []byte("1")}, false))
	must(spy.p.UpdateMetadata(spy.call(2), room.Change{Name: new("Spy")}))
	must(spy.p.PublishTrack(spy.call(3), room.Track{Kind: room.Video, Source: auth.Camera}))
	spy.batch.Flush()
	h.expect(ada, n)
	if d := last[*room.Reply](t, spy).Denial; d == nil || d.Permission != "hidden" {
		t.Errorf("a hidden participant's track: got %+v, want a denial by hidden", d)
	}
	must(spy.p.PublishData(spy.call(4), room.Message{Payload: []byte("1"), Reliable: true}))
	spy.batch.Flush()
	if d := last[*room.Data](t, ada); d.From != nil {
		t.Errorf("its data names %+v", d.From)
	}
	must(ada.p.ListParticipants(ada.call(1), "", 0))
	ada.batch.Flush()
	if r := last[*room.Reply](t, ada); len(r.Participants) != 1 || r.NumParticipants != 1 {
		t.Errorf("the list has %d of %d, want 1 of 1", len(r.Participants), r.NumParticipants)
	}
	if s := h.room().Summary(); s.NumParticipants != 1 {
		t.Errorf("the room counts %d, want 1", s.NumParticipants)
	}

	n = ada.count()
	say := livekit.StatementOf(livekit.Permission{CanSubscribe: true, CanPublish: true, CanPublishData: true})
	h.update(room.Target{Identity: "spy"}, room.Change{Permission: &say})
	h.expect(ada, n, "ParticipantJoined", "PresenceUpdated", "ParticipantUpdated")
	if j := last[*room.ParticipantJoined](t, ada); j.Seq != seq+1 || j.Participant.Name != "Spy" {
		t.Errorf("it appears as number %d, %q, want %d, Spy", j.Seq, j.Participant.Name, seq+1)
	}
	must(spy.p.PublishTrack(spy.call(5), room.Track{Kind: room.Audio, Source: auth.Microphone}))
	spy.batch.Flush()
	n = ada.count()
	say = livekit.StatementOf(livekit.Permission{CanSubscribe: true, CanPublish: true, CanPublishData: true, Hidden: true})
	h.update(room.Target{Identity: "spy"}, room.Change{Permission: &say})
	h.expect(ada, n, "TrackUnpublished", "ParticipantLeft")
	n = ada.count()
	must(spy.p.Leave(spy.call(6)))
	spy.batch.Flush()
	h.expect(ada, n)
}

func TestDuplicateIdentity(t *testing.T) {
	for _, test := range []struct {
		policy room.Policy
		cut    bool // the one who was there is reconnecting
		err    error
		ends   bool // its session
		there  int
	}{
		{room.Replace, false, nil, true, 1},
		{room.Replace, true, nil, true, 1},
		{room.Reject, false, room.ErrIdentityTaken, false, 1},
		{room.Reject, true, nil, true, 1},
		{room.Allow, false, nil, false, 2},
		{room.Allow, true, nil, true, 1},
	} {
		t.Run(fmt.Sprint(test.policy, ",cut=", test.cut), func(t *testing.T) {
			h := newHall(t, room.Config{AutoCreate: true, DuplicateIdentity: test.policy})
			first := h.join("ada")
			h.join("bob")
			if test.cut {
				first.p.Disconnected(first.batch, 1, true)
				first.batch.Flush()
			}
			second, err := h.enter(grant("ada"))
			second.batch.Flush()
			if !errors.Is(err, test.err) {
				t.Fatalf("got %v, want %v", err, test.err)
			}
			if !test.cut && (first.ended() != nil) != test.ends || first.ended() != nil && !test.cut && *first.ended() != room.CauseReplaced {
				t.Errorf("the first one ended: %v, want %t", first.ended(), test.ends)
			}
			there := 0
			for _, i := range h.room().Participants() {
				if i.Identity == "ada" {
					there++
				}
			}
			if there != test.there {
				t.Errorf("%d participants are there, want %d", there, test.there)
			}
		})
	}
}

// The limit is exact however many come at once, hidden and dependent ones do
// not count, and a replaced participant's place goes to whom replaces it.
func TestRoomLimit(t *testing.T) {
	const limit, people = 10, 100
	h := newHall(t, room.Config{AutoCreate: true, MaxParticipants: limit})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var in []string
	for i := range people {
		wg.Go(func() {
			m, err := h.enter(grant(fmt.Sprint("p", i)))
			m.batch.Flush()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				in = append(in, fmt.Sprint("p", i))
			case !errors.Is(err, room.ErrFull):
				t.Errorf("got %v, want %v", err, room.ErrFull)
			}
		})
	}
	wg.Wait()
	if len(in) != limit {
		t.Fatalf("%d were let in, want %d", len(in), limit)
	}
	h.join("spy", hidden)
	h.join("robot", func(g *auth.Grant) { g.Kind = auth.Agent })
	h.join(in[0])
	if _, err := h.enter(grant("one-more")); !errors.Is(err, room.ErrFull) {
		t.Fatalf("got %v, want %v", err, room.ErrFull)
	}
	if n := h.room().Summary().NumParticipants; n != limit+1 {
		t.Errorf("the room counts %d, want %d", n, limit+1)
	}
}

// A live statement holds against tokens that say otherwise as long as the room
// lives, unless the rooms are forgetful.
func TestLiveStatementsStick(t *testing.T) {
	for _, forgetful := range []bool{false, true} {
		t.Run(fmt.Sprint("forgetful=", forgetful), func(t *testing.T) {
			h := newHall(t, room.Config{AutoCreate: true, Forgetful: forgetful})
			h.join("bob") // keeps the room
			ada := h.join("ada")
			say := livekit.StatementOf(livekit.Permission{CanSubscribe: true})
			h.update(room.Target{Identity: "ada"}, room.Change{Permission: &say})
			if err := ada.p.Leave(ada.call(1)); err != nil {
				t.Fatal(err)
			}
			ada.batch.Flush()
			ada = h.join("ada")
			if got := last[*room.Snapshot](t, ada).Self.Permission.Allows(auth.SendData); got != forgetful {
				t.Errorf("it may send data again: %t, want %t", got, forgetful)
			}
		})
	}
}

// A statement about one participant of a person leaves the others alone.
func TestStatementAboutOneParticipant(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true, DuplicateIdentity: room.Allow})
	one, two := h.join("ada"), h.join("ada")
	say := livekit.StatementOf(livekit.Permission{CanSubscribe: true})
	h.update(room.Target{SID: one.p.SID}, room.Change{Permission: &say})
	for m, want := range map[*member]bool{one: false, two: true} {
		i, err := h.room().Participant(room.Target{SID: m.p.SID})
		if err != nil {
			t.Fatal(err)
		}
		if got := i.Permission.Allows(auth.SendData); got != want {
			t.Errorf("%s may send data: %t, want %t", m.p.SID, got, want)
		}
	}
}

// Whoever is removed is not there any more when Remove has returned, whoever
// joins with the same token at the same time.
func TestRemoveRacesJoin(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	h.join("keeper")
	r := h.room()
	for i := range rounds(5000) {
		identity := fmt.Sprint("p", i)
		g := grant(identity)
		first, err := h.enter(g)
		if err != nil {
			t.Fatal(err)
		}
		first.batch.Flush()
		refreshed := grant(identity, func(g *auth.Grant) {
			g.TokenHash[0]++
			g.Origin = &auth.Origin{Session: first.p.SID}
		})
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, g := range []*auth.Grant{g, refreshed} {
			wg.Go(func() {
				<-start
				for range 3 {
					m, err := h.enter(g)
					m.batch.Flush()
					if err != nil && !errors.Is(err, room.ErrRevoked) {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			<-start
			b := h.rooms.Batch()
			if err := r.Remove(b, room.Target{Identity: identity}, room.Removal{}); err != nil {
				t.Error(err)
			}
			b.Flush()
		})
		close(start)
		wg.Wait()
		if info, err := r.Participant(room.Target{Identity: identity}); !errors.Is(err, room.ErrNoParticipant) {
			t.Fatalf("round %d: %+v is there after it was removed", i, info)
		}
	}
}

// Whoever makes a room and is refused, because others have filled it in the same
// moment, does not end it for them.
func TestMakerIsRefused(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true, MaxParticipants: 1})
	made, filled := make(chan struct{}), make(chan struct{})
	var came atomic.Bool
	room.BeforeLock(t, func() {
		if came.CompareAndSwap(false, true) { // the first is the maker
			close(made)
			<-filled
		}
	})
	var maker error
	var wg sync.WaitGroup
	wg.Go(func() {
		var m *member
		m, maker = h.enter(grant("maker"))
		m.batch.Flush()
	})
	<-made
	h.join("other")
	close(filled)
	wg.Wait()
	if !errors.Is(maker, room.ErrFull) {
		t.Errorf("the maker: got %v, want %v", maker, room.ErrFull)
	}
	if _, err := h.room().Participant(room.Target{Identity: "other"}); err != nil {
		t.Errorf("the other: %v", err)
	}
}
