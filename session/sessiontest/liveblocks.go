package sessiontest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	authlb "usher/auth/liveblocks"
)

// The server's Liveblocks keys, of project "test".
const (
	LiveblocksSecret    = "sk_test"
	LiveblocksPublic    = "pk_test"
	liveblocksSignature = "another-secret-for-tests-of-32-bytes-and-more"
)

// LiveblocksVersion is what clients say they are, unless a test says otherwise.
const LiveblocksVersion = "3.24.2"

// LiveblocksEntry is the project's door.
func LiveblocksEntry(c authlb.Config) authlb.DoorEntry {
	f := authlb.New(c)
	return authlb.DoorEntry{Project: "test", Secret: auth.Secret(LiveblocksSecret), Public: LiveblocksPublic, Format: f,
		Key: authlb.NewKey(f, "test", auth.Secret(liveblocksSignature))}
}

// IDToken returns an ID token of a user who is in those groups.
func (s *Server) IDToken(user string, groups ...string) string {
	s.T.Helper()
	return s.Mint(authlb.IDToken{User: user, Groups: groups, Info: json.RawMessage(`{"name":"` + user + `"}`)})
}

// AccessToken returns an access token of a user: a pattern, and what it allows.
func (s *Server) AccessToken(user, pattern string, scopes ...string) string {
	s.T.Helper()
	return s.Mint(authlb.AccessToken{User: user, Permissions: map[string][]string{pattern: scopes}, Info: json.RawMessage(`{"name":"` + user + `"}`)})
}

// Mint signs a token that lives an hour.
func (s *Server) Mint(t interface {
	Mint(auth.Key, time.Duration) (string, error)
}) string {
	s.T.Helper()
	token, err := t.Mint(s.Door.Key("test"), time.Hour)
	if err != nil {
		s.T.Fatal(err)
	}
	return token
}

// ExpiredToken returns an ID token that was good until an hour ago.
func (s *Server) ExpiredToken(user string) string {
	s.T.Helper()
	now := time.Now()
	token, err := s.Door.Key("test").Sign(fmt.Appendf(nil, `{"k":"id","pid":"test","uid":%q,"iat":%d,"exp":%d,"jti":%q}`,
		user, now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix(), rand.Text()))
	if err != nil {
		s.T.Fatal(err)
	}
	return token
}

// OverTLS serves the same sessions over TLS, too, and returns the server as it is
// there.
func (s *Server) OverTLS() *Server {
	s.T.Helper()
	secure := httptest.NewUnstartedServer(s.Sessions)
	secure.StartTLS()
	client := secure.Client()
	s.T.Cleanup(func() {
		client.CloseIdleConnections()
		secure.Close()
	})
	other := *s
	other.HTTP, other.client = secure, client
	other.URL = "wss" + strings.TrimPrefix(secure.URL, "https") + "/session"
	return &other
}

// A Liveblocks is a client of Liveblocks' WebSocket protocol that does only what a
// test tells it to. What arrives is read at once and kept.
type Liveblocks struct {
	T  testing.TB
	WS *websocket.Conn

	mu       sync.Mutex
	arrive   sync.Cond
	frames   []string
	messages []LiveblocksMessage
	next     int
	pongs    int
	pings    int // sent
	err      error
}

// A LiveblocksMessage is one message of the server.
type LiveblocksMessage struct {
	Fields map[string]any
	Text   string
	Bare   bool // it was no element of an array
}

// Type is the message's code.
func (m LiveblocksMessage) Type() int { n, _ := m.Fields["type"].(float64); return int(n) }

// Actor is who the message is about.
func (m LiveblocksMessage) Actor() int { n, _ := m.Fields["actor"].(float64); return int(n) }

// JSON is a field, encoded with its keys sorted.
func (m LiveblocksMessage) JSON(field string) string {
	b, _ := json.Marshal(m.Fields[field])
	return string(b)
}

// LiveblocksURL is where a client of the version connects for a room.
func (s *Server) LiveblocksURL(path, room, version string, who url.Values) string {
	q := url.Values{"roomId": {room}, "version": {version}}
	for k, v := range who {
		q[k] = v
	}
	return strings.TrimSuffix(s.URL, "/session") + path + "?" + q.Encode()
}

// DialLiveblocks connects with that token.
func (s *Server) DialLiveblocks(room, token string) *Liveblocks {
	s.T.Helper()
	return s.DialLiveblocksAt(s.LiveblocksURL("/v8", room, LiveblocksVersion, url.Values{"tok": {token}}), nil)
}

// DialLiveblocksAt connects to an address. The options may be nil.
func (s *Server) DialLiveblocksAt(address string, opts *websocket.DialOptions) *Liveblocks {
	s.T.Helper()
	if opts == nil {
		opts = &websocket.DialOptions{}
	}
	if s.client != nil && opts.HTTPClient == nil {
		opts.HTTPClient = s.client
	}
	ws, _, err := websocket.Dial(context.Background(), address, opts)
	if err != nil {
		s.T.Fatal(err)
	}
	return newLiveblocks(s.T, ws)
}

// JoinLiveblocks is DialLiveblocks, and waits for ROOM_STATE.
func (s *Server) JoinLiveblocks(room, token string) (*Liveblocks, LiveblocksMessage) {
	s.T.Helper()
	c := s.DialLiveblocks(room, token)
	return c, c.Expect(104)
}

// TapLiveblocks is JoinLiveblocks, and keeps every byte that comes.
func (s *Server) TapLiveblocks(room, token string) (*Liveblocks, *Tap) {
	s.T.Helper()
	tap, transport := newTap()
	c := s.DialLiveblocksAt(s.LiveblocksURL("/v8", room, LiveblocksVersion, url.Values{"tok": {token}}),
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	c.Expect(104)
	return c, tap
}

func newLiveblocks(t testing.TB, ws *websocket.Conn) *Liveblocks {
	ws.SetReadLimit(-1)
	c := &Liveblocks{T: t, WS: ws}
	c.arrive.L = &c.mu
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		for {
			_, b, err := ws.Read(context.Background())
			c.mu.Lock()
			if err == nil {
				c.take(b)
			} else {
				c.err = err
			}
			c.arrive.Broadcast()
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = ws.CloseNow()
		<-done
	})
	return c
}

// take takes a frame. c.mu must be held.
func (c *Liveblocks) take(b []byte) {
	c.frames = append(c.frames, string(b))
	if string(b) == "pong" {
		c.pongs++
		return
	}
	list := []json.RawMessage{b}
	bare := len(b) == 0 || b[0] != '['
	if !bare && json.Unmarshal(b, &list) != nil {
		c.T.Errorf("the server sent broken JSON: %s", b)
		return
	}
	for _, text := range list {
		m := LiveblocksMessage{Text: string(text), Bare: bare}
		if err := json.Unmarshal(text, &m.Fields); err != nil {
			c.T.Errorf("the server sent %s: %v", text, err)
		}
		c.messages = append(c.messages, m)
	}
}

// Send sends messages as one frame.
func (c *Liveblocks) Send(messages ...string) {
	c.T.Helper()
	c.SendText("[" + strings.Join(messages, ",") + "]")
}

// SendText sends a text frame.
func (c *Liveblocks) SendText(text string) {
	c.T.Helper()
	if err := c.WS.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		c.T.Fatalf("sending: %v", err)
	}
}

// Present sends a whole presence.
func (c *Liveblocks) Present(data string) {
	c.T.Helper()
	c.Send(`{"type":100,"targetActor":-1,"data":` + data + `}`)
}

// Broadcast sends an event.
func (c *Liveblocks) Broadcast(event string) {
	c.T.Helper()
	c.Send(`{"type":103,"event":` + event + `}`)
}

// Expect returns the next message with that code after the one expected before,
// passing over others.
func (c *Liveblocks) Expect(code int) LiveblocksMessage {
	c.T.Helper()
	return c.ExpectWhere(fmt.Sprint("message ", code), func(m LiveblocksMessage) bool { return m.Type() == code })
}

// ExpectWhere is Expect for the next message that match picks.
func (c *Liveblocks) ExpectWhere(what string, match func(LiveblocksMessage) bool) LiveblocksMessage {
	c.T.Helper()
	defer c.watch().Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.next; ; i++ {
		for i >= len(c.messages) {
			c.waitLocked(what)
		}
		if match(c.messages[i]) {
			c.next = i + 1
			return c.messages[i]
		}
	}
}

func (c *Liveblocks) waitLocked(what string) {
	c.T.Helper()
	if c.err != nil {
		c.T.Fatalf("waiting for %s: %v; the last of %d frames:\n%.3000s", what, c.err, len(c.frames), strings.Join(c.frames[max(0, len(c.frames)-20):], "\n"))
	}
	c.arrive.Wait()
}

// Sync waits until the server has handled everything sent so far, and everything
// that it had for this client before has arrived.
func (c *Liveblocks) Sync() {
	c.T.Helper()
	c.SendText("ping")
	c.pings++
	defer c.watch().Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pongs < c.pings {
		c.waitLocked("pong")
	}
}

// Seen returns all messages that have arrived.
func (c *Liveblocks) Seen() []LiveblocksMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]LiveblocksMessage(nil), c.messages...)
}

// Frames returns all text frames that have arrived.
func (c *Liveblocks) Frames() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.frames...)
}

// Count is how many messages with that code have arrived.
func (c *Liveblocks) Count(code int) (n int) {
	for _, m := range c.Seen() {
		if m.Type() == code {
			n++
		}
	}
	return n
}

// Closed waits for the end of the connection and returns the code and the reason
// that the server gave; 1006 stands for an end without a close frame.
func (c *Liveblocks) Closed() (code int, reason string) {
	defer c.watch().Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil {
		c.arrive.Wait()
	}
	var closed websocket.CloseError
	if !errors.As(c.err, &closed) {
		return 1006, c.err.Error()
	}
	return int(closed.Code), closed.Reason
}

// ExpectClose waits for the end of the connection and checks its code. It returns
// the reason.
func (c *Liveblocks) ExpectClose(code int) string {
	c.T.Helper()
	got, reason := c.Closed()
	if got != code {
		c.T.Fatalf("got close code %d (%s), want %d", got, reason, code)
	}
	return reason
}

// Err returns what ended the connection, or nil while it lives.
func (c *Liveblocks) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Liveblocks) watch() *time.Timer {
	return time.AfterFunc(30*time.Second, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err == nil {
			c.err = errors.New("nothing for 30 s")
		}
		c.arrive.Broadcast()
	})
}
