// Package sdk_test uses usher's RoomService as applications' backends do: with
// the unmodified livekit-server-sdk of npm, and with the clients generated for
// Twirp in Go. What a call did is looked at on the sockets of live sessions.
package sdk_test

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twitchtv/twirp"
	"go.uber.org/goleak"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web"
	"usher/web/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a server with sessions and the RoomService, as the command wires it.
type site struct {
	*sessiontest.Server
}

func serve(t testing.TB, change ...func(*room.Config)) *site {
	t.Helper()
	log := new(lockedBuffer)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	logger := slog.New(slog.NewTextHandler(log, nil))
	return &site{sessiontest.Serve(t, sessiontest.Options{
		Room: func(c *room.Config) {
			c.Log = logger
			for _, f := range change {
				f(c)
			}
		},
		Session: func(c *session.Config) { c.Log = logger },
		Handler: func(s *sessiontest.Server, sessions http.Handler) http.Handler {
			public, _ := web.New(web.Config{
				Session: sessions,
				Twirp:   livekit.New(livekit.Config{Rooms: s.Rooms, Verifier: s.Verifier, Log: logger}),
				Metrics: prometheus.NewRegistry(),
				Log:     logger,
			})
			return public
		},
	})}
}

// admin returns a token for every call about a room, and for moves to another.
func (s *site) admin(name string) string {
	s.T.Helper()
	return s.Token("", "", grant(tokens.VideoGrant{
		RoomCreate: true, RoomList: true, RoomAdmin: true, Room: name, DestinationRoom: "hall",
	}))
}

// as returns a context for calls of the generated clients about a room. The npm
// SDK makes its own token for each call.
func (s *site) as(name string) context.Context {
	s.T.Helper()
	ctx, err := twirp.WithHTTPRequestHeaders(s.T.Context(), http.Header{"Authorization": {"Bearer " + s.admin(name)}})
	if err != nil {
		s.T.Fatal(err)
	}
	return ctx
}

func grant(v tokens.VideoGrant) func(*tokens.Claims) {
	return func(c *tokens.Claims) { c.Video = &v }
}

// hidden makes a token of somebody whom nobody sees.
func hidden(c *tokens.Claims) { c.Video.Hidden = true }

// enter is Join for somebody of that identity.
func (s *site) enter(roomName, identity string, change ...func(*tokens.Claims)) *person {
	s.T.Helper()
	c, joined := s.Join(s.Token(roomName, identity, change...))
	return &person{Client: c, joined: joined}
}

// A person is somebody in a room.
type person struct {
	*sessiontest.Client
	joined sessiontest.Event
}

func (p *person) sid() string { return p.joined.Str("session") }

// microphone publishes a track, and returns its sid and handle.
func (p *person) microphone() (sid string, handle uint32) {
	p.T.Helper()
	e := p.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	return e.Str("track.sid"), uint32(e.Get("track.handle").(float64))
}

// frame sends a frame of a track whose payload is text.
func (p *person) frame(handle uint32, counter uint16, text string) {
	p.T.Helper()
	b := append(wire.FrameHeader{Handle: handle, Last: true, Counter: counter}.Append(nil), text...)
	if err := p.WS.Write(context.Background(), websocket.MessageBinary, b); err != nil {
		p.T.Fatal(err)
	}
}

// expectFrame waits for a frame with that payload.
func (p *person) expectFrame(text string) {
	p.T.Helper()
	p.ExpectWhere("the frame "+text, func(e sessiontest.Event) bool {
		return len(e.Binary) >= wire.FrameHeaderBytes && string(e.Binary[wire.FrameHeaderBytes:]) == text
	})
}

// of returns the messages of a type that have arrived.
func (p *person) of(typ string) []sessiontest.Event {
	return slices.DeleteFunc(p.Seen(), func(e sessiontest.Event) bool { return e.Type() != typ })
}

// denied fails the test unless the server refuses a request for want of a right.
func (p *person) denied(m wire.Message) {
	p.T.Helper()
	if e := p.Ask(m); e.Str("code") != "not_allowed" {
		p.T.Errorf("%s: got %s, want not_allowed", m.Type, e.Text)
	}
}

// turnedAway fails the test unless a join with the token ends with the code.
func (s *site) turnedAway(what, token string, code wire.CloseCode) {
	s.T.Helper()
	if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != code {
		s.T.Errorf("%s: the join ended with %d %s, want %d %s", what, got, got.Reason(), code, code.Reason())
	}
}

// allows reports what a token of this server grants.
func (s *site) allows(token string, rights auth.Rights) bool {
	s.T.Helper()
	return auth.Resolve(s.grantOf(token).Base...).Allows(rights)
}

func (s *site) grantOf(token string) *auth.Grant {
	s.T.Helper()
	g, err := s.Verifier.Verify(token)
	if err != nil {
		s.T.Fatal(err)
	}
	return g
}

// minted is a join token of a time: that of its iat and nbf.
func (s *site) minted(roomName, identity string, at time.Time) string {
	s.T.Helper()
	token, err := tokens.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), tokens.Claims{
		Identity: identity, Video: &tokens.VideoGrant{RoomJoin: true, Room: roomName},
	}, 6*time.Hour, at)
	if err != nil {
		s.T.Fatal(err)
	}
	return token
}

// # What the native protocol has for the RoomService alone
//
// Every test looks at these messages through what follows.

// dataOf returns what a backend's SendData brought: bytes, from nobody.
func dataOf(t testing.TB, e sessiontest.Event) (payload, topic string, reliable bool) {
	t.Helper()
	if e.Get("from") != nil {
		t.Errorf("data of the server has a sender: %s", e.Text)
	}
	if e.Str("encoding") != "base64" {
		t.Errorf("data of the server is bytes, and comes as %s", e.Text)
	}
	b, err := base64.StdEncoding.DecodeString(e.Str("payload"))
	if err != nil {
		t.Errorf("%s: %v", e.Text, err)
	}
	return string(b), e.Str("topic"), e.Get("reliable") == true
}

// movedTo waits until p was moved to the room, acknowledges it, as a client has
// to before it asks for anything there, and returns its session and its token.
func (p *person) movedTo(roomName string) (session, token string) {
	p.T.Helper()
	e := p.Expect("moved")
	if e.Str("room.name") != roomName || e.Str("token") == "" || e.Str("session") == "" {
		p.T.Errorf("was moved with %s, want one to %s with a session and a token", e.Text, roomName)
	}
	p.Send(wire.Message{Type: "ack", Received: p.Received()})
	return e.Str("session"), e.Str("token")
}

// A rpcCall is a call that reached a client.
type rpcCall struct{ id, method, payload string }

// called waits for a backend's PerformRpc.
func (p *person) called() rpcCall {
	p.T.Helper()
	e := p.Expect("rpc")
	if e.Get("from") != nil {
		p.T.Errorf("a call of the server has a sender: %s", e.Text)
	}
	return rpcCall{e.Str("rpc"), e.Str("method"), e.Str("payload")}
}

// answer answers a call.
func (p *person) answer(c rpcCall, payload string) {
	p.T.Helper()
	p.Send(map[string]any{"type": "rpcReply", "rpc": c.id, "payload": payload})
}

// fail answers a call with an error.
func (p *person) fail(c rpcCall, code int, message, data string) {
	p.T.Helper()
	p.Send(map[string]any{"type": "rpcReply", "rpc": c.id,
		"error": map[string]any{"code": code, "message": message, "data": data}})
}
