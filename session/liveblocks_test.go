package session_test

import (
	"strings"
	"testing"

	"usher/auth"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A Liveblocks token is good for the native protocol, too, which names the room: the
// room's access list decides, also while one is there.
func TestLiveblocksToken(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	b := s.Rooms.Batch()
	if _, err := s.Rooms.CreateLiveblocks(b, "test", "design", room.LiveblocksRoom{Access: auth.AccessList{Default: []string{"room:write"}}}); err != nil {
		t.Fatal(err)
	}
	c := s.Dial(nil)
	c.Send(wire.Message{Type: "join", Token: s.IDToken("ada"), Room: "design"})
	joined := c.Expect("joined")
	if joined.Str("self.identity") != "ada" || joined.Str("self.name") != "ada" || joined.Get("self.permissions.canPublishData") != true || joined.Get("self.permissions.canPublish") != false {
		t.Errorf("got %s", joined.Text)
	}
	c.OK(wire.Message{Type: "publishData", Payload: jsonOf("hello")})
	refreshed := c.Expect("refreshToken").Str("token")

	if _, err := s.Rooms.UpdateLiveblocks(b, "test", "design", room.LiveblocksChange{Default: &[]string{}}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	c.ExpectClose(wire.AccessLost)
	for _, token := range []string{refreshed, s.IDToken("ada")} {
		if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token, Room: "design"}); got != wire.NotAllowed {
			t.Errorf("coming back: got %d, want %d", got, wire.NotAllowed)
		}
	}
	if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: s.IDToken("ada")}); got != wire.InvalidToken {
		t.Errorf("without a room: got %d, want %d", got, wire.InvalidToken)
	}
}

// A public key lets in without a token. There is none to come back with, but the
// session's secret.
func TestPublicKey(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.JoinLiveblocks("design", s.AccessToken("ada", "*", "*:write"))
	c := s.Dial(nil)
	c.Send(wire.Message{Type: "join", PublicKey: sessiontest.LiveblocksPublic, Room: "design", Name: ptr("Guest")})
	joined := c.Expect("joined")
	identity := joined.Str("self.identity")
	if !strings.HasPrefix(identity, auth.AnonymousPrefix) || joined.Str("self.name") != "Guest" {
		t.Errorf("got %s", joined.Text)
	}
	if m := ada.Expect(101); m.Fields["id"] != nil || m.JSON("info") != `{"name":"Guest"}` {
		t.Errorf("the user is told %s", m.Text)
	}
	c.OK(wire.Message{Type: "publishData", Payload: jsonOf("hello")})
	ada.Expect(103)
	_ = c.WS.CloseNow()
	again := resume(s, joined, c.Received())
	if got := again.Expect("joined").Str("self.identity"); got != identity {
		t.Errorf("%q came back as %q", identity, got)
	}
	again.Sync()
	for _, e := range append(c.Seen(), again.Seen()...) {
		if e.Type() == "refreshToken" {
			t.Errorf("there is no token to be refreshed: %s", e.Text)
		}
	}
	for name, m := range map[string]wire.Message{
		"unknown":        {Type: "join", PublicKey: "pk_other", Room: "design"},
		"with a token":   {Type: "join", PublicKey: sessiontest.LiveblocksPublic, Token: s.IDToken("x"), Room: "design"},
		"without a room": {Type: "join", PublicKey: sessiontest.LiveblocksPublic},
		"as a token":     {Type: "join", Token: sessiontest.LiveblocksPublic, Room: "design"},
	} {
		if got := s.Dial(nil).Refused(m); got != wire.InvalidToken {
			t.Errorf("%s: got %d, want %d", name, got, wire.InvalidToken)
		}
	}
}
