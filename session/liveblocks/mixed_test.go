package liveblocks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A LiveKit participant and a Liveblocks user in one room see each other.
func TestMixedRoom(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	user, state := s.JoinLiveblocks("stage", writer(s, "user"))
	kit, joined := s.Join(s.Token("stage", "kit", func(c *livekit.Claims) {
		c.Name, c.Metadata, c.Attributes = "Kit", `{"color":"red","name":"other"}`, map[string]string{"hand": "up", "seat": "1"}
		c.Video.CanUpdateOwnMetadata = ptr(true)
	}))

	// The user is a participant.
	me := joined.Get("participants").([]any)[0].(map[string]any)
	if me["identity"] != "user" || me["name"] != "user" || me["metadata"] != `{"name":"user"}` || me["presence"] != nil {
		t.Errorf("the participant is told of %v", me)
	}
	// The participant is a user, whose attributes are its presence.
	m := user.Expect(101)
	actor := m.Actor()
	if m.Fields["id"] != "kit" || m.JSON("info") != `{"color":"red","name":"Kit"}` {
		t.Errorf("the user is told %s", m.Text)
	}
	same(t, user.Expect(100), fmt.Sprintf(`{"type":100,"actor":%d,"targetActor":-1,"data":{"hand":"up","seat":"1"}}`, actor))
	if later, _ := s.JoinLiveblocks("stage", writer(s, "late")); later.Expect(100).JSON("data") != `{"hand":"up","seat":"1"}` {
		t.Error("a newcomer sees another presence of the participant")
	}

	user.Present(`{"cursor":{"x":1}}`)
	if e := kit.Expect("presence"); e.Str("sid") != me["sid"] || !strings.Contains(e.Text, `"presence":{"cursor":{"x":1}}`) {
		t.Errorf("got %s", e.Text)
	}
	kit.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"cursor": []byte(`[1,2]`), "seat": []byte(`2`)}})
	if got := user.Expect(100).JSON("data"); got != `{"cursor":[1,2],"hand":"up","seat":2}` {
		t.Errorf("got %s", got)
	}
	kit.OK(wire.Message{Type: "updateMetadata", Attributes: map[string]string{"hand": "", "seat": "9", "new": "x"}})
	if got := user.Expect(100).JSON("data"); got != `{"cursor":[1,2],"new":"x","seat":2}` {
		t.Errorf("after a change of attributes: got %s", got)
	}
	kit.OK(wire.Message{Type: "updateMetadata", Name: ptr("Kate"), Metadata: ptr("no JSON")})
	if got := user.Expect(101).JSON("info"); got != `{"name":"Kate"}` {
		t.Errorf("got %s", got)
	}
	kit.OK(wire.Message{Type: "updateMetadata", Name: ptr(""), Metadata: ptr("[1]")})
	if m := user.Expect(101); m.Fields["info"] != nil {
		t.Errorf("got %s", m.Text)
	}

	user.Broadcast(`{"emoji":"x"}`)
	if e := kit.Expect("data"); e.Str("from.identity") != "user" || !strings.Contains(e.Text, `"payload":{"emoji":"x"}`) || e.Get("reliable") != true || e.Str("topic") != "" {
		t.Errorf("got %s", e.Text)
	}
	for _, test := range []struct {
		m    wire.Message
		want string
	}{
		{wire.Message{Payload: json.RawMessage(`{"a":[1]}`)}, `{"a":[1]}`},
		{wire.Message{Payload: json.RawMessage(`"text"`), Reliable: ptr(false)}, `"text"`},
		{wire.Message{Payload: json.RawMessage(`{"a":1}`), Topic: "ch\"at"}, `{"payload":{"a":1},"topic":"ch\"at"}`},
		{wire.Message{Payload: json.RawMessage(`"AAE="`), Encoding: "base64"}, `{"encoding":"base64","payload":"AAE="}`},
		{wire.Message{Payload: json.RawMessage(`"eyJhIjogWzFdfQ=="`), Encoding: "base64"}, `{"a":[1]}`},
		{wire.Message{Payload: json.RawMessage(`"eyJhIjogWzFd"`), Encoding: "base64"}, `{"encoding":"base64","payload":"eyJhIjogWzFd"}`},
		{wire.Message{Payload: json.RawMessage(`"eyJhIjogWzFdfQ=="`), Encoding: "base64", Topic: "t"}, `{"encoding":"base64","payload":"eyJhIjogWzFdfQ==","topic":"t"}`},
		{wire.Message{Payload: json.RawMessage(`"AAE="`), Encoding: "base64", Topic: "t"}, `{"encoding":"base64","payload":"AAE=","topic":"t"}`},
	} {
		test.m.Type = "publishData"
		kit.OK(test.m)
		if m := user.Expect(103); m.JSON("event") != test.want || m.Actor() != actor {
			t.Errorf("got %s of %d, want %s of %d", m.JSON("event"), m.Actor(), test.want, actor)
		}
	}
	// Tracks are none of its business.
	before := len(user.Frames())
	track := kit.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	kit.OK(wire.Message{Type: "muteTrack", TrackSID: track.Str("track.sid"), Muted: ptr(true)})
	user.Sync()
	if got := user.Frames()[before:]; len(got) != 1 {
		t.Errorf("the user was told %q", got)
	}
	// The server speaks as actor -1.
	r, _ := s.Rooms.Lookup("test", "stage")
	b := s.Rooms.Batch()
	if err := r.Send(b, room.Message{Payload: []byte(`"all"`), Reliable: true}, ""); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	same(t, user.Expect(103), `{"type":103,"actor":-1,"event":"all"}`)

	kit.Send(wire.Message{Type: "leave"})
	if got := user.Expect(102).Actor(); got != actor {
		t.Errorf("%d left, want %d", got, actor)
	}
	_ = state
}

// A hidden participant, of whatever kind, is in no byte that a user receives.
func TestHiddenLeaksNothing(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, tap := s.TapLiveblocks("stage", writer(s, "ada"))
	const mark = "zq9hidden"
	spy, spied := s.Join(s.Token("stage", mark+"-identity", func(c *livekit.Claims) {
		c.Video.Hidden, c.Video.CanUpdateOwnMetadata = true, ptr(true)
		c.Name, c.Metadata, c.Attributes = mark+"-name", `{"m":"`+mark+`"}`, map[string]string{mark: mark}
	}))
	spy.Ask(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{mark: []byte(`"` + mark + `"`)}})
	spy.Ask(wire.Message{Type: "updateMetadata", Name: ptr(mark + "2"), Attributes: map[string]string{mark: "3"}})
	spy.Ask(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera", Name: ptr(mark)})
	ada.Sync()
	if frames := ada.Frames(); len(frames) != 2 { // ROOM_STATE and the pong
		t.Errorf("ada was told %q", frames)
	}
	spy.OK(wire.Message{Type: "publishData", Payload: json.RawMessage(`"from nobody"`)})
	same(t, ada.Expect(103), `{"type":103,"actor":-1,"event":"from nobody"}`)
	bob, bobTap := s.TapLiveblocks("stage", writer(s, "bob"))
	ada.Expect(101)

	// A user who becomes hidden is gone, for those who come too.
	eve, state := s.JoinLiveblocks("stage", writer(s, mark+"-eve"))
	eve.Present(`{"p":1}`)
	ada.Expect(100)
	permit := func(hidden bool) {
		t.Helper()
		r, _ := s.Rooms.Lookup("test", "stage")
		b := s.Rooms.Batch()
		defer b.Flush()
		say := livekit.StatementOf(livekit.Permission{CanSubscribe: true, CanPublishData: true, Hidden: hidden})
		if _, err := r.Update(b, room.Target{Identity: mark + "-eve"}, room.Change{Permission: &say}); err != nil {
			t.Fatal(err)
		}
	}
	permit(true)
	if got := ada.Expect(102).Actor(); got != state.Actor() {
		t.Errorf("%d is gone, want %d", got, state.Actor())
	}
	bob.Expect(102)
	known := []int{len(tap.Bytes()), len(bobTap.Bytes())}
	cyd, cydTap := s.TapLiveblocks("stage", writer(s, "cyd"))
	ada.Expect(101)
	eve.Present(`{"` + mark + `":2}`)
	eve.Broadcast(`"from nobody either"`)
	for _, c := range []*sessiontest.Liveblocks{ada, bob, cyd} {
		if m := c.ExpectWhere("her event", func(m sessiontest.LiveblocksMessage) bool {
			return m.JSON("event") == `"from nobody either"`
		}); m.Actor() != -1 {
			t.Errorf("got %s", m.Text)
		}
		c.Sync()
	}
	if m := eve.Expect(104); m.Actor() != state.Actor() {
		t.Errorf("eve herself is told %s", m.Text)
	}
	for name, b := range map[string][]byte{"ada": tap.Bytes()[known[0]:], "bob": bobTap.Bytes()[known[1]:], "cyd": cydTap.Bytes()} {
		for _, secret := range []string{mark, spied.Str("session"), fmt.Sprintf(`"actor":%d,`, state.Actor()), fmt.Sprintf(`"%d":`, state.Actor())} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s was told %q: %s", name, secret, b)
			}
		}
	}
	for name, b := range map[string][]byte{"ada": tap.Bytes(), "bob": bobTap.Bytes()} {
		if bytes.Contains(b, []byte(mark+"-identity")) || bytes.Contains(b, []byte(mark+"-name")) {
			t.Errorf("%s was told of the hidden participant", name)
		}
	}
	permit(false)
	if got := ada.Expect(101).Actor(); got != state.Actor() {
		t.Errorf("%d is back, want %d", got, state.Actor())
	}
}

// Somebody whom the server API has made present is a user like others, until its
// time is over.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in virtual time
		s := sessiontest.Serve(t, sessiontest.Options{Listener: sessiontest.NewMemory()})
		create(s, "design", open(mayWrite))
		ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
		lease := func(presence room.Presence) {
			t.Helper()
			b := s.Rooms.Batch()
			defer b.Flush()
			if err := s.Rooms.Lease(b, "test", "design", room.Lease{Identity: "bot", Metadata: `{"avatar":"b"}`, Presence: presence, TTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		lease(room.Presence{"a": []byte(`1`), "b": []byte(`[2]`)})
		m := ada.Expect(101)
		if m.Fields["id"] != "bot" || m.JSON("info") != `{"avatar":"b"}` {
			t.Errorf("got %s", m.Text)
		}
		if got := ada.Expect(100); got.JSON("data") != `{"a":1,"b":[2]}` || got.Actor() != m.Actor() {
			t.Errorf("got %s", got.Text)
		}
		lease(room.Presence{"a": []byte(`3`)})
		if got := ada.Expect(100).JSON("data"); got != `{"a":3,"b":[2]}` {
			t.Errorf("got %s", got)
		}
		bob, state := s.JoinLiveblocks("design", writer(s, "bob"))
		if got := len(state.Fields["users"].(map[string]any)); got != 2 {
			t.Errorf("bob sees %d users, want 2", got)
		}
		bob.Expect(100)
		before := time.Now()
		time.Sleep(50 * time.Second) // a client's patience is shorter
		if got := bob.Expect(102).Actor(); got != m.Actor() {
			t.Errorf("%d left, want %d", got, m.Actor())
		}
		if after := time.Since(before); after > time.Minute+2*time.Second || after < 58*time.Second {
			t.Errorf("it left after %v", after)
		}
		ada.Sync()
		if n := ada.Count(101) + ada.Count(102); n != 3 {
			t.Errorf("ada was told of %d people, want bot, bob and that bot left", n)
		}
	})
}

// Whoever is not heard any more is gone, whoever answers pings stays.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessiontest.Serve(t, sessiontest.Options{Listener: sessiontest.NewMemory()})
		ada, _ := s.JoinLiveblocks("design", writer(s, "ada")) // its library answers pings
		began := time.Now()
		silent := s.RawLiveblocks("design", writer(s, "silent"))
		_ = silent.Conn.SetDeadline(time.Time{})
		actor := ada.Expect(101).Actor()
		time.Sleep(25 * time.Second)
		done := make(chan struct{})
		go func() { // ends with the connection
			defer close(done)
			if code, _ := silent.Closed(); code != 1001 {
				t.Errorf("got %d, want 1001", code)
			}
		}()
		if got := ada.Expect(102).Actor(); got != actor {
			t.Errorf("%d left, want %d", got, actor)
		}
		if after := time.Since(began); after > time.Minute {
			t.Errorf("it took %v", after)
		}
		<-done
		time.Sleep(5 * time.Minute)
		ada.Sync()
		if err := ada.Err(); err != nil {
			t.Errorf("ada is gone: %v", err)
		}
	})
}
