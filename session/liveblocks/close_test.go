package liveblocks_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	authlb "usher/auth/liveblocks"
	"usher/room"
	"usher/session"
	"usher/session/liveblocks"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// Every end has a code and a reason of its own, which fits.
func TestClosings(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	peer := liveblocks.New(liveblocks.Config{Rooms: s.Rooms, Verifier: s.Verifier}).Connect(request(t, "/v8"))
	permanent := func(code uint16) bool { return code >= 4000 && code < 4100 }
	for _, end := range append(wire.CloseCodes(), 4999) {
		for _, detail := range []string{"", "a detail", strings.Repeat("ü", 100)} {
			code, reason := peer.Closing(end, detail)
			if len(reason) > wire.MaxReasonBytes {
				t.Errorf("%d: the reason has %d bytes", end, len(reason))
			}
			if permanent(code) && reason == "" && end != wire.RoomRenamed {
				t.Errorf("%d: the page is not told why it was closed with %d", end, code)
			}
			// The native codes say whether it helps to come back.
			if end != wire.TokenExpired && end >= 4000 && end < 4999 && end != wire.SessionNotFound && permanent(code) == end.Reconnect() {
				t.Errorf("%d: after %d the client comes back or not, and should do otherwise", end, code)
			}
		}
	}
	if code, reason := peer.Closing(wire.RoomRenamed, "the new id"); code != 4006 || reason != "the new id" {
		t.Errorf("a renamed room is %d %q", code, reason)
	}
	if code, reason := peer.Closing(wire.RoomRenamed, strings.Repeat("x", 124)); code != 4001 || strings.Contains(reason, "xx") {
		t.Errorf("a renamed room with a long id is %d %q", code, reason)
	}
}

func request(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whoever may not join is let in by HTTP and told by a close code.
func TestRefusals(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{
		Room:    func(c *room.Config) { c.MaxParticipants = 1 },
		Session: func(c *session.Config) { c.Origins = []string{"https://app.example"} },
	})
	good := writer(s, "ada")
	create(s, "private", auth.AccessList{})
	create(s, "taken", auth.AccessList{Default: []string{"room:write"}})
	s.JoinLiveblocks("taken", good)
	key := s.Door.Key("test")
	stranger := key
	stranger.Secret = auth.Secret(strings.Repeat("z", 40))
	mint := func(tok interface {
		Mint(auth.Key, time.Duration) (string, error)
	}, k auth.Key, life time.Duration) string {
		t.Helper()
		token, err := tok.Mint(k, life)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	other := authlb.IDToken{User: "ada", Organization: "acme"}
	for name, test := range map[string]struct {
		path   string
		q      url.Values
		header http.Header
		code   int
		reason string
	}{
		"no room":            {q: url.Values{"roomId": {""}, "tok": {good}}, code: 4000, reason: "roomId is missing"},
		"nothing":            {code: 4001, reason: "neither tok nor pubkey is given"},
		"both":               {q: url.Values{"tok": {good}, "pubkey": {"pk_test"}}, code: 4001, reason: "both tok and pubkey are given"},
		"no token":           {q: url.Values{"tok": {"nonsense"}}, code: 4001, reason: "invalid token: malformed token"},
		"of another key":     {q: url.Values{"tok": {mint(other, stranger, time.Hour)}}, code: 4001, reason: "invalid token: signature does not match the key"},
		"LiveKit's":          {q: url.Values{"tok": {s.Token("design", "ada")}}, code: 4001, reason: "this is no token of Liveblocks'"},
		"expired":            {q: url.Values{"tok": {s.ExpiredToken("late")}}, code: 4109, reason: "the token has expired"},
		"unknown public key": {q: url.Values{"pubkey": {"pk_other"}}, code: 4001, reason: "unknown public key"},
		"private room":       {q: url.Values{"roomId": {"private"}, "tok": {s.IDToken("ada")}}, code: 4001, reason: "no access to this room"},
		"no such room":       {q: url.Values{"roomId": {"nowhere"}, "tok": {s.IDToken("ada")}}, code: 4001, reason: "no access to this room"},
		"of another tenant":  {q: url.Values{"roomId": {"taken"}, "tok": {s.Mint(other)}}, code: 4001, reason: `"acme"`},
		"another pattern":    {q: url.Values{"tok": {s.AccessToken("ada", "x*", "*:write")}}, code: 4001, reason: "no access to this room"},
		"full":               {q: url.Values{"roomId": {"taken"}, "tok": {writer(s, "bob")}}, code: 4005, reason: "the room is full"},
		"too long a name":    {q: url.Values{"roomId": {strings.Repeat("x", 1000)}, "tok": {good}}, code: 4000, reason: "room name exceeds"},
		"another page":       {q: url.Values{"tok": {good}}, header: http.Header{"Origin": {"https://evil.example"}}, code: 4001, reason: "origin"},
		"copilots":           {path: "/ai/v7", q: url.Values{"tok": {good}}, code: 4001, reason: "AI copilots are not offered"},
	} {
		t.Run(name, func(t *testing.T) {
			path := test.path
			if path == "" {
				path = "/v8"
			}
			c := s.For(t).DialLiveblocksAt(s.LiveblocksURL(path, "design", sessiontest.LiveblocksVersion, test.q), &websocket.DialOptions{HTTPHeader: test.header})
			code, reason := c.Closed()
			if code != test.code || !strings.Contains(reason, test.reason) {
				t.Errorf("got %d %q, want %d with %q", code, reason, test.code, test.reason)
			}
			if len(c.Frames()) > 0 {
				t.Errorf("it was told %s before", c.Frames())
			}
		})
	}
	// That there is no room reads as that there is no access.
	_, one := s.DialLiveblocks("private", s.IDToken("bob")).Closed()
	_, two := s.DialLiveblocks("nowhere", s.IDToken("bob")).Closed()
	if one != two {
		t.Errorf("a private room is %q and a missing one %q", one, two)
	}
}

// A client that comes back at once with the token that has expired holds it for
// fresh: 4109 would have it come for ever.
func TestExpiredTokenAgain(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	token := s.ExpiredToken("late")
	s.DialLiveblocks("design", token).ExpectClose(4109)
	if reason := s.DialLiveblocks("design", token).ExpectClose(4001); !strings.Contains(reason, "auth endpoint") {
		t.Errorf("got %q", reason)
	}
	s.DialLiveblocks("design", s.ExpiredToken("late")).ExpectClose(4109)
	// The rooms of a client share a token: after a cut each of them comes with it.
	s.DialLiveblocks("another", token).ExpectClose(4109)
	s.DialLiveblocks("another", token).ExpectClose(4001)
}

// What does not keep to the protocol ends with 4000 and a reason.
func TestInvalidMessages(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.MessageBytes = 200 << 10 }})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	big := strings.Repeat("x", 70000)
	for text, reason := range map[string]string{
		`{"type":200}`: "a frame is an array", `null`: "a frame is an array", `"ping"`: "a frame is an array", `pong`: "a frame is an array", ``: "a frame is an array",
		`[{"type":200}`: "a frame is an array", `[{"type":200}] []`: "a frame is an array", `[7]`: "a message is an object", `[{}]`: "has a type",
		`[{"type":"100"}]`: "has a type", `[{"type":100}]`: "UPDATE_PRESENCE", `[{"type":100,"data":[]}]`: "UPDATE_PRESENCE", `[{"type":100,"data":null}]`: "UPDATE_PRESENCE",
		`[{"type":103}]`: "BROADCAST_EVENT", `[{"type":201}]`: "UPDATE_STORAGE", `[{"type":201,"ops":{}}]`: "UPDATE_STORAGE",
		`[{"type":510}]`: "requestId", `[{"type":99}]`: "no message of type 99", `[{"type":509}]`: "no message of type 509", `[{"type":-100}]`: "no message of type -100",
		`[{"type":103,"event":"` + big + `"}]`:      "payload exceeds the limit of 65536 bytes",
		`[{"type":100,"data":{"x":"` + big + `"}}]`: "presence exceeds the limit of 16384 bytes",
		"[\"\xff\"]": "not UTF-8",
		`[{"type":103,"event":"` + strings.Repeat(big, 3) + `"}]`: "larger than limits.message_bytes",
	} {
		t.Run(reason, func(t *testing.T) {
			s := s.For(t)
			c, state := s.JoinLiveblocks("design", writer(s, "bob"))
			c.SendText(text)
			if got := c.ExpectClose(4000); !strings.Contains(got, reason) {
				t.Errorf("%.50s: got %q, want %q", text, got, reason)
			}
			ada.ExpectWhere("USER_LEFT", func(m sessiontest.LiveblocksMessage) bool { return m.Type() == 102 && m.Actor() == state.Actor() })
		})
	}
	c, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	if err := c.WS.Write(context.Background(), websocket.MessageBinary, []byte("[]")); err != nil {
		t.Fatal(err)
	}
	c.ExpectClose(4000)
	if n := ada.Count(103) + ada.Count(100); n != 0 {
		t.Errorf("%d of that reached somebody", n)
	}
	// What is empty is no mistake.
	c, _ = s.JoinLiveblocks("design", writer(s, "cyd"))
	c.SendText(" [ ] ")
	c.Send(`{"type":201,"ops":[]}`)
	c.Sync()
}

// Who sends more than its rate allows comes back in a while.
func TestRateLimit(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.MessagesPerSecond = 5 }})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	// On account of newcomers a client says again what it has said, in one frame.
	ada.Present(`{"a":1}`)
	ada.Send(strings.TrimSuffix(strings.Repeat(`{"type":100,"targetActor":5,"data":{"a":1}},`, 500), ","))
	ada.Sync()
	ada.Send(strings.TrimSuffix(strings.Repeat(`{"type":103,"event":1},`, 100), ","))
	ada.ExpectClose(1013)
}

// When the server stops, clients come back with the token that they have.
func TestShutdown(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.JoinLiveblocks("design", writer(s, "ada"))
	bob, _ := s.JoinLiveblocks("design", writer(s, "bob"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := s.Sessions.Drain(ctx); err != nil {
		t.Error(err)
	}
	ada.ExpectClose(1001)
	bob.ExpectClose(1001)
	s.DialLiveblocks("design", writer(s, "cyd")).ExpectClose(1001)
}
