package session_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

func move(t *testing.T, s *sessiontest.Server, identity, from, to string) {
	t.Helper()
	b := s.Rooms.Batch()
	defer b.Flush()
	if err := s.Rooms.Move(b, "test", from, to, identity); err != nil {
		t.Fatal(err)
	}
}

// A session that is moved goes on over the same socket.
func TestMoved(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	cat, _ := s.Join(s.Token("stage", "cat"))
	bob, _ := s.Join(s.Token("lobby", "bob"))
	ada, joined := s.Join(s.Token("lobby", "ada", func(c *livekit.Claims) { c.Name = "Ada" }))
	cat.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"x": json.RawMessage("1")}})
	track := cat.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}).Str("track.sid")
	own := ada.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})

	move(t, s, "ada", "lobby", "stage")
	e := ada.Expect("moved")
	if e.Str("session") != joined.Str("session") || e.Str("secret") != joined.Str("secret") || e.Str("room.name") != "stage" || e.Str("epoch") == joined.Str("epoch") ||
		e.Get("recovered") != false || e.Str("lastRequest") != "1" || e.Str("self.name") != "Ada" || e.Get("resume.graceMs") == nil || e.Get("expiresAt") == nil {
		t.Errorf("ada was told %s", e.Text)
	}
	list := e.Get("participants").([]any)
	if len(list) != 1 || fmt.Sprint(list[0].(map[string]any)["presence"]) != "map[x:1]" || fmt.Sprint(list[0].(map[string]any)["identity"]) != "cat" {
		t.Errorf("it lists %v", list)
	}
	g, err := s.Verifier.Verify(e.Str("token"))
	if err != nil || g.Room != "stage" || g.Identity != "ada" || g.Origin == nil || g.Origin.Session != joined.Str("session") {
		t.Errorf("its token is %+v, %v", g, err)
	}
	if e := ada.Expect("trackSubscribed"); e.Str("track.sid") != track {
		t.Errorf("ada was told %s", e.Text)
	}
	bob.Expect("trackUnpublished")
	if e := bob.Expect("participantLeft"); e.Str("identity") != "ada" || e.Str("reason") != "MIGRATION" {
		t.Errorf("bob was told %s", e.Text)
	}
	if e := cat.Expect("participantJoined"); e.Str("participant.sid") != joined.Str("session") || e.Str("participant.name") != "Ada" {
		t.Errorf("cat was told %s", e.Text)
	}

	// What it says before it says that it knows was for those it was among.
	for _, m := range []wire.Message{
		{Type: "publishData", Payload: json.RawMessage(`"for the lobby"`)},
		{Type: "updatePresence", Presence: map[string]json.RawMessage{"x": json.RawMessage("1")}},
		{Type: "publishTrack", Kind: "audio", Source: "microphone"},
		{Type: "updateMetadata", Name: ptr("of the lobby")},
		{Type: "muteTrack", TrackSID: track, Muted: ptr(true)},
		{Type: "subscribe", TrackSID: track},
		{Type: "listParticipants"},
		{Type: "nonsense"},
	} {
		if r := ada.Ask(m); r.Str("code") != "moved" {
			t.Errorf("%s before the ack: got %s, want moved", m.Type, r.Text)
		}
	}
	ada.Send(wire.Message{Type: "publishData", Payload: json.RawMessage(`"for the lobby"`)})
	frame := wire.FrameHeader{Handle: uint32(own.Get("track.handle").(float64)), Last: true}.Append(nil)
	if err := ada.WS.Write(t.Context(), websocket.MessageBinary, append(frame, 'x')); err != nil {
		t.Fatal(err)
	}
	ada.Sync() // a ping is nobody's business
	cat.Sync()
	for _, e := range cat.Seen() {
		if e.Type() == "data" || e.Type() == "presence" || e.Type() == "trackMuted" || e.Type() == "participantUpdated" || e.Binary != nil {
			t.Errorf("cat was told %s %x", e.Text, e.Binary)
		}
	}

	ada.Send(wire.Message{Type: "ack", Received: ada.Received()})
	ada.OK(wire.Message{Type: "publishData", Payload: json.RawMessage(`"for the stage"`)})
	if e := cat.Expect("data"); e.Get("payload") != "for the stage" || e.Str("from.sid") != joined.Str("session") {
		t.Errorf("cat was told %s", e.Text)
	}
	ada.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"x": json.RawMessage("2")}})
	cat.Expect("presence")
	ada.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	cat.Expect("trackPublished")
	cat.OK(wire.Message{Type: "publishData", Payload: json.RawMessage(`"hello"`)})
	if e := ada.Expect("data"); e.Get("payload") != "hello" {
		t.Errorf("ada was told %s", e.Text)
	}
	bob.Sync()
	for _, e := range bob.Seen() {
		if e.Type() == "data" || e.Type() == "presence" {
			t.Errorf("bob was told %s", e.Text)
		}
	}

	// The stage's API changes it, and the token it gets is the stage's.
	r, _ := s.Rooms.Lookup("test", "stage")
	b := s.Rooms.Batch()
	if _, err := r.Update(b, room.Target{Identity: "ada"}, room.Change{Permission: &auth.Say{Layer: auth.Live, Deny: auth.SendData}}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	ada.Expect("participantUpdated")
	if g, err := s.Verifier.Verify(ada.Expect("refreshToken").Str("token")); err != nil || g.Room != "stage" || auth.Resolve(g.Base...).Allows(auth.SendData) {
		t.Errorf("the refreshed token is %+v, %v", g, err)
	}
	if r := ada.Ask(wire.Message{Type: "publishData", Payload: json.RawMessage(`1`)}); r.Str("code") != "not_allowed" || r.Str("layer") != "live" {
		t.Errorf("got %s", r.Text)
	}
	b = s.Rooms.Batch()
	if err := s.Rooms.Remove(b, "test", "stage", room.Target{Identity: "ada"}, room.Removal{}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	ada.ExpectClose(wire.Removed)
	// It was removed from the stage, and the lobby is open to it.
	if code := s.Dial(nil).Refused(wire.Message{Type: "join", Token: e.Str("token")}); code != wire.TokenRevoked {
		t.Errorf("the stage's token: answered with %d", code)
	}
	s.Join(s.Token("lobby", "ada"))
}

// The token that comes with the move lets its holder in again, there.
func TestMovedTokenJoins(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	move(t, s, "ada", "lobby", "stage")
	token := ada.Expect("moved").Str("token")
	if _, joined := s.Join(token); joined.Str("room.name") != "stage" {
		t.Errorf("it joined %s", joined.Text)
	}
	ada.ExpectClose(wire.DuplicateIdentity)
}

// A cut at either side of the move: the session goes on in the room that it is in.
func TestResumeMoved(t *testing.T) {
	for name, c := range map[string]struct{ cutFirst, ack bool }{
		"cut, then moved":             {cutFirst: true},
		"moved, then cut":             {},
		"moved, acknowledged and cut": {ack: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sessiontest.Serve(t, sessiontest.Options{})
			cat, _ := s.Join(s.Token("stage", "cat"))
			bob, _ := s.Join(s.Token("lobby", "bob"))
			ada, joined := s.Join(s.Token("lobby", "ada"))
			ada.Expect("refreshToken")
			cut := func(who *sessiontest.Client) {
				_ = ada.WS.CloseNow()
				e := who.ExpectWhere("that ada is reconnecting", func(e sessiontest.Event) bool {
					return e.Str("participant.identity") == "ada" && e.Str("participant.state") == "reconnecting"
				})
				if e.Type() != "participantUpdated" && !c.cutFirst {
					t.Errorf("told %s", e.Text)
				}
			}
			if c.cutFirst {
				cut(bob)
			}
			received := ada.Received()
			move(t, s, "ada", "lobby", "stage")
			if !c.cutFirst {
				ada.Expect("moved")
				if c.ack {
					ada.Send(wire.Message{Type: "ack", Received: ada.Received()})
					ada.Sync()
				}
				received = ada.Received()
				cut(cat)
			}
			cat.OK(wire.Message{Type: "publishData", Payload: json.RawMessage(`"missed"`)})
			back := s.Dial(nil)
			back.Send(wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret"), Received: received})
			e := back.Expect("joined")
			if e.Get("recovered") != c.ack || e.Str("room.name") != "stage" || e.Str("session") != joined.Str("session") {
				t.Errorf("it was told %s", e.Text)
			}
			if c.ack {
				if e := back.Expect("data"); e.Get("payload") != "missed" {
					t.Errorf("it was told %s", e.Text)
				}
			}
			back.SendText(`{"type":"publishData","id":100,"payload":"here"}`)
			if r := back.Reply(100); r.Type() != "ok" {
				t.Errorf("got %s", r.Text)
			}
			if e := cat.ExpectWhere("data of ada's", func(e sessiontest.Event) bool { return e.Type() == "data" }); e.Get("payload") != "here" {
				t.Errorf("cat was told %s", e.Text)
			}
			if g, err := s.Verifier.Verify(back.Expect("refreshToken").Str("token")); err != nil || g.Room != "stage" {
				t.Errorf("its token is %+v, %v", g, err)
			}
		})
	}
}

// People are moved back and forth while they send without a pause: each message
// reaches those it was among when it was taken, and nobody else.
func TestMovedUnderLoad(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	rooms := []string{"lobby", "stage"}
	watch := map[string]*sessiontest.Client{}
	for _, name := range rooms {
		watch[name], _ = s.Join(s.Token(name, "watcher"))
	}
	const people, moves = 4, 40
	var wg sync.WaitGroup
	stop := make(chan struct{})
	clients := make([]*sessiontest.Client, people)
	for i := range people {
		clients[i], _ = s.Join(s.Token("lobby", fmt.Sprint("p", i)))
		wg.Go(func() { // says where it believes to be, until it is told to stop
			c, where, seen, count := clients[i], "lobby", 0, uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				var events []sessiontest.Event
				events, seen = c.Since(seen)
				for _, e := range events {
					if sessiontest.Reliable(e) {
						count++ // what was heeded; more may have arrived
					}
					if e.Type() == "moved" {
						where = e.Str("room.name")
						c.Send(wire.Message{Type: "ack", Received: count})
					}
				}
				c.Send(wire.Message{Type: "publishData", Payload: json.RawMessage(fmt.Sprintf("%q", where))})
			}
		})
	}
	for n := range moves {
		for i := range people {
			move(t, s, fmt.Sprint("p", i), rooms[n%2], rooms[(n+1)%2])
		}
	}
	close(stop)
	wg.Wait()
	for i, c := range clients {
		c.Sync()
		if problems := replayMoved(c.Seen()); len(problems) > 0 {
			t.Errorf("p%d: %s", i, strings.Join(problems[:min(5, len(problems))], "\n"))
		}
	}
	for name, c := range watch {
		c.Sync()
		if problems := replayMoved(c.Seen()); len(problems) > 0 {
			t.Errorf("the watcher of the %s: %s", name, strings.Join(problems[:min(5, len(problems))], "\n"))
		}
		r, _ := s.Rooms.Lookup("test", name)
		want := 1
		if name == rooms[moves%2] {
			want += people
		}
		if n := len(r.Participants()); n != want || r.Summary().NumParticipants != want {
			t.Errorf("in the %s are %d, counted are %d, want %d", name, n, r.Summary().NumParticipants, want)
		}
	}
}

// replayMoved follows what a client was told from room to room, and returns what
// the protocol rules out.
func replayMoved(events []sessiontest.Event) (problems []string) {
	r, where := &sessiontest.Replica{}, ""
	for _, e := range events {
		switch e.Type() {
		case "moved":
			e.Fields["type"] = "joined" // it is one
			where = e.Str("room.name")
		case "joined":
			where = e.Str("room.name")
		case "data":
			if e.Get("payload") != where {
				problems = append(problems, fmt.Sprintf("in the %s it was told %s", where, e.Text))
			}
		case "error":
			if e.Str("code") != "moved" {
				problems = append(problems, e.Text)
			}
		}
		r.Apply(e)
	}
	return append(problems, r.Problems...)
}
