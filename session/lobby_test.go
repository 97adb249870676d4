package session_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// knocking is a room in which people without a token wait.
var knocking = room.DailySettings{Private: true, Knocking: true}

var owner = sessiontest.Properties{"is_owner": true}

// knock has somebody without a token wait in the room, and returns its sid.
func knock(s *sessiontest.Server, roomName, name string) (*sessiontest.Client, string) {
	s.T.Helper()
	c, e := s.JoinAs(wire.Message{Room: roomName, Name: &name})
	if e.Type() != "waiting" || len(e.Fields) != 2 || !strings.HasPrefix(e.Str("session"), "PA_") {
		s.T.Fatalf("%s knocked and was told %s", name, e.Text)
	}
	return c, e.Str("session")
}

// is picks the message of a type whose field has that value.
func is(typ, path, value string) func(sessiontest.Event) bool {
	return func(e sessiontest.Event) bool { return e.Type() == typ && e.Str(path) == value }
}

// toldOf waits for a message wherever it is among those that came.
func toldOf(c *sessiontest.Client, what string, match func(sessiontest.Event) bool) sessiontest.Event {
	c.T.Helper()
	c.Sync()
	for _, e := range c.Seen() {
		if match(e) {
			return e
		}
	}
	c.T.Fatalf("%s has not come", what)
	return sessiontest.Event{}
}

// §4: without a token one knocks; owners and admins see who waits, by name, let
// in or send away, one or all.
func TestLobby(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", knocking)
	host, joined := s.Join(s.DailyToken("lobby", "host", owner))
	if joined.Get("self.permissions.owner") != true || joined.Get("waiting") == nil {
		t.Errorf("the owner is told %s", joined.Text)
	}
	guest, sid := knock(s, "lobby", "Guest")
	e := host.Expect("waitingParticipantJoined")
	if e.Str("participant.sid") != sid || e.Str("participant.name") != "Guest" || !strings.HasPrefix(e.Str("participant.identity"), auth.AnonymousPrefix) ||
		len(e.Get("participant").(map[string]any)) != 4 || e.Str("participant.joinedAt") == "" {
		t.Errorf("the host is told %s", e.Text)
	}
	identity := e.Str("participant.identity")
	guest.OK(wire.Message{Type: "updateMetadata", Name: ptr("Gast")})
	if e := host.Expect("waitingParticipantJoined"); e.Str("participant.sid") != sid || e.Str("participant.name") != "Gast" {
		t.Errorf("of the new name the host is told %s", e.Text)
	}
	guest.Send(wire.Message{Type: "ack", Received: 0})
	guest.Sync()

	host.OK(wire.Message{Type: "admitParticipant", SID: sid})
	in := guest.Expect("joined")
	if in.Str("session") != sid || in.Str("self.identity") != identity || in.Str("self.name") != "Gast" || in.Get("recovered") != false || in.Get("waiting") != nil {
		t.Errorf("the guest is told %s", in.Text)
	}
	toldOf(host, "that it waits no more", is("waitingParticipantLeft", "sid", sid))
	toldOf(host, "that it is in", is("participantJoined", "participant.sid", sid))
	guest.OK(wire.Message{Type: "publishData", Payload: jsonOf("hello")})
	host.ExpectWhere("its data", is("data", "from.sid", sid))
	// It goes on as anybody: a cut is resumed, though there is no token for it.
	hangUp(guest, host)
	again := resume(s, in, guest.Received())
	if e := again.Expect("joined"); e.Get("recovered") != true || e.Str("self.identity") != identity {
		t.Errorf("the guest comes back to %s", e.Text)
	}
	again.Sync()
	for _, e := range append(guest.Seen(), again.Seen()...) {
		if e.Type() == "refreshToken" {
			t.Errorf("whoever came without a token got one: %s", e.Text)
		}
	}

	denied, sid := knock(s, "lobby", "Denied")
	host.OK(wire.Message{Type: "denyParticipant", SID: sid})
	denied.ExpectClose(wire.NotAdmitted)
	if e := host.ExpectWhere("that it waits no more", is("waitingParticipantLeft", "sid", sid)); e.Get("admitted") != false {
		t.Errorf("the host is told %s", e.Text)
	}
	shy, sid := knock(s, "lobby", "Shy")
	leave(shy)
	host.ExpectWhere("that it waits no more", is("waitingParticipantLeft", "sid", sid))

	var crowd []*sessiontest.Client
	for i := range 3 {
		c, _ := knock(s, "lobby", fmt.Sprint("one of many ", i))
		crowd = append(crowd, c)
	}
	host.OK(wire.Message{Type: "admitParticipant", All: true})
	for _, c := range crowd {
		c.Expect("joined")
	}
	crowd = nil
	for i := range 3 {
		c, _ := knock(s, "lobby", fmt.Sprint("one too many ", i))
		crowd = append(crowd, c)
	}
	host.OK(wire.Message{Type: "denyParticipant", All: true})
	for _, c := range crowd {
		c.ExpectClose(wire.NotAdmitted)
	}
	for _, m := range []wire.Message{{Type: "admitParticipant"}, {Type: "denyParticipant", SID: sid, All: true}} {
		if e := host.Ask(m); e.Str("code") != "invalid_request" {
			t.Errorf("%+v: got %s", m, e.Text)
		}
	}
	for _, typ := range []string{"admitParticipant", "denyParticipant"} {
		if e := host.Ask(wire.Message{Type: typ, SID: sid}); e.Str("code") != "not_found" {
			t.Errorf("%s of somebody who is gone: got %s", typ, e.Text)
		}
	}
}

// §4: any token passes the lobby by, unless it says knocking; then whoever comes
// again waits again, with the refreshed token as with the original. Only a session
// that is resumed goes on.
func TestKnockingToken(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", knocking)
	host, _ := s.Join(s.DailyToken("lobby", "host", owner, sessiontest.Properties{"knocking": true})) // an owner never waits
	s.Join(s.DailyToken("lobby", "guest"))
	token := s.DailyToken("lobby", "ada", sessiontest.Properties{"knocking": true})
	var sid string
	wait := func() *sessiontest.Client {
		t.Helper()
		c, e := s.JoinAs(wire.Message{Token: token})
		if e.Type() != "waiting" {
			t.Fatalf("the token came in: %s", e.Text)
		}
		sid = e.Str("session")
		return c
	}
	ada := wait()
	host.OK(wire.Message{Type: "admitParticipant", SID: sid})
	ada.Expect("joined")
	refreshed := ada.Expect("refreshToken").Str("token")
	leave(ada)
	original := token
	token = refreshed
	leave(wait())
	token = original
	wait()
	host.OK(wire.Message{Type: "denyParticipant", SID: sid})
	wait()
}

// Nobody slips in: by asking for things early, by coming back, or by resuming.
func TestNobodySlipsIn(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", knocking)

	// Before anybody is there to let in, as well.
	early, sid := knock(s, "lobby", "Early")
	early.Sync()
	host, joined := s.Join(s.DailyToken("lobby", "host", owner))
	if list, _ := joined.Get("waiting").([]any); len(list) != 1 || list[0].(map[string]any)["sid"] != sid {
		t.Errorf("the host is told %s", joined.Text)
	}
	if joined.Str("room.numParticipants") != "1" {
		t.Errorf("the one who waits counts: %s", joined.Text)
	}
	// What it sends is refused up to the moment in which it is let in, and done after.
	if e := early.Ask(wire.Message{Type: "publishData", Payload: jsonOf("too early")}); e.Str("code") != "not_allowed" || e.Str("permission") != "lobby" {
		t.Errorf("got %s", e.Text)
	}
	host.OK(wire.Message{Type: "admitParticipant", SID: sid})
	early.Expect("joined")
	early.OK(wire.Message{Type: "publishData", Payload: jsonOf("in time")})
	if e := host.Expect("data"); e.Str("payload") != "in time" {
		t.Errorf("got %s", e.Text)
	}
	leave(early)
	host.ExpectWhere("its leave", is("participantLeft", "sid", sid))
	if e := host.Ask(wire.Message{Type: "admitParticipant", SID: sid}); e.Str("code") != "not_found" {
		t.Errorf("letting in somebody again who was in: got %s", e.Text)
	}

	// There is nothing to resume while one waits, and no grace.
	cut, sid := knock(s, "lobby", "Cut")
	for _, secret := range []string{"", strings.Repeat("A", 43), "secret"} {
		c := s.Dial(nil)
		if got := c.Refused(wire.Message{Type: "resume", Session: sid, Secret: secret}); got != wire.SessionNotFound {
			t.Errorf("resuming: got close code %d", got)
		}
	}
	_ = cut.WS.CloseNow()
	host.ExpectWhere("that it is gone", is("waitingParticipantLeft", "sid", sid))
	if e := host.Ask(wire.Message{Type: "admitParticipant", SID: sid}); e.Str("code") != "not_found" {
		t.Errorf("letting in somebody who is gone: got %s", e.Text)
	}
	// Coming again is to knock again, after a denial, too.
	_, again := knock(s, "lobby", "Cut")
	if again == sid {
		t.Error("whoever comes again is the one who was gone")
	}
	host.OK(wire.Message{Type: "denyParticipant", All: true})
	knock(s, "lobby", "Cut")

	// Nor does another's word let anybody in.
	for _, c := range []func() *sessiontest.Client{
		func() *sessiontest.Client { c, _ := knock(s, "lobby", "Accomplice"); return c },
		func() *sessiontest.Client { c, _ := s.Join(s.DailyToken("lobby", "plain")); return c },
		func() *sessiontest.Client { c, _ := s.Join(s.Token("lobby", "kit")); return c },
	} {
		c := c()
		for _, m := range []wire.Message{{Type: "admitParticipant", SID: sid}, {Type: "admitParticipant", All: true}} {
			if e := c.Ask(m); e.Str("code") != "not_allowed" {
				t.Errorf("got %s", e.Text)
			}
		}
	}
	r, _ := s.Rooms.Lookup("test", "lobby")
	if n := len(r.Waiting()); n != 2 {
		t.Errorf("%d wait, want 2", n)
	}
	for _, p := range r.Participants() {
		if strings.HasPrefix(p.Identity, auth.AnonymousPrefix) {
			t.Errorf("%s is in", p.Name)
		}
	}
}

// Letting in is an ordinary join, at that moment, with all that may be against it.
func TestAdmissionIsAJoin(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", room.DailySettings{Private: true, Knocking: true, MaxParticipants: 2})
	host, _ := s.Join(s.DailyToken("lobby", "host", owner))
	one, first := knock(s, "lobby", "one")
	two, second := knock(s, "lobby", "two")
	host.OK(wire.Message{Type: "admitParticipant", SID: first})
	one.Expect("joined")
	host.Ask(wire.Message{Type: "admitParticipant", SID: second})
	two.ExpectClose(wire.RoomFull)
	if e := toldOf(host, "that it waits no more", is("waitingParticipantLeft", "sid", second)); e.Get("admitted") != false {
		t.Errorf("got %s", e.Text)
	}
}

// Who may let in is told who waits, from the moment in which it may until it may not.
func TestModeratorsOfTheLobby(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", knocking)
	host, _ := s.Join(s.DailyToken("lobby", "host", owner))
	deputy, joined := s.Join(s.DailyToken("lobby", "deputy"))
	if joined.Get("waiting") != nil {
		t.Errorf("one who may not let in is told %s", joined.Text)
	}
	first, firstSID := knock(s, "lobby", "first")
	host.OK(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{joined.Str("session"): []byte(`{"canAdmin":["participants"]}`)}})
	if e := deputy.Expect("waitingParticipantJoined"); e.Str("participant.sid") != firstSID {
		t.Errorf("the deputy is told %s", e.Text)
	}
	second, secondSID := knock(s, "lobby", "second")
	deputy.ExpectWhere("the second", is("waitingParticipantJoined", "participant.sid", secondSID))
	deputy.OK(wire.Message{Type: "admitParticipant", SID: firstSID})
	first.Expect("joined")
	host.OK(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{joined.Str("session"): []byte(`{"canAdmin":false}`)}})
	deputy.ExpectWhere("that the second is no business of its any more", is("waitingParticipantLeft", "sid", secondSID))
	if e := deputy.Ask(wire.Message{Type: "admitParticipant", SID: secondSID}); e.Str("code") != "not_allowed" || e.Str("permission") != "roomAdmin" {
		t.Errorf("got %s", e.Text)
	}
	second.Sync()
	// A LiveKit admin may, too.
	admin, joined := s.Join(s.Token("lobby", "admin", func(c *livekit.Claims) { c.Video.RoomAdmin = true }))
	if list, _ := joined.Get("waiting").([]any); len(list) != 1 {
		t.Errorf("the admin is told %s", joined.Text)
	}
	admin.OK(wire.Message{Type: "admitParticipant", All: true})
	second.Expect("joined")
}

// A room that is closed to those who knock sends away who waits; what is edited
// besides leaves them there.
func TestLobbyIsClosed(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", knocking)
	edit := func(f func(*room.DailySettings)) {
		t.Helper()
		b := s.Rooms.Batch()
		if _, err := s.Rooms.UpdateDaily(b, "test", "lobby", func(d room.DailySettings) (room.DailySettings, error) { f(&d); return d, nil }); err != nil {
			t.Fatal(err)
		}
		b.Flush()
	}
	c, _ := knock(s, "lobby", "one")
	edit(func(d *room.DailySettings) { d.MaxParticipants = 5 })
	c.Sync()
	edit(func(d *room.DailySettings) { d.Knocking = false })
	if code, reason := c.Closed(); code != wire.NotAllowed && code != wire.AccessLost {
		t.Errorf("got close code %d (%s)", code, reason)
	}
	if got := s.Dial(nil).Refused(wire.Message{Type: "join", Room: "lobby"}); got != wire.NotAllowed {
		t.Errorf("§4: private without knocking and without a token: got close code %d", got)
	}
	edit(func(d *room.DailySettings) { d.Knocking = true })
	c, _ = knock(s, "lobby", "two")
	edit(func(d *room.DailySettings) { d.Private = false })
	c.Expect("joined") // it need not wait any more
	leave(c)
	if _, e := s.JoinAs(wire.Message{Room: "lobby"}); e.Type() != "joined" {
		t.Errorf("§1.7.9: a public room lets in without a token: got %s", e.Text)
	}
	edit(func(d *room.DailySettings) { d.Private = true })
	c, _ = knock(s, "lobby", "three")
	b := s.Rooms.Batch()
	if _, err := s.Rooms.DeleteDaily(b, "test", "lobby"); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	c.ExpectClose(wire.RoomDeleted)
}

// Whoever waits has joined as far as its connection goes: it is pinged, and the
// time in which a connection has to join does not concern it.
func TestWaitingIsPatient(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		s.DailyRoom("lobby", knocking)
		guest, sid := knock(s, "lobby", "Guest")
		time.Sleep(10 * time.Minute)
		guest.Sync()
		host, _ := s.Join(s.DailyToken("lobby", "host", owner))
		host.OK(wire.Message{Type: "admitParticipant", SID: sid})
		guest.Expect("joined")
	})
}
