package session_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A host with a Daily token, a guest with a LiveKit token and a viewer with a
// Liveblocks token meet in one room. The host mutes, changes permissions and ejects;
// each is told what its own protocol promises.
func TestThreeKindsInOneRoom(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("stage", knocking)
	b := s.Rooms.Batch()
	if _, err := s.Rooms.CreateLiveblocks(b, "test", "stage", room.LiveblocksRoom{Access: auth.AccessList{Default: []string{"room:write"}}}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	guestToken := s.Token("stage", "guest", func(c *livekit.Claims) { c.Name = "Guest" })
	viewerToken := s.IDToken("viewer")
	host, hosts := s.Join(s.DailyToken("stage", "host", owner))
	guest, guests := s.Join(guestToken)
	viewer, state := s.JoinLiveblocks("stage", viewerToken)

	// All see all.
	if e := guest.Expect("participantJoined"); e.Str("participant.identity") != "viewer" {
		t.Errorf("the guest is told %s", e.Text)
	}
	people := guests.Get("participants").([]any)
	if me := people[0].(map[string]any); len(people) != 1 || me["identity"] != "host" || me["permissions"].(map[string]any)["owner"] != true {
		t.Errorf("the guest finds %v", people)
	}
	if users := state.JSON("users"); !strings.Contains(users, `"id":"host"`) || !strings.Contains(users, `"id":"guest"`) {
		t.Errorf("the viewer finds %s", users)
	}
	viewers := host.ExpectWhere("the viewer", is("participantJoined", "participant.identity", "viewer")).Str("participant.sid")

	// All talk to all, the session data included where the protocol has it.
	host.OK(wire.Message{Type: "publishData", Payload: jsonOf("welcome")})
	guest.ExpectWhere("the welcome", is("data", "payload", "welcome"))
	if m := viewer.Expect(103); m.JSON("event") != `"welcome"` {
		t.Errorf("the viewer hears %s", m.Text)
	}
	viewer.Present(`{"cursor":1}`)
	host.ExpectWhere("the cursor", is("presence", "sid", viewers))
	guest.ExpectWhere("the cursor", is("presence", "sid", viewers))
	host.OK(wire.Message{Type: "updateSessionData", Data: map[string]json.RawMessage{"slide": []byte("3")}})
	guest.ExpectWhere("the slide", is("sessionData", "data.slide", "3"))

	// The host mutes; only the guest itself can unmute.
	track := guest.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	sid := track.Str("track.sid")
	guest.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	host.OK(wire.Message{Type: "muteTrack", TrackSID: sid, Muted: ptr(true)})
	if e := guest.Expect("trackMuted"); e.Get("muted") != true || e.Str("trackSid") != sid {
		t.Errorf("the guest is told %s", e.Text)
	}
	frame(guest, handleOf(track), "while muted")
	guest.OK(wire.Message{Type: "muteTrack", TrackSID: sid, Muted: ptr(false)})
	frame(guest, handleOf(track), "unmuted")
	guest.Sync()
	host.ExpectWhere("what is said unmuted", func(e sessiontest.Event) bool { return e.Binary != nil })
	if received(host, "while muted") || !received(host, "unmuted") {
		t.Error("the host hears what is said muted, or not what is said after")
	}

	// The host changes what the guest and the viewer may do, in Daily's words; each is
	// told in its own, and its next token says it in the token's.
	guest.Sync()
	host.OK(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{
		guests.Str("session"): []byte(`{"canSend":["audio"]}`), viewers: []byte(`{"hasPresence":false}`),
	}})
	if e := guest.Expect("trackUnpublished"); e.Str("reason") != "not_allowed" || e.Str("trackSid") == sid {
		t.Errorf("the guest is told %s", e.Text)
	}
	if e := guest.ExpectWhere("its permissions", is("participantUpdated", "participant.identity", "guest")); fmt.Sprint(e.Get("participant.permissions.canPublishSources")) != "[microphone]" {
		t.Errorf("the guest is told %s", e.Text)
	}
	guest.Sync()
	if token, _ := refreshedOf(guest); !strings.Contains(string(payloadOf(t, token)["video"]), `"canPublishSources":["microphone"]`) {
		t.Errorf("its token says %s", payloadOf(t, token)["video"])
	}
	for name, c := range map[string]*sessiontest.Client{"host": host, "guest": guest} {
		if e := toldOf(c, "that the viewer is gone", is("participantLeft", "sid", viewers)); e.Str("identity") != "viewer" {
			t.Errorf("the %s is told %s", name, e.Text)
		}
	}
	host.OK(wire.Message{Type: "updatePermissions", Data: map[string]json.RawMessage{viewers: []byte(`{"hasPresence":true}`)}})
	guest.ExpectWhere("that the viewer is back", is("participantJoined", "participant.sid", viewers))

	// Nobody else may do any of it.
	for _, m := range []wire.Message{
		{Type: "muteTrack", TrackSID: sid, Muted: ptr(true)},
		{Type: "ejectParticipant", Identity: "host"}, {Type: "ejectParticipant", SID: hosts.Str("session")},
		{Type: "updatePermissions", Data: map[string]json.RawMessage{"*": []byte(`{"canSend":false}`)}},
	} {
		if m.Type == "muteTrack" {
			m.TrackSID = host.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}).Str("track.sid")
			guest.ExpectWhere("the host's track", is("trackPublished", "track.sid", m.TrackSID))
		}
		if e := guest.Ask(m); e.Str("code") != "not_allowed" {
			t.Errorf("%s by the guest: got %s", m.Type, e.Text)
		}
	}

	// The host ejects; nobody's token is spent.
	host.OK(wire.Message{Type: "ejectParticipant", Identity: "guest"})
	guest.ExpectClose(wire.Ejected)
	host.OK(wire.Message{Type: "ejectParticipant", SID: viewers})
	if reason := viewer.ExpectClose(4001); !strings.Contains(reason, "put out") {
		t.Errorf("the viewer reads %q", reason)
	}
	for _, sid := range []string{guests.Str("session"), viewers} {
		if e := toldOf(host, "that it left", is("participantLeft", "sid", sid)); e.Str("reason") != "PARTICIPANT_REMOVED" && sid == guests.Str("session") {
			t.Errorf("the host is told %s", e.Text)
		}
	}
	s.Join(guestToken)
	s.JoinLiveblocks("stage", viewerToken)
	if e := host.OK(wire.Message{Type: "listParticipants"}); e.Str("numParticipants") != "3" {
		t.Errorf("the list is %s", e.Text)
	}
	// And bans, whatever the token.
	host.OK(wire.Message{Type: "ejectParticipant", Identity: "guest", Ban: true})
	for _, token := range []string{guestToken, s.Token("stage", "guest"), s.DailyToken("stage", "guest")} {
		if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != wire.Removed && got != wire.TokenRevoked {
			t.Errorf("the banned guest: got close code %d", got)
		}
	}
	for _, p := range sessiontest.Replay(host.Seen()).Problems {
		t.Error(p)
	}
}
