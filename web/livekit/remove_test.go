package livekit_test

import (
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A removed participant stays out: with the token it came with, with every one
// it was handed since, and with its session. A token issued later is the
// application's newer word.
func TestRemovedStaysOut(t *testing.T) {
	s := serve(t)
	ada, _ := s.Join(s.Token("lobby", "ada"))
	first := s.Token("lobby", "bob", func(c *tokens.Claims) { c.Video.RoomAdmin = true })
	unused := s.Token("lobby", "bob")
	bob, joined := s.Join(first)
	refreshed := bob.Expect("refreshToken").Str("token")
	s.update(`{"room":"lobby","identity":"bob","metadata":"changed"}`)
	newer := bob.Expect("refreshToken").Str("token")

	if a := s.call("RemoveParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	bob.ExpectClose(wire.Removed)
	if e := ada.Expect("participantLeft"); e.Str("identity") != "bob" || e.Str("reason") != "PARTICIPANT_REMOVED" {
		t.Errorf("ada was told %s", e.Text)
	}
	if a := s.call("GetParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`); a.status != 404 {
		t.Errorf("got %d %s, want 404", a.status, a.body)
	}

	refused := func(what string, message wire.Message, code wire.CloseCode) {
		t.Helper()
		c := s.Dial(nil)
		c.Send(message)
		c.ExpectClose(code)
		if got := len(c.Seen()); got != 0 {
			t.Errorf("%s: was told %d things before it was refused", what, got)
		}
	}
	for what, token := range map[string]string{"the first token": first, "a refreshed token": refreshed, "the newest token": newer, "an older one, never shown": unused} {
		refused(what, wire.Message{Type: "join", Token: token}, wire.TokenRevoked)
		// Nor does it open the server API, though it was an administrator's.
		if a := s.call("ListParticipants", token, `{"room":"lobby"}`); a.status != 401 || a.code() != "" {
			t.Errorf("%s: the server API answers %d %s", what, a.status, a.body)
		}
	}
	refused("resume", wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret"), Received: bob.Received()}, wire.Removed)
	refused("resume, with a wrong secret", wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret")[1:] + "A"}, wire.SessionNotFound)
	ada.Sync()
	if n := count(ada, "participantJoined"); n != 1 {
		t.Errorf("ada saw bob join %d times, want once", n)
	}

	// Clocks may differ by a minute, so a token of the next seconds is good.
	later, err := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{
		Identity: "bob", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lobby"},
	}, time.Hour, time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	s.Join(later)
	if e := ada.Expect("participantJoined"); e.Str("participant.identity") != "bob" {
		t.Errorf("ada was told %s", e.Text)
	}
	refused("the first token, now that bob is back", wire.Message{Type: "join", Token: first}, wire.TokenRevoked)
}

// The end of the room's life does not let a removed participant in again.
func TestRemovedStaysOutOfTheNextRoom(t *testing.T) {
	s := serve(t, func(c *room.Config) { c.DepartureTimeout = time.Millisecond })
	first := s.Token("lobby", "bob")
	bob, joined := s.Join(first)
	roomID := joined.Str("room.sid")
	if a := s.call("RemoveParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	bob.ExpectClose(wire.Removed)
	for lives := true; lives; _, lives = s.Rooms.Lookup("test", "lobby") {
		c := s.Dial(nil)
		c.Send(wire.Message{Type: "join", Token: first})
		c.ExpectClose(wire.TokenRevoked)
	}
	_, joined = s.Join(s.Token("lobby", "ada"))
	if joined.Str("room.sid") == roomID {
		t.Fatal("the room did not end")
	}
	c := s.Dial(nil)
	c.Send(wire.Message{Type: "join", Token: first})
	c.ExpectClose(wire.TokenRevoked)
}
