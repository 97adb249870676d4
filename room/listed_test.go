package room_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/room"
	"usher/room/store"
)

var (
	listFormat = liveblocks.New(liveblocks.Config{ReadersBroadcast: true})
	// strictFormat is of a project in which readers do not broadcast.
	strictFormat = liveblocks.New(liveblocks.Config{})
)

// idToken is what a Liveblocks ID token grants: the room's list decides.
func idToken(identity string, groups ...string) *auth.Grant {
	return &auth.Grant{Format: listFormat, Project: "test", Identity: identity, Groups: groups, Organization: auth.DefaultOrganization,
		Join: true, Kind: auth.Standard, Claims: []byte(`{}`), Issued: time.Now(), TokenHash: auth.TokenHash([]byte(fmt.Sprintf("L%031s", identity))[:32])}
}

// accessToken is what a Liveblocks access token grants: its own patterns decide.
func accessToken(t *testing.T, identity string, perms string) *auth.Grant {
	t.Helper()
	g := &auth.Grant{Format: listFormat, Project: "test", Claims: []byte(`{}`), Issued: time.Now()}
	if err := listFormat.Decode([]byte(fmt.Sprintf(`{"k":"acc","pid":"test","uid":%q,"perms":%s}`, identity, perms)), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func of(organization string, g *auth.Grant) *auth.Grant {
	g.Organization = organization
	return g
}

// visit joins a room as a Liveblocks client does: it is told anew, not what has
// changed, and does not resume.
func (h *hall) visit(name string, g *auth.Grant) (*member, error) {
	m := &member{hall: h, batch: h.rooms.Batch()}
	var err error
	m.p, err = h.rooms.Join(m.batch, room.Join{Grant: g, Room: name, Conn: m, Encoder: h.events, Restate: true})
	m.batch.Flush()
	return m, err
}

func (h *hall) visits(name string, g *auth.Grant) *member {
	h.t.Helper()
	m, err := h.visit(name, g)
	if err != nil {
		h.t.Fatalf("%s: %v", g.Identity, err)
	}
	return m
}

func access(words ...string) auth.AccessList { return auth.AccessList{Default: words} }

func (h *hall) create(name string, list auth.AccessList) room.LiveblocksRoom {
	h.t.Helper()
	made, err := h.rooms.CreateLiveblocks(h.rooms.Batch(), "test", name, room.LiveblocksRoom{Access: list})
	if err != nil {
		h.t.Fatal(err)
	}
	return made
}

func (h *hall) edit(name string, ch room.LiveblocksChange) room.LiveblocksRoom {
	h.t.Helper()
	now, err := h.rooms.UpdateLiveblocks(h.rooms.Batch(), "test", name, ch)
	if err != nil {
		h.t.Fatal(err)
	}
	return now
}

// Changes of an access list.
func byDefault(words ...string) room.LiveblocksChange {
	return room.LiveblocksChange{Default: &words}
}

func byUser(id string, words ...string) room.LiveblocksChange {
	return room.LiveblocksChange{Users: map[string]*[]string{id: &words}}
}

func byGroup(id string, words ...string) room.LiveblocksChange {
	return room.LiveblocksChange{Groups: map[string]*[]string{id: &words}}
}

func text(s string) *room.Metadatum        { return &room.Metadatum{Text: s} }
func texts(list ...string) *room.Metadatum { return &room.Metadatum{List: append([]string{}, list...)} }
func same(a, b room.LiveblocksRoom) bool   { return reflect.DeepEqual(plain(a), plain(b)) }
func plain(r room.LiveblocksRoom) room.LiveblocksRoom {
	r.Created, r.LastConnection = r.Created.UTC().Round(0), r.LastConnection.UTC().Round(0)
	return r
}

// What the API makes and changes is what it shows, also at the next start.
func TestPartsOutliveTheProcess(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("kill=", kill), func(t *testing.T) {
			stores(t, func(t *testing.T, s store.Store) {
				cfg := room.Config{Store: s}
				h := start(t, cfg)
				b := h.rooms.Batch()
				made, err := h.rooms.CreateLiveblocks(b, "test", "a:doc/1", room.LiveblocksRoom{Organization: "acme",
					Metadata: map[string]room.Metadatum{"k": {Text: "v"}, "list": {List: []string{}}, "gone": {Text: "x"}},
					Access: auth.AccessList{Default: []string{"room:read", "room:presence:write"}, Groups: map[string][]string{"g": {"*:write"}, "h": {"*:read"}},
						Users: map[string][]string{"ada": {"room:write"}, "bob": {}}}})
				if err != nil {
					t.Fatal(err)
				}
				if made.Name != "a:doc/1" || made.Organization != "acme" || made.Created.IsZero() || !made.LastConnection.IsZero() {
					t.Errorf("made %+v", made)
				}
				again, err := h.rooms.CreateLiveblocks(b, "test", "a:doc/1", room.LiveblocksRoom{Access: access("*:write")})
				if !errors.Is(err, room.ErrExists) || !same(again, made) {
					t.Errorf("made again: %+v, %v; want the one that there is", again, err)
				}
				now := h.edit("a:doc/1", room.LiveblocksChange{Default: &[]string{}, Groups: map[string]*[]string{"g": nil, "i": {"*:read"}}, ClearUsers: true,
					Users: map[string]*[]string{"eve": {"*:read"}}, Metadata: map[string]*room.Metadatum{"gone": nil, "new": texts("1", "2")}})
				want := made
				want.Metadata = map[string]room.Metadatum{"k": {Text: "v"}, "list": {List: []string{}}, "new": *texts("1", "2")}
				want.Access = auth.AccessList{Default: []string{}, Groups: map[string][]string{"h": {"*:read"}, "i": {"*:read"}}, Users: map[string][]string{"eve": {"*:read"}}}
				if !same(now, want) {
					t.Errorf("changed to %+v, want %+v", now, want)
				}
				h.create("deleted", access("*:write"))
				if err := h.rooms.DeleteLiveblocks(b, "test", "deleted"); err != nil {
					t.Fatal(err)
				}
				if err := h.rooms.DeleteLiveblocks(b, "test", "deleted"); !errors.Is(err, room.ErrNotFound) {
					t.Errorf("deleted twice: %v", err)
				}
				if !kill {
					h.stop()
				}
				h = start(t, cfg)
				if got, err := h.rooms.Liveblocks("test", "a:doc/1"); err != nil || !same(got, want) {
					t.Errorf("after the start %+v, %v; want %+v", got, err, want)
				}
				if got, err := h.rooms.Liveblocks("test", "deleted"); !errors.Is(err, room.ErrNotFound) {
					t.Errorf("it is back: %+v, %v", got, err)
				}
				if list := h.rooms.List("test", nil); len(list) != 0 {
					t.Errorf("LiveKit's list has %+v", list)
				}
				if _, lives := h.rooms.Lookup("test", "a:doc/1"); lives {
					t.Error("a record alone has a life")
				}
			})
		})
	}
}

// The limits are the same whoever makes the part, and hold after merging.
func TestLimitsOfParts(t *testing.T) {
	h := start(t, room.Config{AutoCreate: true})
	b := h.rooms.Batch()
	long := func(n int) string { return strings.Repeat("é", n) }
	many := func(n int, id string) map[string][]string {
		m := make(map[string][]string)
		for i := range n {
			m[fmt.Sprint(id, i)] = []string{"*:read"}
		}
		return m
	}
	data := func(n int) map[string]room.Metadatum {
		m := make(map[string]room.Metadatum)
		for i := range n {
			m[fmt.Sprint(i)] = room.Metadatum{Text: "x"}
		}
		return m
	}
	one := func(key string, m room.Metadatum) room.LiveblocksRoom {
		return room.LiveblocksRoom{Metadata: map[string]room.Metadatum{key: m}}
	}
	for i, c := range []struct {
		name string
		part room.LiveblocksRoom
		ok   bool
	}{
		{long(128), room.LiveblocksRoom{}, true},
		{long(129), room.LiveblocksRoom{}, false},
		{"a*", room.LiveblocksRoom{}, false},
		{"", room.LiveblocksRoom{}, false},
		{"\xff", room.LiveblocksRoom{}, false},
		{"m50", room.LiveblocksRoom{Metadata: data(50)}, true},
		{"m51", room.LiveblocksRoom{Metadata: data(51)}, false},
		{"k40", one(long(40), room.Metadatum{}), true},
		{"k41", one(long(41), room.Metadatum{}), false},
		{"k0", one("", room.Metadatum{}), false},
		{"v256", one("k", *text(long(256))), true},
		{"v257", one("k", *text(long(257))), false},
		{"l256", one("k", *texts("x", long(256))), true},
		{"l257", one("k", *texts("x", long(257))), false},
		{"u1000", room.LiveblocksRoom{Access: auth.AccessList{Users: many(1000, "u")}}, true},
		{"u1001", room.LiveblocksRoom{Access: auth.AccessList{Users: many(1001, "u")}}, false},
		{"g1000", room.LiveblocksRoom{Access: auth.AccessList{Groups: many(1000, "g")}}, true},
		{"g1001", room.LiveblocksRoom{Access: auth.AccessList{Groups: many(1001, "g")}}, false},
		{"id256", room.LiveblocksRoom{Access: auth.AccessList{Users: many(1, long(255))}}, true},
		{"id257", room.LiveblocksRoom{Access: auth.AccessList{Users: many(1, long(256))}}, false},
		{"id0", room.LiveblocksRoom{Access: auth.AccessList{Groups: map[string][]string{"": {"*:read"}}}}, false},
	} {
		_, err := h.rooms.CreateLiveblocks(b, "test", c.name, c.part)
		var limit *room.LimitError
		var invalid *room.InvalidError
		if c.ok && err != nil || !c.ok && !errors.As(err, &limit) && !errors.As(err, &invalid) {
			t.Errorf("%d, %.20s: got %v, want ok %t", i, c.name, err, c.ok)
		}
	}
	if _, err := h.rooms.UpdateLiveblocks(b, "test", "m50", room.LiveblocksChange{Metadata: map[string]*room.Metadatum{"more": text("x")}}); err == nil {
		t.Error("the 51st entry was merged in")
	}
	if _, err := h.rooms.UpdateLiveblocks(b, "test", "m50", room.LiveblocksChange{Metadata: map[string]*room.Metadatum{"more": text("x"), "0": nil}}); err != nil {
		t.Errorf("the 50th entry: %v", err)
	}
	if _, err := h.rooms.UpdateLiveblocks(b, "test", "u1000", byUser("more", "*:read")); err == nil {
		t.Error("the 1001st user was merged in")
	}
	h.create("short", access())
	if _, err := h.rooms.RenameLiveblocks(b, "test", "short", long(129)); err == nil {
		t.Error("it was given a name that is too long")
	}
	for _, name := range []string{long(129), "a*"} {
		if _, err := h.visit(name, accessToken(t, "ada", `{"*":["*:write"]}`)); err == nil {
			t.Errorf("a join made %.20q", name)
		}
		if _, ok := h.rooms.Lookup("test", name); ok {
			t.Errorf("%.20q lives", name)
		}
	}
}

// Who may come in at all, by which token, and who makes a room by it.
func TestWhoMayEnter(t *testing.T) {
	h := start(t, room.Config{AutoCreate: true})
	b := h.rooms.Batch()
	for name, part := range map[string]room.LiveblocksRoom{
		"open":    {Access: access("room:write")},
		"reading": {Access: access("room:read", "room:presence:write")},
		"private": {Access: auth.AccessList{Groups: map[string][]string{"g": {"*:read"}}, Users: map[string][]string{"ada": {"*:write"}}}},
		"acme":    {Organization: "acme", Access: access("room:write")},
	} {
		if _, err := h.rooms.CreateLiveblocks(b, "test", name, part); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.rooms.Create("test", "made", auth.RoomConfig{}); err != nil {
		t.Fatal(err)
	}
	all := `{"*":["*:write"]}`
	livekit := func(name string) *auth.Grant { return grant("lk", func(g *auth.Grant) { g.Room = name }) }
	public := liveblocks.PublicGrant(listFormat, "test", "pk_x")
	visiting := func(g *auth.Grant) *auth.Grant { // it makes no room, whatever LiveKit's tokens may
		there := *g
		there.CreateListed = false
		return &there
	}
	for _, c := range []struct {
		room   string
		g      *auth.Grant
		want   error
		writes bool
		part   string // the organization of the part that the room then has
	}{
		{"open", idToken("x"), nil, true, "default"},
		{"reading", idToken("x"), nil, false, "default"},
		{"private", idToken("x"), room.ErrNotAllowed, false, "default"},
		{"private", idToken("x", "f", "g"), nil, false, "default"},
		{"private", idToken("ada"), nil, true, "default"},
		{"private", accessToken(t, "x", all), nil, true, "default"},
		{"private", accessToken(t, "x", `{"p*":["*:read"]}`), nil, false, "default"},
		{"private", accessToken(t, "x", `{"q*":["*:read"]}`), room.ErrNotAllowed, false, "default"},
		{"private", public, nil, true, "default"},
		{"private", livekit("private"), nil, false, "default"},
		{"acme", idToken("x"), room.ErrOrganization, false, "acme"},
		{"acme", of("acme", idToken("x")), nil, true, "acme"},
		{"acme", accessToken(t, "x", all), room.ErrOrganization, false, "acme"},
		{"acme", of("acme", accessToken(t, "x", all)), nil, true, "acme"},
		{"acme", public, room.ErrOrganization, false, "acme"},
		{"acme", livekit("acme"), nil, false, "acme"},
		{"open", of("acme", idToken("x")), room.ErrOrganization, false, "default"},
		{"made", idToken("x"), room.ErrNotAllowed, false, ""},
		{"made", of("acme", accessToken(t, "x", all)), room.ErrOrganization, false, ""},
		{"made", accessToken(t, "x", all), nil, true, ""},
		{"made", public, room.ErrNotAllowed, false, ""},
		{"made", livekit("made"), nil, false, ""},
		{"nowhere", idToken("x"), room.ErrNotAllowed, false, ""},
		{"nowhere", accessToken(t, "x", `{"q*":["*:read"]}`), room.ErrNotAllowed, false, ""},
		{"nowhere", visiting(accessToken(t, "x", all)), room.ErrNotAllowed, false, ""},
		{"nowhere", visiting(public), room.ErrNotAllowed, false, ""},
		{"made", visiting(accessToken(t, "x", all)), nil, true, ""},
		{"open", visiting(public), nil, true, "default"},
		{"by livekit", livekit("by livekit"), nil, false, ""},
		{"by token", accessToken(t, "x", `{"by*":["*:read"]}`), nil, false, "default"},
		{"by acme", of("acme", accessToken(t, "x", all)), nil, true, "acme"},
		{"by public", public, nil, true, "default"},
	} {
		name := fmt.Sprintf("%s in %s", c.g.Identity, c.room)
		m, err := h.visit(c.room, c.g)
		if c.want == nil != (err == nil) || !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if err == nil {
			if got := last[*room.Snapshot](t, m).Self.Permission.Allows(auth.WriteStorage); got != c.writes {
				t.Errorf("%s: writes %t, want %t", name, got, c.writes)
			}
		}
		got, err := h.rooms.Liveblocks("test", c.room)
		if (err == nil) != (c.part != "") || got.Organization != c.part {
			t.Errorf("%s: the room's part is of %q, %v; want %q", name, got.Organization, err, c.part)
		}
		if strings.HasPrefix(c.room, "by ") && c.part != "" && !slices.Equal(got.Access.Default, []string{"room:write"}) {
			t.Errorf("%s: the room it has made is for %q", name, got.Access.Default)
		}
		if err == nil {
			m.leaveIf()
		}
	}
	if _, ok := h.rooms.Lookup("test", "nowhere"); ok {
		t.Error("a refused join has left a room")
	}
}

func (m *member) leaveIf() {
	if m.p != nil {
		_ = m.p.Leave(m.call(0))
		m.batch.Flush()
	}
}

// The two APIs' parts of one room do not touch each other, and a timeout ends
// the life and LiveKit's part only.
func TestPartsAreIndependent(t *testing.T) {
	for what, c := range map[string]struct {
		act             func(h *run) error
		livekit, listed bool
		lives           bool
	}{
		"LiveKit deletes":    {func(h *run) error { return h.rooms.Delete(h.rooms.Batch(), "test", "hall") }, false, true, false},
		"Liveblocks deletes": {func(h *run) error { return h.rooms.DeleteLiveblocks(h.rooms.Batch(), "test", "hall") }, true, false, true},
		"both delete": {func(h *run) error {
			return errors.Join(h.rooms.DeleteLiveblocks(h.rooms.Batch(), "test", "hall"), h.rooms.Delete(h.rooms.Batch(), "test", "hall"))
		}, false, false, false},
		"it runs out": {func(h *run) error { time.Sleep(2 * time.Hour); synctest.Wait(); return nil }, false, true, false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := room.Config{Store: store.NewMemory()}
				h := start(t, cfg)
				h.create("hall", access("room:write"))
				if len(h.rooms.List("test", nil)) != 0 {
					t.Error("LiveKit's list has it before LiveKit made it")
				}
				first, err := h.rooms.Create("test", "hall", auth.RoomConfig{EmptyTimeout: time.Hour, Metadata: "m", DepartureTimeout: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				m := h.visits("hall", idToken("ada"))
				if what == "it runs out" {
					m.leave()
				}
				if err := c.act(h); err != nil {
					t.Fatal(err)
				}
				if what != "it runs out" {
					if cause := m.ended(); cause == nil || *cause != room.CauseRoomDeleted {
						t.Errorf("ada's session ended with %v", cause)
					}
				}
				check := func(when string) {
					t.Helper()
					_, err := h.rooms.Liveblocks("test", "hall")
					if (err == nil) != c.listed {
						t.Errorf("%s: Liveblocks' part: %v, want it %t", when, err, c.listed)
					}
					list := h.rooms.List("test", nil)
					if (len(list) == 1) != c.livekit {
						t.Errorf("%s: LiveKit lists %+v, want it %t", when, list, c.livekit)
					}
					if len(list) == 1 && (list[0].ID == first.ID || list[0].Metadata != "m" || list[0].EmptyTimeout != time.Hour) {
						t.Errorf("%s: another life of the same room is %+v, was %+v", when, list[0], first)
					}
					if _, lives := h.rooms.Lookup("test", "hall"); lives != c.lives {
						t.Errorf("%s: it lives: %t", when, lives)
					}
					if page, _, _ := h.rooms.ListLiveblocks("test", room.LiveblocksQuery{}); (len(page) == 1) != c.listed {
						t.Errorf("%s: Liveblocks lists %+v", when, page)
					}
				}
				check("now")
				h = start(t, cfg)
				check("after a start")
			})
		})
	}
}

// Pages show each room once, the newest first, whatever is made and deleted
// between them.
func TestPagesAreStable(t *testing.T) {
	seed := newSeed(t)
	h := start(t, room.Config{})
	b := h.rooms.Batch()
	n := rounds(10_000)
	for i := range n {
		part := room.LiveblocksRoom{Metadata: map[string]room.Metadatum{"odd": {Text: fmt.Sprint(i % 2)}}}
		if i%10 == 0 {
			part.Organization = "acme"
		}
		if _, err := h.rooms.CreateLiveblocks(b, "test", fmt.Sprint("room", i), part); err != nil {
			t.Fatal(err)
		}
		if _, err := h.rooms.CreateLiveblocks(b, "other", fmt.Sprint("room", i), part); err != nil {
			t.Fatal(err)
		}
	}
	odd := func(r *room.LiveblocksRoom) bool { return r.Metadata["odd"].Text == "1" }
	for name, c := range map[string]struct {
		q    room.LiveblocksQuery
		want int
	}{
		"all":        {room.LiveblocksQuery{Limit: 100}, n},
		"uneven":     {room.LiveblocksQuery{Limit: 7}, n},
		"default":    {room.LiveblocksQuery{}, n},
		"one org":    {room.LiveblocksQuery{Limit: 10, Organization: "acme"}, n / 10},
		"picked":     {room.LiveblocksQuery{Limit: 33, Match: odd}, n / 2},
		"picked org": {room.LiveblocksQuery{Limit: 33, Match: odd, Organization: "acme"}, 0},
	} {
		got := 0
		last := time.Now().Add(time.Hour)
		for q := c.q; ; {
			page, next, err := h.rooms.ListLiveblocks("test", q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				if r.Created.After(last) {
					t.Fatalf("%s: %s is newer than the one before it", name, r.Name)
				}
				last = r.Created
			}
			got += len(page)
			if next == "" {
				break
			}
			if len(page) == 0 {
				t.Fatalf("%s: an empty page with a next one", name)
			}
			q.After = next
		}
		if got != c.want {
			t.Errorf("%s: got %d rooms, want %d", name, got, c.want)
		}
	}
	// Rooms come and go between the pages, those at the cursor, too.
	seen := map[string]int{}
	deleted := map[string]bool{}
	q := room.LiveblocksQuery{Limit: 50}
	for i := 0; ; i++ {
		page, next, err := h.rooms.ListLiveblocks("test", q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			seen[r.Name]++
		}
		if next == "" {
			break
		}
		q.After = next
		h.create(fmt.Sprint("later", i), access())
		for _, name := range []string{page[len(page)-1].Name, fmt.Sprint("room", seed.IntN(n))} {
			if err := h.rooms.DeleteLiveblocks(b, "test", name); err == nil {
				deleted[name] = true
			}
		}
	}
	for i := range n {
		name := fmt.Sprint("room", i)
		if k := seen[name]; k > 1 || k == 0 && !deleted[name] {
			t.Errorf("%s was listed %d times", name, k)
		}
	}
	for name := range seen {
		if strings.HasPrefix(name, "later") {
			t.Errorf("%s was made after the first page", name)
		}
	}
	for _, bad := range []string{"x", "!!", "AAAA", strings.Repeat("A", 400)} {
		var invalid *room.InvalidError
		if _, _, err := h.rooms.ListLiveblocks("test", room.LiveblocksQuery{After: bad}); !errors.As(err, &invalid) {
			t.Errorf("the cursor %q: %v", bad, err)
		}
	}
}

// When somebody connected last is kept, without a write for each join.
func TestLastConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingStore{Store: store.NewMemory()}
		cfg := room.Config{Store: s}
		h := start(t, cfg)
		h.create("hall", access("room:write"))
		b := h.rooms.Batch()
		h.rooms.Sweep(b)
		s.n = 0
		for i := range 30 {
			h.visits("hall", idToken(fmt.Sprint(i)))
			time.Sleep(time.Second)
			h.rooms.Sweep(b)
		}
		at := time.Now().Add(-time.Second)
		got, err := h.rooms.Liveblocks("test", "hall")
		if err != nil || !got.LastConnection.Equal(at) {
			t.Errorf("got %v, %v; want %v", got.LastConnection, err, at)
		}
		if s.n > 1 {
			t.Errorf("%d writes for 30 joins in half a minute", s.n)
		}
		time.Sleep(time.Minute)
		h.rooms.Sweep(b)
		h = start(t, cfg) // after a kill
		if got, _ := h.rooms.Liveblocks("test", "hall"); !got.LastConnection.Equal(at) {
			t.Errorf("after a start it is %v, was %v", got.LastConnection, at)
		}
		time.Sleep(time.Second)
		h.visits("hall", idToken("last"))
		at = time.Now()
		h.stop()
		h = start(t, cfg)
		if got, _ := h.rooms.Liveblocks("test", "hall"); !got.LastConnection.Equal(at) {
			t.Errorf("after a stop it is %v, was %v", got.LastConnection, at)
		}
	})
}

// A countingStore counts what is committed.
type countingStore struct {
	store.Store
	n int
}

func (s *countingStore) Commit(changes ...store.Change) *store.Ticket {
	s.n++
	return s.Store.Commit(changes...)
}

// Two records of one name, and one that cannot be a part, at the start.
func TestDamagedParts(t *testing.T) {
	now := time.Now().UTC()
	good := &store.LiveblocksRoom{Organization: "default", Created: now, Access: access("*:read"), Metadata: map[string]store.Metadatum{"k": {List: []string{"a"}}}}
	for name, c := range map[string]struct {
		value string
		ok    bool
	}{
		"good":              {string((&store.Room{ID: "R_1", Project: "test", Name: "hall", Liveblocks: good}).Put().Value), true},
		"no organization":   {`{"id":"R_1","project":"test","name":"hall","liveblocks":{"created":"2026-01-01T00:00:00Z","access":{"default":[]}}}`, false},
		"no time":           {`{"id":"R_1","project":"test","name":"hall","liveblocks":{"organization":"default","access":{"default":[]}}}`, false},
		"number in a list":  {`{"id":"R_1","project":"test","name":"hall","liveblocks":{"organization":"o","created":"2026-01-01T00:00:00Z","access":{"default":[1]}}}`, false},
		"metadata a number": {`{"id":"R_1","project":"test","name":"hall","liveblocks":{"organization":"o","created":"2026-01-01T00:00:00Z","metadata":{"k":1},"access":{"default":[]}}}`, false},
		"metadata a null":   {`{"id":"R_1","project":"test","name":"hall","liveblocks":{"organization":"o","created":"2026-01-01T00:00:00Z","metadata":{"k":[null]},"access":{"default":[]}}}`, false},
	} {
		s := store.NewMemory()
		if err := s.Commit(store.Change{Bucket: store.RoomRecords, Key: "R_1", Value: []byte(c.value)}).Wait(); err != nil {
			t.Fatal(err)
		}
		rooms, err := room.New(room.Config{Store: s})
		if c.ok != (err == nil) || err != nil && !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil {
			got, err := rooms.Liveblocks("test", "hall")
			if err != nil || !maps.EqualFunc(got.Metadata, good.Metadata, func(a, b store.Metadatum) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			rooms.Close()
		}
	}
	s := store.NewMemory()
	_ = s.Commit(store.Setting{Key: "actors", Value: []byte("many")}.Put()).Wait()
	if _, err := room.New(room.Config{Store: s}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a broken counter: %v", err)
	}
}
