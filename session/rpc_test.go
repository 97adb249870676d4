package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// perform calls a method of bob's in the lobby.
func perform(t *testing.T, s *sessiontest.Server) (reply chan string, failed chan *room.RPCError) {
	t.Helper()
	r, _ := s.Rooms.Lookup("test", "lobby")
	reply, failed = make(chan string, 1), make(chan *room.RPCError, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	go func() {
		payload, err := r.Perform(ctx, room.Target{Identity: "bob"}, "greet", "hello \u00fc \"x\"")
		var e *room.RPCError
		if errors.As(err, &e) {
			failed <- e
			return
		}
		reply <- payload
	}()
	return reply, failed
}

// What a client may reply to a call, and how it is answered itself.
func TestRPCReply(t *testing.T) {
	large := `"` + strings.Repeat("x", room.RPCPayloadBytes+1) + `"`
	for name, c := range map[string]struct {
		text    string // of the reply, ID and RPC for the numbers
		code    string // of what it is answered with, empty for ok
		reply   string
		failed  uint32
		message string
		open    bool // the call waits still
	}{
		"a payload":            {text: `{"type":"rpcReply","id":ID,"rpc":"RPC","payload":"fine \u00fc"}`, reply: "fine ü"},
		"an empty payload":     {text: `{"type":"rpcReply","id":ID,"rpc":"RPC","payload":""}`},
		"no payload":           {text: `{"type":"rpcReply","id":ID,"rpc":"RPC"}`},
		"an error":             {text: `{"type":"rpcReply","id":ID,"rpc":"RPC","error":{"code":101,"message":"no","data":"d"}}`, failed: 101, message: "no"},
		"an error, no code":    {text: `{"type":"rpcReply","id":ID,"rpc":"RPC","error":{}}`, failed: room.RPCApplication},
		"too large":            {text: `{"type":"rpcReply","id":ID,"rpc":"RPC","payload":` + large + `}`, code: "limit_exceeded", failed: room.RPCReplyTooLarge, message: "Response payload too large"},
		"no call":              {text: `{"type":"rpcReply","id":ID,"payload":"x"}`, code: "invalid_request", open: true},
		"another call":         {text: `{"type":"rpcReply","id":ID,"rpc":"RPC_","payload":"x"}`, code: "not_found", open: true},
		"a payload of objects": {text: `{"type":"rpcReply","id":ID,"rpc":"RPC","payload":{}}`, code: "invalid_request", open: true},
		"a wrong error":        {text: `{"type":"rpcReply","id":ID,"rpc":"RPC","error":"x"}`, code: "invalid_request", open: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sessiontest.Serve(t, sessiontest.Options{})
			bob, _ := s.Join(s.Token("lobby", "bob"))
			ada, _ := s.Join(s.Token("lobby", "ada"))
			reply, failed := perform(t, s)
			e := bob.Expect("rpc")
			if e.Str("method") != "greet" || e.Str("payload") != "hello ü \"x\"" || e.Get("deadline").(float64) < float64(time.Now().UnixMilli()) {
				t.Errorf("bob was called %s", e.Text)
			}
			bob.SendText(strings.NewReplacer(`ID`, "7", `"RPC"`, `"`+e.Str("rpc")+`"`).Replace(c.text))
			if r := bob.Reply(7); r.Str("code") != c.code {
				t.Errorf("it is answered with %s, want %q", r.Text, c.code)
			}
			if c.open {
				select {
				case got := <-reply:
					t.Errorf("the caller got %q", got)
				case err := <-failed:
					t.Errorf("the caller got %v", err)
				default:
				}
				bob.Send(wire.Message{Type: "rpcReply", RPC: e.Str("rpc"), Payload: json.RawMessage(`"at last"`)})
				c.reply = "at last"
			}
			select {
			case got := <-reply:
				if c.failed != 0 || got != c.reply {
					t.Errorf("the caller got %q, want %q, %d", got, c.reply, c.failed)
				}
			case err := <-failed:
				if err.Code != c.failed || err.Message != c.message {
					t.Errorf("the caller got %v, want %d %s", err, c.failed, c.message)
				}
			}
			ada.Sync()
			for _, e := range ada.Seen() {
				if e.Type() == "rpc" {
					t.Errorf("ada was told %s", e.Text)
				}
			}
		})
	}
}

// A call that came just before the connection was cut comes again.
func TestRPCAcrossACut(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	bob, joined := s.Join(s.Token("lobby", "bob"))
	bob.Expect("refreshToken")
	received := bob.Received()
	reply, _ := perform(t, s)
	first := bob.Expect("rpc")
	_ = bob.WS.CloseNow()
	back := s.Dial(nil)
	back.Send(wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret"), Received: received})
	if e := back.Expect("joined"); e.Get("recovered") != true {
		t.Fatalf("it was told %s", e.Text)
	}
	again := back.Expect("rpc")
	if again.Str("rpc") != first.Str("rpc") {
		t.Errorf("it was called %s, then %s", first.Text, again.Text)
	}
	back.OK(wire.Message{Type: "rpcReply", RPC: again.Str("rpc"), Payload: json.RawMessage(`"here"`)})
	if got := <-reply; got != "here" {
		t.Errorf("the caller got %q", got)
	}
}
