package session_test

import (
	"encoding/json"
	"os"
	"testing"

	"go.uber.org/goleak"

	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

func TestMain(m *testing.M) {
	if os.Getenv(benchServerEnv) != "" {
		serveBench()
		return
	}
	goleak.VerifyTestMain(m)
}

func ptr[T any](v T) *T { return &v }

// The thin whole: two people meet, talk, one is demoted and told so.
func TestTwoPeopleMeet(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, joined := s.Join(s.Token("lobby", "ada"))
	if got := joined.Str("self.identity"); got != "ada" {
		t.Fatalf("got identity %q, want ada", got)
	}
	ada.Expect("refreshToken")
	bob, joined := s.Join(s.Token("lobby", "bob"))
	if n := len(joined.Get("participants").([]any)); n != 1 {
		t.Fatalf("bob sees %d participants, want 1", n)
	}
	if got := ada.Expect("participantJoined").Str("participant.identity"); got != "bob" {
		t.Fatalf("ada was told of %q, want bob", got)
	}
	bob.OK(wire.Message{Type: "publishData", Payload: json.RawMessage(`{"hello":"ada"}`), Topic: "chat"})
	if e := ada.Expect("data"); e.Str("from.identity") != "bob" || e.Str("payload.hello") != "ada" || e.Str("topic") != "chat" {
		t.Fatalf("got %s", e.Text)
	}
	track := bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	ada.Expect("trackPublished")
	ada.Expect("trackSubscribed")

	r, _ := s.Rooms.Lookup("test", "lobby")
	b := s.Rooms.Batch()
	say := livekit.StatementOf(livekit.Permission{CanSubscribe: true})
	if _, err := r.Update(b, room.Target{Identity: "bob"}, room.Change{Permission: &say}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	if e := ada.Expect("trackUnpublished"); e.Str("trackSid") != track.Str("track.sid") || e.Str("reason") != "not_allowed" {
		t.Fatalf("got %s", e.Text)
	}
	bob.Expect("participantUpdated")
	bob.Expect("refreshToken")
	if e := bob.Ask(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}); e.Str("code") != "not_allowed" || e.Str("permission") != "canPublish" || e.Str("layer") != "live" {
		t.Fatalf("got %s", e.Text)
	}
	bob.Send(wire.Message{Type: "leave"})
	bob.ExpectClose(wire.Left)
	if e := ada.Expect("participantLeft"); e.Str("identity") != "bob" || e.Str("reason") != "CLIENT_INITIATED" {
		t.Fatalf("got %s", e.Text)
	}
}
