// Package sessiontest runs a server of sessions for tests, and clients that
// speak the native protocol and Liveblocks' to it.
package sessiontest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/daily"
	authlb "usher/auth/liveblocks"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/liveblocks"
	"usher/session/wire"
)

// Key and Secret are the server's LiveKit key, of project "test".
const Key, Secret = "testkey", "a-secret-for-tests-of-32-bytes-and-more"

// A Server is a running server.
type Server struct {
	T        testing.TB
	Rooms    *room.Rooms
	Sessions *session.Server
	Verifier *auth.Verifier
	Door     *authlb.Door // of [LiveblocksSecret] and [LiveblocksPublic]
	Domains  *daily.Domains
	URL      string // ws://…
	HTTP     *httptest.Server

	client *http.Client // dials the listener; nil: as usual
}

// Options change how a server is made. Each may be nil.
type Options struct {
	Room    func(*room.Config)
	Session func(*session.Config)
	// Handler wraps the server's handler.
	Handler func(*Server, http.Handler) http.Handler
	// Listener replaces the loopback one. A [Memory] is also what is dialled.
	Listener net.Listener
	// Log takes what net/http has to say.
	Log *log.Logger
	// TokenBytes is the largest token. Default auth.DefaultMaxTokenBytes.
	TokenBytes int
	// Domain changes the project's Daily domain.
	Domain func(*daily.Domain)
	// QuietReaders keeps Liveblocks users who may only read from broadcasting.
	QuietReaders bool
}

// Serve starts a server that ends with the test.
func Serve(t testing.TB, o Options) *Server {
	t.Helper()
	door := LiveblocksEntry(authlb.Config{ReadersBroadcast: !o.QuietReaders})
	domain := Domain()
	if o.Domain != nil {
		o.Domain(&domain)
	}
	domains := daily.NewDomains([]daily.Domain{domain})
	keys, err := auth.NewKeys(append(keysOf(door.Key), domains.Keys()...), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{T: t, Verifier: auth.NewVerifier(keys, o.TokenBytes), Door: authlb.NewDoor([]authlb.DoorEntry{door}), Domains: domains}
	rc := room.Config{AutoCreate: true, AccessLists: door.Format, Refresh: session.Refresher(s.Verifier, 10*time.Minute)}
	if o.Room != nil {
		o.Room(&rc)
	}
	if s.Rooms, err = room.New(rc); err != nil {
		t.Fatal(err)
	}
	sc := session.Config{Rooms: s.Rooms, Verifier: s.Verifier, PublicKey: liveblocks.PublicKey(s.Door), Log: slog.New(slog.NewTextHandler(defects{t}, &slog.HandlerOptions{Level: slog.LevelError}))}
	sc.Dialects = []session.Dialect{liveblocks.New(liveblocks.Config{Rooms: s.Rooms, Verifier: s.Verifier, Door: s.Door})}
	serveDaily(&sc, domains)
	if o.Session != nil {
		o.Session(&sc)
	}
	s.Sessions = session.New(sc)
	var h http.Handler = s.Sessions
	if o.Handler != nil {
		h = o.Handler(s, h)
	}
	s.HTTP = httptest.NewUnstartedServer(h)
	s.HTTP.Config.ErrorLog = o.Log
	if o.Listener != nil {
		_ = s.HTTP.Listener.Close()
		s.HTTP.Listener = o.Listener
	}
	if m, ok := o.Listener.(*Memory); ok {
		s.client = m.client()
	}
	s.HTTP.Listener = s.Sessions.Front(s.HTTP.Listener, h, "/session", "/v7", "/v8")
	s.HTTP.Start()
	s.URL = "ws" + strings.TrimPrefix(s.HTTP.URL, "http") + "/session"
	t.Cleanup(func() {
		s.Sessions.Close()
		s.Rooms.Close()
		s.HTTP.Close()
	})
	return s
}

// keysOf is the keys that are not Daily's.
func keysOf(liveblocks auth.Key) []auth.Key {
	return []auth.Key{{ID: Key, Secret: auth.Secret(Secret), Project: "test", Format: livekit.Format{}}, liveblocks}
}

// defects fails the test for each error that the server logs: sessions survive
// their own defects, which would go unnoticed.
type defects struct{ t testing.TB }

func (d defects) Write(b []byte) (int, error) {
	d.t.Errorf("the server logged %s", b)
	return len(b), nil
}

// For returns the server for the use of another test, a subtest as a rule: what
// it dials ends with that one.
func (s *Server) For(t testing.TB) *Server {
	other := *s
	other.T = t
	return &other
}

// Token returns a token for the room that lives an hour.
func (s *Server) Token(roomName, identity string, change ...func(*livekit.Claims)) string {
	s.T.Helper()
	c := livekit.Claims{Identity: identity, Video: &livekit.VideoGrant{RoomJoin: true, Room: roomName}}
	for _, f := range change {
		f(&c)
	}
	token, err := livekit.Mint(Key, auth.Secret(Secret), c, time.Hour, time.Now())
	if err != nil {
		s.T.Fatal(err)
	}
	return token
}

// An Event is a server's message: its fields, and its text.
type Event struct {
	Fields map[string]any
	Text   string
	Binary []byte
}

// Type is the message's type.
func (e Event) Type() string { s, _ := e.Fields["type"].(string); return s }

// Str returns a field by its path, "participant.identity", as text.
func (e Event) Str(path string) string {
	v := e.Get(path)
	if v == nil {
		return ""
	}
	if f, ok := v.(float64); ok && f == float64(int64(f)) {
		return fmt.Sprint(int64(f))
	}
	return fmt.Sprint(v)
}

// Get returns a field by its path.
func (e Event) Get(path string) any {
	var v any = e.Fields
	for _, k := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// A Client is one connection. What arrives is read at once and kept.
type Client struct {
	T  testing.TB
	WS *websocket.Conn

	mu     sync.Mutex
	arrive sync.Cond
	events []Event
	next   int
	err    error
	id     uint64
	count  uint64 // reliable frames
}

// Dial connects without joining.
func (s *Server) Dial(opts *websocket.DialOptions) *Client {
	s.T.Helper()
	if opts == nil {
		opts = &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}}
	}
	if s.client != nil && opts.HTTPClient == nil {
		with := *opts
		with.HTTPClient = s.client
		opts = &with
	}
	ws, _, err := websocket.Dial(context.Background(), s.URL, opts)
	if err != nil {
		s.T.Fatal(err)
	}
	return NewClient(s.T, ws)
}

// NewClient reads from ws until it ends.
func NewClient(t testing.TB, ws *websocket.Conn) *Client {
	ws.SetReadLimit(-1)
	c := &Client{T: t, WS: ws}
	c.arrive.L = &c.mu
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		for {
			typ, b, err := ws.Read(context.Background())
			c.mu.Lock()
			if err != nil {
				c.err = err
				c.arrive.Broadcast()
				c.mu.Unlock()
				return
			}
			e := Event{}
			if typ == websocket.MessageBinary {
				e.Binary = b
			} else {
				e.Text = string(b)
				if err := json.Unmarshal(b, &e.Fields); err != nil {
					t.Errorf("server sent broken JSON: %v", err)
				}
				if Reliable(e) {
					c.count++
				}
			}
			c.events = append(c.events, e)
			c.arrive.Broadcast()
			c.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = ws.CloseNow()
		<-done
	})
	return c
}

// Reliable reports whether a frame counts for a resume.
func Reliable(e Event) bool {
	switch e.Type() {
	case "joined", "pong", "presence", "sessionData", "waiting", "reconnect":
		return false
	case "data":
		return e.Get("reliable") == true
	}
	return e.Binary == nil
}

// Join connects and joins, and returns the client and its "joined".
func (s *Server) Join(token string) (*Client, Event) {
	s.T.Helper()
	c := s.Dial(nil)
	c.Send(wire.Message{Type: "join", Token: token})
	return c, c.Expect("joined")
}

// Send sends a message.
func (c *Client) Send(m any) {
	c.T.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		c.T.Fatal(err)
	}
	c.SendText(string(b))
}

// SendText sends a text frame.
func (c *Client) SendText(text string) {
	c.T.Helper()
	if err := c.WS.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		c.T.Fatalf("sending: %v", err)
	}
}

// Ask sends a request with the next id and returns its reply, passing over
// other messages, which stay to be expected.
func (c *Client) Ask(m wire.Message) Event {
	c.T.Helper()
	c.id++
	m.ID = c.id
	c.mu.Lock()
	from := len(c.events)
	c.mu.Unlock()
	c.Send(m)
	return c.reply(from, m.ID)
}

// Reply waits for the reply to the request with that id.
func (c *Client) Reply(id uint64) Event {
	c.T.Helper()
	return c.reply(0, id)
}

func (c *Client) reply(from int, id uint64) Event {
	c.T.Helper()
	return c.wait(from, func(e Event) bool {
		return (e.Type() == "ok" || e.Type() == "error" || e.Type() == "pong") && e.Str("id") == fmt.Sprint(id)
	}, fmt.Sprintf("the reply to %d", id), false)
}

// OK asks and fails the test when the reply is an error.
func (c *Client) OK(m wire.Message) Event {
	c.T.Helper()
	e := c.Ask(m)
	if e.Type() == "error" {
		c.T.Fatalf("%s: got %s, want ok", m.Type, e.Text)
	}
	return e
}

// Expect returns the next message of the type after the one expected before,
// passing over others.
func (c *Client) Expect(typ string) Event {
	c.T.Helper()
	return c.wait(c.next, func(e Event) bool { return e.Type() == typ }, typ, true)
}

// ExpectWhere is Expect for the next message that match picks.
func (c *Client) ExpectWhere(what string, match func(Event) bool) Event {
	c.T.Helper()
	return c.wait(c.next, match, what, true)
}

// Refused sends the first message of a connection and returns the close code
// that it was answered with, or 0 when it was answered with "joined".
func (c *Client) Refused(m any) wire.CloseCode {
	c.T.Helper()
	c.Send(m)
	watchdog := c.watch()
	c.mu.Lock()
	for c.err == nil && len(c.events) == 0 {
		c.arrive.Wait()
	}
	joined := len(c.events) > 0
	c.mu.Unlock()
	watchdog.Stop()
	if joined {
		return 0
	}
	code, _ := c.Closed()
	return code
}

// watch ends the client's waiting when nothing has come for too long.
func (c *Client) watch() *time.Timer {
	return time.AfterFunc(30*time.Second, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err == nil {
			c.err = errors.New("nothing for 30 s")
		}
		c.arrive.Broadcast()
	})
}

func (c *Client) wait(from int, match func(Event) bool, what string, move bool) Event {
	c.T.Helper()
	defer c.watch().Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := from; ; i++ {
		for i >= len(c.events) {
			if c.err != nil {
				var seen []string
				for _, e := range c.events[max(0, len(c.events)-20):] {
					seen = append(seen, fmt.Sprintf("%.300s", e.Text))
				}
				c.T.Fatalf("waiting for %s: %v; the last of %d messages:\n%s", what, c.err, len(c.events), strings.Join(seen, "\n"))
			}
			c.arrive.Wait()
		}
		if match(c.events[i]) {
			if move {
				c.next = i + 1
			}
			return c.events[i]
		}
	}
}

// ExpectClose waits for the end of the connection and checks its code.
func (c *Client) ExpectClose(code wire.CloseCode) {
	c.T.Helper()
	if got, reason := c.Closed(); got != code {
		c.T.Fatalf("got close code %d (%s), want %d %s", got, reason, code, code.Reason())
	}
}

// Closed waits for the end of the connection and returns the code and the
// reason that the server gave; 1006 stands for an end without a close frame.
func (c *Client) Closed() (code wire.CloseCode, reason string) {
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
	return wire.CloseCode(closed.Code), closed.Reason
}

// Since returns the messages that arrived after the first n, and how many
// there are now.
func (c *Client) Since(n int) ([]Event, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.events[n:]...), len(c.events)
}

// Seen returns all messages that have arrived.
func (c *Client) Seen() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.events...)
}

// Received is the client's count of reliable frames.
func (c *Client) Received() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// Sync waits until the server has handled everything sent so far, and
// everything that it had for this client before has arrived.
func (c *Client) Sync() {
	c.T.Helper()
	c.Ask(wire.Message{Type: "ping"})
}

// Err returns what ended the connection, or nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
