package session_test

import (
	"testing"
	"time"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A resume after the grace period is told to join again, by the one code that
// says so.
func TestResumeAfterGrace(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.Grace = time.Millisecond }})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	token := s.Token("lobby", "bob")
	bob, joined := s.Join(token)
	_ = bob.WS.CloseNow()
	if e := ada.Expect("participantLeft"); e.Str("reason") != "CONNECTION_TIMEOUT" {
		t.Fatalf("got %s", e.Text)
	}
	again := s.Dial(nil)
	again.Send(wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret")})
	again.ExpectClose(wire.SessionNotFound)
	s.Join(token)
}
