package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"usher/auth/livekit"
	"usher/session/wire"
)

// payload returns the claims of a token, which may have text behind it.
func payload(t *testing.T, token string) string {
	t.Helper()
	parts := strings.SplitN(token, ".", 3)
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(claims)
}

func TestJoinInWords(t *testing.T) {
	s := serve(t)
	ada := join(t, s.addr, mint(t, "ada", admin))
	ada.says("* you are ada in room lobby")
	ada.says("you may publish tracks, send data, receive tracks, moderate participants, streaming, transcription; not change your own name")
	ada.says("nobody else is here")
	bob := join(t, s.addr, mint(t, "bob", func(c *livekit.Claims) {
		c.Name = "Bob \x1b[31m"
		c.Video.CanUpdateOwnMetadata = yes()
	}))
	bob.says("here: ada")
	ada.says("* bob (Bob \ufffd[31m) joined") // what others chose cannot colour the terminal

	bob.types("hello, ada")
	ada.says("bob: hello, ada")
	bob.types("/presence [1]")
	bob.says(`! /presence JSON: write it like /presence {"cursor":[1,2]}`)
	bob.types(`/presence {"cursor":[1,2]}`)
	ada.says("* presence of bob", `{"cursor":[1,2]}`)
	bob.types("/name Robert")
	ada.says(`* bob's name is now "Robert"`)
	bob.says(`* your name is now "Robert"`)
	bob.types("/meta in a meeting")
	ada.says("* bob (Robert)'s metadata: in a meeting")
	bob.types("/attr mood=good")
	ada.says("* bob (Robert)'s attributes: mood=good")
	bob.types("/attr mood")
	bob.says("! /attr KEY=VALUE: write it like /attr colour=red")
	ada.types("/meta x")
	ada.says("! refused: changing your metadata: not allowed, canUpdateOwnMetadata is missing; the token does not grant it")
	ada.types("/attr a=b")
	ada.says("! refused: changing your attribute a: still not allowed")

	ada.types("/demote bob")
	bob.says("* your permissions changed: may not publish tracks any more, may not send data any more")
	ada.says("* bob (Robert)'s permissions changed: may not publish tracks any more")
	bob.types("and now?")
	bob.says("! refused: your message: not allowed, canPublishData is missing; it was taken away during the session")
	demoted := "  done: bob (Robert) may receive tracks, change its own name and metadata; not publish tracks, send data"
	ada.says(demoted)
	ada.types("/demote bob") // changes nothing
	ada.says(demoted)
	ada.types("/promote bob")
	bob.says("* your permissions changed: may now publish tracks, may now send data")
	ada.says("  done: bob (Robert) may publish tracks, send data, receive tracks")
	bob.types("thanks")
	ada.says("bob: thanks")
	bob.types("/demote ada")
	bob.says("! refused: demoting ada: not allowed")

	ada.types("/who")
	ada.says("  ada (you) may publish tracks")
	ada.says("  bob (Robert) may publish tracks")
	ada.types("/help")
	ada.says("  /who")
	ada.types("/dance")
	ada.says("! there is no command /dance; /help lists them")
	ada.types("/demote nobody")
	ada.says("! /demote IDENTITY: nobody called nobody is shown here")
	ada.types("/remove bob")
	ada.says("* bob (Robert) was removed")
	bob.says("* closed: an administrator removed you (4508 removed")
	ada.says("  done: removing bob")
	if code := bob.wait(); code != 1 {
		t.Errorf("put out: got exit code %d, want 1", code)
	}

	ada.types("/leave")
	ada.says("* you left")
	if code := ada.wait(); code != 0 {
		t.Errorf("left: got exit code %d, want 0", code)
	}
}

func TestJoinRefusedInWords(t *testing.T) {
	s := serve(t)
	tests := map[string]struct{ token, want, hint string }{
		"no token":     {"", "* closed: the token is not valid here (4500 invalid_token", "  usher token create makes a token"},
		"not a token":  {"x.y.z", "* closed: the token is not valid here (4500 invalid_token", "  usher token create makes a token"},
		"may not join": {mint(t, "ada", func(c *livekit.Claims) { c.Video.RoomJoin = false }), "* closed: the token does not allow joining (4504 not_allowed", "usher token explain"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := join(t, s.addr, test.token)
			c.says(test.want)
			c.says(test.hint)
			if code := c.wait(); code != 1 {
				t.Errorf("got exit code %d, want 1", code)
			}
		})
	}
}

func TestJoinJSON(t *testing.T) {
	s := serve(t)
	ada := join(t, s.addr, mint(t, "ada", nil), "--json")
	ada.says(`{"type":"joined"`, `"identity":"ada"`)
	ada.says(`{"type":"refreshToken"`)
	bob := join(t, s.addr, mint(t, "bob", nil), "--json")
	bob.says(`{"type":"joined"`)
	ada.says(`{"type":"participantJoined"`, `"identity":"bob"`)

	bob.types(`{"type":"publishData","id":1,"topic":"t","payload":{"a":"<b>"}}`)
	bob.says(`{"type":"ok","id":1}`)
	ada.says(`{"type":"data"`, `"payload":{"a":"<b>"}`)
	bob.types(`this is no JSON`)
	bob.says(`{"type":"error"`, `"code":"invalid_request"`)

	// Binary frames in both directions.
	bob.types(`{"type":"publishTrack","id":2,"kind":"audio","source":"microphone"}`)
	var reply struct {
		Track struct {
			Handle uint32 `json:"handle"`
		} `json:"track"`
	}
	if err := json.Unmarshal([]byte(bob.says(`{"type":"ok","id":2`)), &reply); err != nil {
		t.Fatal(err)
	}
	ada.says(`{"type":"trackSubscribed"`)
	frame := append(wire.FrameHeader{Handle: reply.Track.Handle, Key: true, Last: true, Counter: 7, Timestamp: 9}.Append(nil), "sound"...)
	line := fmt.Sprintf(`{"type":"frame","base64":"%s"}`, base64.StdEncoding.EncodeToString(frame))
	bob.types(line)
	if got := ada.says(`{"type":"frame"`); got != line {
		t.Errorf("got %s, want %s", got, line)
	}
	bob.types(`{"type":"frame","base64":"?"}`)
	bob.logs("usher: a frame was not sent, its payload is not base64")

	// The end of the input is not a leave.
	if err := ada.in.Close(); err != nil {
		t.Fatal(err)
	}
	bob.types(`{"type":"publishData","id":3,"payload":1}`)
	ada.says(`{"type":"data"`, `"payload":1`)

	bob.types(`{"type":"leave"}`)
	if code := bob.wait(); code != 0 {
		t.Errorf("own leave: got exit code %d, want 0", code)
	}
	if got, want := bob.out.last(), `{"type":"closed","code":1000,"reason":"left","reconnect":false}`; got != want {
		t.Errorf("last line: got %s, want %s", got, want)
	}
	ada.says(`{"type":"participantLeft"`, `"reason":"CLIENT_INITIATED"`)
	for line := range strings.Lines(ada.out.text() + bob.out.text()) {
		if line = strings.TrimSpace(line); line != "" && !json.Valid([]byte(line)) {
			t.Errorf("not a line of JSON: %s", line)
		}
	}

	// A signal is a leave.
	carol := join(t, s.addr, mint(t, "carol", nil), "--json")
	carol.says(`{"type":"joined"`)
	ada.says(`{"type":"participantJoined"`)
	ada.stop()
	if code := ada.wait(); code != 0 {
		t.Errorf("signal: got exit code %d, want 0", code)
	}
	if got, want := ada.out.last(), `{"type":"closed","code":1000,"reason":"left","reconnect":false}`; got != want {
		t.Errorf("last line: got %s, want %s", got, want)
	}
	carol.says(`{"type":"participantLeft"`, `"identity":"ada"`, `"reason":"CLIENT_INITIATED"`)
}

func TestJoinTokenFromInput(t *testing.T) {
	s := serve(t)
	ada := start(t, "join", "--url", "http://"+s.addr, "--token", "-", "--json")
	ada.types(mint(t, "ada", nil))
	ada.types(`{"type":"ping","id":1}`)
	ada.says(`{"type":"joined"`, `"identity":"ada"`)
	ada.says(`{"type":"pong","id":1`)

	t.Setenv("USHER_TOKEN", mint(t, "bob", nil))
	start(t, "join", "--url", "ws://"+s.addr+"/session", "--json").says(`{"type":"joined"`, `"identity":"bob"`)
}

// Acknowledgements keep what the server has to remember small: without them a
// resume after this many messages would be no recovery.
func TestJoinComesBack(t *testing.T) {
	s := serve(t)
	between := newCutter(t, s.addr)
	ada := join(t, between.addr, mint(t, "ada", nil), "--json", "--reconnect")
	ada.says(`{"type":"joined"`, `"recovered":false`)
	words := join(t, between.addr, mint(t, "eve", nil))
	words.says("you are eve")
	bob := join(t, s.addr, mint(t, "bob", nil), "--json")
	bob.says(`{"type":"joined"`)

	const rounds, each = 3, 300
	next := 0
	say := func(n int) {
		for range n {
			next++
			bob.types(fmt.Sprintf(`{"type":"publishData","id":%d,"payload":%d}`, next, next))
		}
	}
	heard := 0
	hear := func(until int) {
		t.Helper()
		for heard < until {
			var m struct {
				Payload int `json:"payload"`
			}
			if err := json.Unmarshal([]byte(ada.says(`{"type":"data"`)), &m); err != nil {
				t.Fatal(err)
			}
			if heard++; m.Payload != heard {
				t.Fatalf("got message %d, want %d", m.Payload, heard)
			}
		}
	}
	for round := range rounds {
		say(each)
		hear(next)
		between.block()
		bob.says(`{"type":"participantUpdated"`, `"state":"reconnecting"`)
		bob.says(`{"type":"participantUpdated"`, `"state":"reconnecting"`)
		say(50)
		ada.types(fmt.Sprintf(`{"type":"publishData","id":%d,"payload":"from ada"}`, round+1)) // waits for the way to be free
		words.says("* the connection ended", "coming back in")
		between.unblock()
		ada.says(`{"type":"joined"`, `"recovered":true`)
		hear(next)
		words.says("* back in lobby; nothing was missed")
		bob.says(`{"type":"data"`, `"from ada"`)
	}
	ada.types(`{"type":"leave"}`)
	if code := ada.wait(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	if n := strings.Count(bob.out.text(), `"from ada"`); n != rounds {
		t.Errorf("ada's %d messages arrived %d times", rounds, n)
	}
	if n := strings.Count(ada.out.text(), `"type":"closed"`); n != 1 {
		t.Errorf("got %d closed lines, want the last one only", n)
	}
}

// A server that starts anew knows no sessions: the client joins again, with the
// newest token it was given.
func TestJoinSurvivesARestart(t *testing.T) {
	first := serve(t)
	ada := join(t, first.addr, mint(t, "ada", nil))
	ada.says("* you are ada in room lobby")
	first.stop()
	ada.says("* the server is about to stop")
	ada.says("* the connection ended (the server stops (4000 server_shutdown", "coming back in")
	if code := first.wait(); code != 0 {
		t.Fatalf("got exit code %d, want 0", code)
	}
	second := serve(t, "--addr", first.addr)
	ada.says("* the connection ended (the session is not known any more (4010 session_not_found")
	ada.says("* you are ada in room lobby")
	bob := join(t, second.addr, mint(t, "bob", nil))
	bob.says("here: ada")
	ada.types("still here")
	bob.says("ada: still here")
}

// Without --reconnect a script is told and decides for itself.
func TestJoinJSONStaysAway(t *testing.T) {
	s := serve(t)
	between := newCutter(t, s.addr)
	ada := join(t, between.addr, mint(t, "ada", nil), "--json")
	ada.says(`{"type":"joined"`)
	between.block()
	if code := ada.wait(); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	if got, want := ada.out.last(), `{"type":"closed","code":1006,"reason":"","reconnect":true}`; got != want {
		t.Errorf("last line: got %s, want %s", got, want)
	}
}

// A cutter lies between clients and a server and cuts their connections.
type cutter struct {
	addr string

	mu      sync.Mutex // guards the following fields
	blocked bool
	conns   map[net.Conn]struct{}
	running sync.WaitGroup
}

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: l.Addr().String(), conns: map[net.Conn]struct{}{}}
	c.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed below
			}
			server, err := net.Dial("tcp", target)
			if err != nil || !c.keep(client, server) {
				_ = client.Close()
				if err == nil {
					_ = server.Close()
				}
				continue
			}
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				c.running.Go(func() { // ends when either end is closed
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
					_ = way[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.block()
		c.running.Wait()
	})
	return c
}

func (c *cutter) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocked {
		return false
	}
	for _, conn := range conns {
		c.conns[conn] = struct{}{}
	}
	return true
}

// block cuts all connections and lets no new one through until unblock.
func (c *cutter) block() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = true
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *cutter) unblock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = false
}

// On a terminal lines have colours, and what others wrote still has none.
func TestColours(t *testing.T) {
	out := newLines()
	f := newPlainFace(&streams{In: strings.NewReader(""), Out: out, Err: out})
	f.colour = true
	f.notice("%s", "you")
	f.message(message{Type: "data", text: []byte(`{"from":{"identity":"e\u001b[5mve"},"topic":"chat","payload":"a\u001b]0;x\u0007b"}`)})
	want := "\x1b[33m* you\x1b[0m\n\x1b[36me\ufffd[5mve:\x1b[0m a\ufffd]0;x\ufffdb\n"
	if got := out.text(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
