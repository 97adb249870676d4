package yardstick_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"usher/auth"
	"usher/auth/livekit"
	"usher/loadtest/yardstick"
	"usher/session/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what is to come; only a failing one
// waits that long.
const patience = 20 * time.Second

// onEach runs a test against every kind of server.
func onEach(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range []string{yardstick.Floor, yardstick.Naive} {
		t.Run(kind, func(t *testing.T) {
			if kind == yardstick.Floor && runtime.GOOS != "linux" {
				t.Skip("the floor is for Linux")
			}
			test(t, kind)
		})
	}
}

// serve runs a server until the test ends, or stop is called, which returns
// what Serve does.
func serve(t *testing.T, kind string) (addr string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- yardstick.Serve(ctx, kind, "127.0.0.1:0", func(addr string) { ready <- addr }) }() // ends with ctx
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	select {
	case addr = <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return addr, stop
}

func token(t *testing.T, room, identity string) string {
	t.Helper()
	return mint(t, "secret", time.Now(), livekit.Claims{Identity: identity, Name: "Person " + identity, Video: &livekit.VideoGrant{RoomJoin: true, Room: room}})
}

func mint(t *testing.T, secret string, now time.Time, c livekit.Claims) string {
	t.Helper()
	text, err := livekit.Mint("devkey", auth.Secret(secret), c, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// line is a client's TCP connection, whose writes a test shapes.
type line struct {
	net.Conn
	bytewise bool // writes each byte by itself

	mu      sync.Mutex // guards the following fields
	holding bool
	held    []byte
}

func (l *line) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holding {
		l.held = append(l.held, b...)
		return len(b), nil
	}
	if !l.bytewise {
		return l.Conn.Write(b)
	}
	for i := range b {
		if _, err := l.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// hold keeps what is written until release, which writes it at once.
func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding = true
}

func (l *line) release(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding = false
	if _, err := l.Conn.Write(l.held); err != nil {
		t.Fatal(err)
	}
	l.held = nil
}

// client is one WebSocket of a test.
type client struct {
	t    *testing.T
	ws   *websocket.Conn
	line *line
	ctx  context.Context
}

// how a client connects.
type how struct {
	header       http.Header
	subprotocols []string
	bytewise     bool
	receive      int // bytes of the socket's receive buffer; 0: the system's
}

func dial(t *testing.T, addr string, h how) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c := &client{t: t, ctx: ctx}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if h.receive > 0 {
			_ = nc.(*net.TCPConn).SetReadBuffer(h.receive)
		}
		c.line = &line{Conn: nc, bytewise: h.bytewise}
		return c.line, nil
	}}
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+"/session", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: h.header, Subprotocols: h.subprotocols,
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	c.ws = ws
	t.Cleanup(func() {
		_ = ws.CloseNow()
		cancel()
	})
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.ws.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() (websocket.MessageType, []byte) {
	c.t.Helper()
	typ, b, err := c.ws.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return typ, b
}

// told is a message of the server.
type told struct {
	Type, Session, SID, Identity, Reason, Topic, Code, Message string

	ID, Seq      uint64
	Room         struct{ NumParticipants int }
	Self         member
	Participant  member
	Participants []member
	From         *struct{ SID, Identity string }
	Payload      json.RawMessage
	Track        struct {
		SID    string
		Handle uint32
	}
}

type member struct{ SID, Identity string }

// expect reads the next message, which has to be of the type.
func (c *client) expect(typ string) (m told) {
	c.t.Helper()
	kind, b := c.read()
	if kind != websocket.MessageText {
		c.t.Fatalf("got a frame of %d bytes, want %s", len(b), typ)
	}
	if err := json.Unmarshal(b, &m); err != nil || m.Type != typ {
		c.t.Fatalf("got %s (%v), want %s", b, err, typ)
	}
	return m
}

// expectClose reads until the server closes, which has to be with the code.
func (c *client) expectClose(code wire.CloseCode) {
	c.t.Helper()
	for {
		_, _, err := c.ws.Read(c.ctx)
		if err == nil {
			continue
		}
		if got := websocket.CloseStatus(err); got != websocket.StatusCode(code) {
			c.t.Fatalf("got %v, want code %d", err, code)
		}
		return
	}
}

// join connects and joins.
func join(t *testing.T, addr, room, identity string) *client {
	t.Helper()
	c, _ := joined(t, addr, room, identity, how{})
	return c
}

func joined(t *testing.T, addr, room, identity string, h how) (*client, told) {
	t.Helper()
	h.subprotocols = append(h.subprotocols, wire.Subprotocol)
	c := dial(t, addr, h)
	c.send(fmt.Sprintf(`{"type":"join","token":%q}`, token(t, room, identity)))
	return c, c.expect("joined")
}

// raw opens a TCP connection and sends what is given.
func raw(t *testing.T, addr string, b []byte) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	return nc
}

const upgradeRequest = "GET /session HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

// answerOf returns all that the server sends until it closes.
func answerOf(t *testing.T, nc net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(nc)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the server did not close; it sent %q", b)
	}
	return b
}

// closeOf is the beginning of a close frame with the code.
func closeOf(b []byte, code wire.CloseCode) bool {
	_, frames, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	return len(frames) >= 4 && frames[0] == 0x88 && frames[2] == byte(code>>8) && frames[3] == byte(code)
}
