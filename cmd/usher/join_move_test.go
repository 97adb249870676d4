package main

import (
	"encoding/json"
	"strings"
	"testing"

	"usher/auth/livekit"
)

// A session goes on in another room: what is typed is heard there, a cut is
// resumed there, and a restart of the server leads back there.
func TestJoinIsMoved(t *testing.T) {
	s := serve(t)
	between := newCutter(t, s.addr)
	expect := expecter(t)
	ada := join(t, between.addr, mint(t, "ada", nil))
	ada.says("* you are ada in room lobby")
	eve := join(t, between.addr, mint(t, "eve", nil), "--json", "--reconnect")
	eve.says(`"type":"joined"`)
	stays := join(t, s.addr, mint(t, "bob", nil))
	stays.says("* you are bob")
	cleo := join(t, s.addr, mint(t, "cleo", func(c *livekit.Claims) { c.Video.Room = "hall" }))
	cleo.says("* you are cleo in room hall")

	expect(0, "moved ada from room lobby to room hall")(s.api("move", "--identity", "ada", "--to", "hall"))
	ada.says("* you were moved to room hall")
	ada.says("  you may publish tracks")
	ada.says("  here: cleo")
	stays.says("* ada was moved to another room")
	cleo.says("* ada joined")
	ada.types("hello, hall")
	cleo.says("ada: hello, hall")
	expect(1, `usher: "ada" is not in room "lobby"`)(s.api("move", "--identity", "ada", "--to", "hall"))

	expect(0, "moved eve")(s.api("move", "--identity", "eve", "--to", "hall"))
	moved := eve.says(`{"type":"moved"`, `"name":"hall"`)
	var told struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(moved), &told); err != nil || !strings.Contains(payload(t, told.Token), `"room":"hall"`) {
		t.Errorf("the token that comes with the move is not for the new room: %v %s", err, moved)
	}
	eve.types(`{"type":"publishData","id":1,"payload":"from eve"}`)
	eve.says(`{"type":"ok","id":1}`)
	cleo.says("eve: from eve")

	between.block()
	for range 2 {
		cleo.says("lost the connection")
	}
	ada.types("typed while it was cut")
	cleo.types("meanwhile")
	between.unblock()
	ada.says("* back in hall; nothing was missed")
	ada.says("cleo: meanwhile")
	cleo.says("ada: typed while it was cut")
	eve.says(`{"type":"joined"`, `"recovered":true`, `"name":"hall"`)
	eve.says(`{"type":"data"`, `"meanwhile"`)

	// Moved while cut.
	between.block()
	for range 2 {
		cleo.says("lost the connection")
	}
	expect(0, "moved ada")(s.api("move", "--room", "hall", "--identity", "ada", "--to", "lobby"))
	between.unblock()
	ada.says("* you were moved to room lobby")
	ada.says("  here: bob")
	stays.says("* ada joined")
	stays.types("there you are")
	ada.says("bob: there you are")
	ada.types("here I am")
	stays.says("ada: here I am")
	expect(0)(s.api("move", "--identity", "ada", "--to", "hall"))
	ada.says("* you were moved to room hall")

	s.stop()
	ada.says("* the connection ended")
	s.wait()
	serve(t, "--addr", s.addr)
	ada.says("* you are ada in room hall")
}

func TestJoinIsCalled(t *testing.T) {
	s := serve(t)
	call := func(identity, payload string) chan string {
		answer := make(chan string, 1)
		a := apiFlags{URL: "http://" + s.addr, tokenKey: tokenKey{devKey, devSecret}}
		go func() { // ends with the answer
			got, err := a.call(t.Context(), administers("lobby"), "PerformRpc", map[string]any{
				"room": "lobby", "destination_identity": identity, "method": "roll", "payload": payload, "response_timeout_ms": 20000,
			})
			if err != nil {
				got = []byte(err.Error())
			}
			answer <- string(got)
		}()
		return answer
	}
	ada := join(t, s.addr, mint(t, "ada", nil))
	ada.says("* you are ada")
	ada.types("/reply 4")
	ada.says("! /reply TEXT: no call waits for a reply")
	answer := call("ada", "six \x1b[31msides")
	ada.says("* the application calls roll: six \ufffd[31msides")
	ada.says("  /reply TEXT answers it")
	ada.types("/reply 4 or so")
	ada.says("  done: your reply")
	if got, want := <-answer, `{"payload":"4 or so"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	ada.types("/reply again")
	ada.says("! /reply TEXT: no call waits for a reply")

	bob := join(t, s.addr, mint(t, "bob", nil), "--json")
	bob.says(`"type":"joined"`)
	answer = call("bob", "")
	var m struct {
		RPC string `json:"rpc"`
	}
	if err := json.Unmarshal([]byte(bob.says(`{"type":"rpc"`, `"method":"roll"`)), &m); err != nil {
		t.Fatal(err)
	}
	bob.types(`{"type":"rpcReply","id":1,"rpc":"` + m.RPC + `","error":{"code":1400,"message":"no dice"}}`)
	bob.says(`{"type":"ok","id":1}`)
	if got := <-answer; !strings.Contains(got, "RpcError 1400: no dice") {
		t.Errorf("got %s", got)
	}
}

func TestRefusalWords(t *testing.T) {
	for code, want := range map[string]string{
		"moved":       "you were moved to another room at that moment",
		"unavailable": "the server cannot store it",
	} {
		if got := refusalWords(code, "", "", "in the server's words"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
	for reason, want := range map[string]string{"MIGRATION": "was moved to another room", "UNKNOWN_REASON": "is not seen any more", "NEW": "left"} {
		if got := leaveWords(reason); got != want {
			t.Errorf("%s: got %q, want %q", reason, got, want)
		}
	}
}
