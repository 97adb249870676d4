package liveblocks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
	"usher/room"
	"usher/session/sessiontest"
)

var (
	mayWrite = []string{"room:write"}
	mayRead  = []string{"room:read", "room:presence:write"}
)

func open(list []string) auth.AccessList { return auth.AccessList{Default: list} }

// counted is the sum of a counter, of those with that value of their label unless it
// is empty.
func counted(t *testing.T, reg *prometheus.Registry, name, label string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// An edit of the access list is in force when the call returns: the client's own
// permission flips without another connection, and the others are told.
func TestLiveDemotionAndPromotion(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := sessiontest.Serve(t, sessiontest.Options{QuietReaders: true, Room: func(c *room.Config) { c.Metrics = reg }})
	create(s, "design", open(mayWrite))
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada")) // an access token: no list concerns her
	bob, state := s.JoinLiveblocks("design", s.IDToken("bob"))
	ada.Present(`{"at":"ada"}`)
	bob.Present(`{"at":"bob"}`)
	ada.Expect(100)
	bob.Expect(100)
	if got := state.JSON("scopes"); got != `["*:write"]` {
		t.Fatalf("bob enters with %s", got)
	}
	bob.Broadcast(`1`)
	ada.Expect(103)

	edit(s, "design", room.LiveblocksChange{Default: &mayRead})
	bob.Broadcast(`2`)
	bob.Send(`{"type":201,"ops":[{"opId":"1:1"}]}`)
	again := bob.Expect(104)
	if again.Actor() != state.Actor() || again.JSON("scopes") != `["*:read"]` || !again.Bare || len(again.Fields["users"].(map[string]any)) != 1 {
		t.Errorf("after the demotion bob is told %s", again.Text)
	}
	if !strings.Contains(again.Text, `"id":"ada","info":{"name":"ada"},"scopes":["*:write"]`) {
		t.Errorf("a part of ada is missing, and forgotten: %s", again.Text)
	}
	if got := bob.Expect(299).Fields["reason"]; got != "not allowed: this user may only read" {
		t.Errorf("his write was rejected with %q", got)
	}
	same(t, ada.Expect(101), fmt.Sprintf(`{"type":101,"actor":%d,"id":"bob","info":{"name":"bob"},"scopes":["*:read"]}`, state.Actor()))
	bob.Present(`{"at":"still"}`) // whoever may be there may do that
	ada.ExpectWhere("his presence", func(m sessiontest.LiveblocksMessage) bool { return m.JSON("data") == `{"at":"still"}` })

	edit(s, "design", room.LiveblocksChange{Users: map[string]*[]string{"bob": &mayWrite}})
	if m := bob.Expect(104); m.JSON("scopes") != `["*:write"]` || m.Actor() != state.Actor() {
		t.Errorf("after the promotion bob is told %s", m.Text)
	}
	ada.Expect(101)
	bob.Broadcast(`3`)
	if got := ada.Expect(103).JSON("event"); got != "3" {
		t.Errorf("ada got event %s, want 3: what he said as a reader is not heard", got)
	}
	bob.Sync()
	for _, m := range bob.Seen() {
		if m.Type() == 101 && m.Actor() == state.Actor() {
			t.Errorf("bob was told of himself: %s", m.Text)
		}
	}
	if n := counted(t, reg, "usher_denials_total", "canPublishData"); n != 1 {
		t.Errorf("%v broadcasts were counted as denied, want 1", n)
	}
	if n := counted(t, reg, "usher_denials_total", "canWriteStorage"); n != 1 {
		t.Errorf("%v writes were counted as denied, want 1", n)
	}
}

// Whoever has no access any more is put out, with a code that keeps it out, and
// nothing of it is accepted.
func TestLiveLossOfAccess(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	create(s, "design", auth.AccessList{Default: []string{}, Groups: map[string][]string{"staff": mayWrite}})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	s.DialLiveblocks("design", s.IDToken("eve")).ExpectClose(4001)
	bob, state := s.JoinLiveblocks("design", s.IDToken("bob", "staff"))
	edit(s, "design", room.LiveblocksChange{Groups: map[string]*[]string{"staff": nil}})
	_ = bob.WS.Write(t.Context(), websocket.MessageText, []byte(`[{"type":103,"event":"too late"}]`)) // if it still can
	if reason := bob.ExpectClose(4001); !strings.Contains(reason, "no access") {
		t.Errorf("got %q", reason)
	}
	if got := ada.Expect(102).Actor(); got != state.Actor() {
		t.Errorf("%d left", got)
	}
	s.DialLiveblocks("design", s.IDToken("bob", "staff")).ExpectClose(4001)
	ada.Sync()
	if ada.Count(103) != 0 {
		t.Error("an event came through")
	}
	edit(s, "design", room.LiveblocksChange{Groups: map[string]*[]string{"staff": &mayRead}})
	_, state = s.JoinLiveblocks("design", s.IDToken("bob", "staff"))
	if got := state.JSON("scopes"); got != `["*:read"]` {
		t.Errorf("got %s", got)
	}
}

// What ends a room, or somebody's stay in it, has its code.
func TestEndings(t *testing.T) {
	long := strings.Repeat("x", 128)
	for name, test := range map[string]struct {
		do     func(*sessiontest.Server, *room.Batch) error
		code   int
		reason string
	}{
		"renamed": {func(s *sessiontest.Server, b *room.Batch) error {
			_, err := s.Rooms.RenameLiveblocks(b, "test", "design", "drawing/ä 1")
			return err
		}, 4006, "drawing/ä 1"},
		"renamed to a long id": {func(s *sessiontest.Server, b *room.Batch) error {
			_, err := s.Rooms.RenameLiveblocks(b, "test", "design", long)
			return err
		}, 4001, "too long to be told"},
		"deleted": {func(s *sessiontest.Server, b *room.Batch) error {
			return s.Rooms.DeleteLiveblocks(b, "test", "design")
		}, 4001, "deleted"},
		"of another organization": {func(s *sessiontest.Server, b *room.Batch) error {
			_, err := s.Rooms.MoveLiveblocks(b, "test", "design", "acme")
			return err
		}, 4001, "no access"},
		"removed": {func(s *sessiontest.Server, b *room.Batch) error {
			r, _ := s.Rooms.Lookup("test", "design")
			return r.Remove(b, room.Target{Identity: "bob"}, room.Removal{})
		}, 4001, "removed"},
		"revoked": {func(s *sessiontest.Server, b *room.Batch) error {
			_, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", Identity: "bob", Until: time.Now()})
			return err
		}, 4001, "client.logout()"},
		"with its key": {func(s *sessiontest.Server, _ *room.Batch) error {
			keys, err := auth.NewKeys(nil, []string{s.Door.Key("test").ID})
			s.Verifier.SetKeys(keys)
			s.Sessions.KeysChanged()
			return err
		}, 4001, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sessiontest.Serve(t, sessiontest.Options{})
			create(s, "design", open(mayWrite))
			bob, _ := s.JoinLiveblocks("design", s.IDToken("bob"))
			b := s.Rooms.Batch()
			if err := test.do(s, b); err != nil {
				t.Fatal(err)
			}
			b.Flush()
			if reason := bob.ExpectClose(test.code); !strings.Contains(reason, test.reason) {
				t.Errorf("got %q, want %q", reason, test.reason)
			}
		})
	}
}

// In a room of many who lose and gain, everybody ends with what is so.
func TestManyAreDemoted(t *testing.T) {
	const many = 60 // more than are announced one by one
	s := sessiontest.Serve(t, sessiontest.Options{})
	create(s, "design", open(mayWrite))
	var people []*sessiontest.Liveblocks
	var actors []int
	for n := range many {
		c, state := s.JoinLiveblocks("design", s.IDToken(fmt.Sprint("p", n)))
		c.Present(fmt.Sprintf(`{"n":%d}`, n))
		people, actors = append(people, c), append(actors, state.Actor())
	}
	edit(s, "design", room.LiveblocksChange{Default: &mayRead, Users: map[string]*[]string{"p0": &mayWrite}})
	edit(s, "design", room.LiveblocksChange{Users: map[string]*[]string{"p1": &mayWrite}})
	for _, c := range people {
		c.Sync() // what it said has been handled
	}
	for n, c := range people {
		c.Sync()
		view := follow(t, c)
		if want := map[bool]string{true: `["*:write"]`, false: `["*:read"]`}[n < 2]; view.scopes != want {
			t.Errorf("p%d believes to have %s, want %s", n, view.scopes, want)
		}
		if len(view.users) != many-1 {
			t.Errorf("p%d knows of %d, want %d", n, len(view.users), many-1)
		}
		for m, actor := range actors {
			if m == n {
				continue
			}
			want := map[bool]string{true: `["*:write"]`, false: `["*:read"]`}[m < 2]
			if got := view.users[actor]; got.scopes != want || got.presence != fmt.Sprintf(`{"n":%d}`, m) {
				t.Fatalf("p%d sees p%d as %+v, want %s", n, m, got, want)
			}
		}
	}
}

// A view is what a client knows, followed as its source does.
type view struct {
	actor  int
	scopes string
	users  map[int]seen
}

type seen struct{ id, info, scopes, presence string }

func follow(t *testing.T, c *sessiontest.Liveblocks) view {
	t.Helper()
	v := view{users: map[int]seen{}}
	for _, m := range c.Seen() {
		switch m.Type() {
		case 104:
			if v.actor != 0 && m.Actor() != v.actor {
				t.Errorf("the actor changes from %d to %d", v.actor, m.Actor())
			}
			v.actor, v.scopes = m.Actor(), m.JSON("scopes")
			users := map[int]seen{}
			for key, u := range m.Fields["users"].(map[string]any) {
				var actor int
				if _, err := fmt.Sscan(key, &actor); err != nil {
					t.Fatal(err)
				}
				f := sessiontest.LiveblocksMessage{Fields: u.(map[string]any)}
				users[actor] = seen{f.JSON("id"), f.JSON("info"), f.JSON("scopes"), v.users[actor].presence}
			}
			v.users = users
		case 101:
			v.users[m.Actor()] = seen{m.JSON("id"), m.JSON("info"), m.JSON("scopes"), v.users[m.Actor()].presence}
		case 102:
			if _, ok := v.users[m.Actor()]; !ok {
				t.Errorf("%d left and was never there", m.Actor())
			}
			delete(v.users, m.Actor())
		case 100:
			u, ok := v.users[m.Actor()]
			if !ok || m.Actor() == v.actor {
				t.Errorf("presence of %d, who is not among the others", m.Actor())
			}
			u.presence = m.JSON("data")
			v.users[m.Actor()] = u
		case 103:
			if _, ok := v.users[m.Actor()]; !ok && m.Actor() != -1 {
				t.Errorf("an event of %d, who is not there", m.Actor())
			}
		}
	}
	return v
}

// People who come and go while others do: nobody hears of a stranger, and all end
// with the same.
func TestComingAndGoing(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	token := writer(s, "p")
	var stay []*sessiontest.Liveblocks
	var actors []int
	for n := range 45 {
		c, state := s.JoinLiveblocks("design", token)
		c.Present(`{}`)
		if n%3 == 0 {
			stay, actors = append(stay, c), append(actors, state.Actor())
			c.Broadcast(`"hello"`)
			continue
		}
		c.Sync()
		_ = c.WS.Close(1000, "")
	}
	slices.Sort(actors)
	for n, c := range stay {
		v := follow(t, c)
		for late := time.Now().Add(20 * time.Second); len(v.users) != len(stay)-1 && time.Now().Before(late); v = follow(t, c) {
			c.Sync() // the last to leave are announced on a tick
		}
		got := []int{v.actor}
		for actor := range v.users {
			got = append(got, actor)
		}
		slices.Sort(got)
		if !slices.Equal(got, actors) {
			t.Errorf("%d sees %v, want %v", n, got, actors)
		}
	}
}

// Whoever may have no presence any more does not show, and shows again with it when
// that is lifted, also when its client only says what it said before.
func TestPresenceTakenAndGivenBack(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.JoinLiveblocks("stage", writer(s, "ada"))
	bob, state := s.JoinLiveblocks("stage", writer(s, "bob"))
	bob.Present(`{"a":1}`)
	ada.Expect(100)
	say := func(p auth.Say) {
		t.Helper()
		r, _ := s.Rooms.Lookup("test", "stage")
		b := s.Rooms.Batch()
		defer b.Flush()
		if _, err := r.Update(b, room.Target{Identity: "bob"}, room.Change{Permission: &p}); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(c *sessiontest.Liveblocks) string {
		t.Helper()
		bob.Sync()
		c.Sync()
		u, ok := follow(t, c).users[state.Actor()]
		if !ok {
			t.Error("bob is not there at all")
		}
		return u.presence
	}
	say(auth.Say{Deny: auth.SendPresence})
	bob.Present(`{"a":2}`)
	if got := shows(ada); got != "" {
		t.Errorf("ada sees %s of bob, who may have no presence", got)
	}
	cyd, _ := s.JoinLiveblocks("stage", writer(s, "cyd"))
	if got := shows(cyd); got != "" {
		t.Errorf("cyd sees %s of bob, who may have no presence", got)
	}
	say(auth.Say{Allow: auth.SendPresence})
	bob.Send(`{"type":100,"targetActor":7,"data":{"a":1}}`)
	for _, c := range []*sessiontest.Liveblocks{ada, cyd} {
		if got := shows(c); got != `{"a":1}` {
			t.Errorf("bob's presence is %q again, want the one he had", got)
		}
	}
}
