package liveblocks_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"usher/auth"
	"usher/room"
	"usher/session/sessiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

// create makes a room that is open to those whom the default says.
func create(s *sessiontest.Server, name string, access auth.AccessList) {
	s.T.Helper()
	b := s.Rooms.Batch()
	defer b.Flush()
	if _, err := s.Rooms.CreateLiveblocks(b, "test", name, room.LiveblocksRoom{Access: access}); err != nil {
		s.T.Fatal(err)
	}
}

// edit changes a room's access list.
func edit(s *sessiontest.Server, name string, ch room.LiveblocksChange) {
	s.T.Helper()
	b := s.Rooms.Batch()
	defer b.Flush()
	if _, err := s.Rooms.UpdateLiveblocks(b, "test", name, ch); err != nil {
		s.T.Fatal(err)
	}
}

func writer(s *sessiontest.Server, user string) string { return s.AccessToken(user, "*", "*:write") }
func reader(s *sessiontest.Server, user string) string { return s.AccessToken(user, "*", "*:read") }

// same compares a message with what it should be, in JSON, whatever the order.
func same(t *testing.T, m sessiontest.LiveblocksMessage, want string) {
	t.Helper()
	var w map[string]any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(m.Fields)
	b, _ := json.Marshal(w)
	if string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

// Two people meet: each sees the other, and what the other says.
func TestTwoPeopleMeet(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, state := s.JoinLiveblocks("design", writer(s, "ada"))
	if !state.Bare || ada.Frames()[0] != state.Text {
		t.Errorf("the first frame is %s, want ROOM_STATE by itself", ada.Frames()[0])
	}
	if nonce, _ := state.Fields["nonce"].(string); len(nonce) < 16 {
		t.Errorf("the nonce %q can be guessed", nonce)
	}
	if state.JSON("users") != "{}" || state.JSON("meta") != "{}" || state.JSON("scopes") != `["*:write"]` {
		t.Errorf("got %s", state.Text)
	}
	ada.Present(`{"cursor":null}`)
	ada.Sync()

	bob, state2 := s.JoinLiveblocks("design", reader(s, "bob"))
	if state2.Actor() == state.Actor() {
		t.Error("two connections have one actor")
	}
	if got, want := state2.JSON("users"), fmt.Sprintf(`{"%d":{"id":"ada","info":{"name":"ada"},"scopes":["*:write"]}}`, state.Actor()); got != want {
		t.Errorf("bob is told of %s, want %s", got, want)
	}
	// Nobody but the server has told him.
	same(t, bob.Expect(100), fmt.Sprintf(`{"type":100,"actor":%d,"targetActor":-1,"data":{"cursor":null}}`, state.Actor()))
	same(t, ada.Expect(101), fmt.Sprintf(`{"type":101,"actor":%d,"id":"bob","info":{"name":"bob"},"scopes":["*:read"]}`, state2.Actor()))
	if ada.Count(100) != 0 {
		t.Error("bob shows before he has a presence")
	}
	bob.Present(`{"cursor":{"x":1.50,"y":-2e3},"s":"\u00e4\"\\"}`)
	if m := ada.Expect(100); !strings.Contains(m.Text, `{"x":1.50,"y":-2e3}`) || !strings.Contains(m.Text, `"\u00e4\"\\"`) {
		t.Errorf("a presence was not passed on as it is: %s", m.Text)
	}
	bob.Send(`{"type":100,"data":{"typing":true}}`)
	m := ada.Expect(100)
	if data := m.JSON("data"); !strings.Contains(data, `"cursor":{"x":1.5,"y":-2000}`) || !strings.Contains(data, `"typing":true`) {
		t.Errorf("after a patch the presence is %s", data)
	}
	if m.JSON("targetActor") != "-1" {
		t.Errorf("got %s, want a whole presence", m.Text)
	}

	bob.Broadcast(`{"emoji":"🔥","n":[1,2]}`) // readers may
	same(t, ada.Expect(103), fmt.Sprintf(`{"type":103,"actor":%d,"event":{"emoji":"🔥","n":[1,2]}}`, state2.Actor()))
	bob.Sync()
	if bob.Count(103) != 0 {
		t.Error("an event came back to its sender")
	}

	_ = bob.WS.Close(1000, "")
	same(t, ada.Expect(102), fmt.Sprintf(`{"type":102,"actor":%d}`, state2.Actor()))
	cyd, state3 := s.JoinLiveblocks("design", writer(s, "cyd"))
	if strings.Contains(state3.Text, "bob") || state3.Actor() == state2.Actor() {
		t.Errorf("got %s after bob, %d, has left", state3.Text, state2.Actor())
	}
	cyd.Sync()
}

// What one frame says reaches the others in its order, as often as it was said.
func TestBatchesInOrder(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	bob, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	bob.Present(`{}`)
	ada.Expect(100)
	const frames, each = 40, 25
	for f := range frames {
		batch := []string{fmt.Sprintf(`{"type":100,"data":{"n":%d}}`, f)}
		for i := range each {
			batch = append(batch, fmt.Sprintf(`{"type":103,"event":%d}`, f*each+i))
		}
		bob.Send(batch...)
	}
	for n := range frames * each {
		if got := ada.Expect(103).JSON("event"); got != fmt.Sprint(n) {
			t.Fatalf("got event %s, want %d", got, n)
		}
	}
	bob.Sync()
	ada.Sync()
	last := 0
	for _, m := range ada.Seen() {
		if m.Type() != 100 {
			continue
		}
		n, _ := m.Fields["data"].(map[string]any)["n"].(float64)
		if int(n) < last {
			t.Errorf("presence %v came after %d", n, last)
		}
		last = int(n)
	}
	if last != frames-1 {
		t.Errorf("the last presence is %d, want %d", last, frames-1)
	}
}

// On account of a newcomer every client sends its presence, which says nothing new.
func TestPresenceForNewcomersGoesNoFurther(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	bob, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	ada.Present(`{"a":1,"b":[2]}`)
	bob.Expect(100)
	bob.Sync()
	before := len(bob.Frames())
	for n := range 20 {
		ada.Send(fmt.Sprintf(`{"type":100,"targetActor":%d,"data":{"a":1,"b":[2]}}`, n), fmt.Sprintf(`{"type":100,"targetActor":%d,"data":{"b":[2],"a":1}}`, n))
	}
	ada.Sync()
	bob.Sync()
	if frames := bob.Frames()[before:]; len(frames) != 1 { // the pong
		t.Errorf("bob got %q", frames)
	}
	// It is whole: what is missing is gone.
	ada.Send(`{"type":100,"targetActor":3,"data":{"a":1}}`)
	if got := bob.Expect(100).JSON("data"); got != `{"a":1}` {
		t.Errorf("got %s", got)
	}
	ada.Send(`{"type":100,"data":{"c":3}}`, `{"type":100,"targetActor":3,"data":{"a":1}}`)
	bob.ExpectWhere("the last presence", func(m sessiontest.LiveblocksMessage) bool { return m.JSON("data") == `{"a":1}` })
}

// Connections of one user are users of their own.
func TestSeveralConnectionsOfOneUser(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	token := writer(s, "ada")
	bob, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	one, _ := s.JoinLiveblocks("design", token)
	two, state := s.JoinLiveblocks("design", token)
	if got := len(state.Fields["users"].(map[string]any)); got != 2 {
		t.Errorf("the second sees %d users, want 2", got)
	}
	a, b := bob.Expect(101).Actor(), bob.Expect(101).Actor()
	if a == b {
		t.Error("both have one actor")
	}
	one.Present(`{"n":1}`)
	two.Present(`{"n":2}`)
	if m := two.Expect(100); m.Actor() != a || m.JSON("data") != `{"n":1}` {
		t.Errorf("got %s", m.Text)
	}
	_ = one.WS.Close(1000, "")
	if got := bob.Expect(102).Actor(); got != a {
		t.Errorf("%d left, want %d", got, a)
	}
	two.Broadcast(`"still here"`)
	if got := bob.Expect(103).Actor(); got != b {
		t.Errorf("got an event of %d, want %d", got, b)
	}
}

// Whoever has no presence yet has one without keys as soon as it says so.
func TestEmptyPresence(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	bob, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	bob.Present(`{}`)
	if got := ada.Expect(100).JSON("data"); got != `{}` {
		t.Errorf("got %s", got)
	}
	_, state := s.JoinLiveblocks("design", writer(s, "cyd"))
	cyd, _ := s.JoinLiveblocks("design", writer(s, "dan"))
	cyd.Sync()
	if n := cyd.Count(100); n != 1 {
		t.Errorf("a newcomer is given %d presences, want bob's", n)
	}
	_ = state
}

// Words for permissions, and Storage, are what a client of the version understands.
func TestVersions(t *testing.T) {
	for _, test := range []struct {
		path, version, scopes string
	}{
		{"/v8", "3.24.2", `["*:write"]`},
		{"/v8", "3.20.0", `["*:write"]`},
		{"/v8", "4.0.0", `["*:write"]`},
		{"/v8", "3.20.0-beta1", `["*:write"]`},
		{"/v8", "dev", `["*:write"]`},
		{"/v8", "", `["*:write"]`},
		{"/v8", "3.19.9", `["room:write"]`},
		{"/v8", "3.14.0", `["room:write"]`},
		{"/v7", "2.0.0", `["room:write"]`},
		{"/v7", "1.9", `["room:write"]`},
		{"/v7", "", `["room:write"]`},
	} {
		t.Run(test.path+" "+test.version, func(t *testing.T) {
			s := sessiontest.Serve(t, sessiontest.Options{})
			s.JoinLiveblocks("design", writer(s, "bob"))
			c := s.DialLiveblocksAt(s.LiveblocksURL(test.path, "design", test.version, url.Values{"tok": {writer(s, "ada")}}), nil)
			state := c.Expect(104)
			if state.JSON("scopes") != test.scopes || !strings.Contains(state.JSON("users"), `"scopes":`+test.scopes) {
				t.Errorf("got %s, want %s", state.Text, test.scopes)
			}
			c.Send(`{"type":200}`)
			if test.path == "/v7" {
				same(t, c.Expect(200), `{"type":200,"items":[["root",{"type":0,"data":{}}]]}`)
			} else {
				same(t, c.Expect(210), `{"type":210,"nodes":[["root",{}]]}`)
				same(t, c.Expect(211), `{"type":211}`)
			}
			s.JoinLiveblocks("design", writer(s, "cyd"))
			if m := c.Expect(101); m.JSON("scopes") != test.scopes {
				t.Errorf("got %s, want %s", m.Text, test.scopes)
			}
		})
	}
}

// A public key lets in somebody without an id.
func TestPublicKey(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	address := s.LiveblocksURL("/v8", "design", sessiontest.LiveblocksVersion, url.Values{"pubkey": {sessiontest.LiveblocksPublic}})
	one := s.DialLiveblocksAt(address, nil)
	if got := one.Expect(104).JSON("scopes"); got != `["*:write"]` {
		t.Errorf("got %s", got)
	}
	two := s.DialLiveblocksAt(address, nil)
	if m := two.Expect(104); strings.Contains(m.Text, `"id"`) || strings.Contains(m.Text, auth.AnonymousPrefix) {
		t.Errorf("got %s, want a user without an id", m.Text)
	}
	if m := one.Expect(101); m.Fields["id"] != nil || m.Fields["scopes"] == nil {
		t.Errorf("got %s", m.Text)
	}
}

// What is not built is answered, so that no page waits for ever.
func TestWhatIsNotKept(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	w, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	r, _ := s.JoinLiveblocks("design", reader(s, "bob"))
	for c, reason := range map[*sessiontest.Liveblocks]string{
		w: "this server does not keep Storage yet: the change was not made",
		r: "not allowed: this user may only read",
	} {
		c.Send(`{"type":201,"ops":[{"opId":"1:0","type":3,"id":"root","data":{"a":1}},{"type":5,"id":"x"},{"opId":"1:1","type":6}]}`, `{"type":103,"event":1}`, `{"type":201,"ops":[{"opId":"1:2"}]}`)
		same(t, c.Expect(299), `{"type":299,"opIds":["1:0","1:1"],"reason":"`+reason+`"}`)
		same(t, c.Expect(299), `{"type":299,"opIds":["1:2"],"reason":"`+reason+`"}`)
	}
	w.Send(`{"type":300,"vector":"AA=="}`)
	const hash = "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c="
	same(t, w.Expect(300), `{"type":300,"update":"AAA=","isSync":true,"stateVector":"AA==","remoteSnapshotHash":"`+hash+`"}`)
	w.Send(`{"type":300,"vector":"","guid":"sub\"doc","v2":true}`)
	same(t, w.Expect(300), `{"type":300,"update":"AAAAAAAAAQAAAAAAAA==","isSync":true,"stateVector":"AA==","guid":"sub\"doc","v2":true,"remoteSnapshotHash":"`+hash+`"}`)
	w.Send(`{"type":301,"update":"AAA="}`)
	for code := 510; code <= 517; code++ {
		w.Send(fmt.Sprintf(`{"type":%d,"requestId":"r%d"}`, code, code))
		same(t, w.Expect(508), fmt.Sprintf(`{"type":508,"requestId":"r%d","code":"INTERNAL","reason":"feeds are not offered by this server"}`, code))
	}
	w.Sync()
	r.Sync()
	for _, m := range r.Seen() {
		if typ := m.Type(); typ == 201 || typ == 300 {
			t.Errorf("somebody else got %s", m.Text)
		}
	}
}

// A frame may have any number of messages: when many join at once, a client has
// something to say on account of each.
func TestLongFrames(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	bob, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	ada.Present(`{"a":1}`)
	bob.Expect(100)
	const many = 5000
	var batch []string
	for n := range many {
		batch = append(batch, fmt.Sprintf(`{"type":100,"targetActor":%d,"data":{"a":1}}`, n), fmt.Sprintf(`{"type":103,"event":%d}`, n))
	}
	ada.Send(batch...)
	for n := range many {
		if got := bob.Expect(103).JSON("event"); got != fmt.Sprint(n) {
			t.Fatalf("got %s, want %d", got, n)
		}
	}
	if n := bob.Count(100); n != 1 {
		t.Errorf("bob got %d presences, want 1", n)
	}
}
