package usher_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
)

// What a token is good for here, in the words of usher token explain.
func TestExplainToken(t *testing.T) {
	s := serve(t)
	explain := func(token string) answer {
		t.Helper()
		body, _ := json.Marshal(map[string]string{"token": token})
		a := s.call("POST", "/tokens/explain", s.fresh(), string(body))
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.Text)
		}
		return a
	}
	good := s.Token("lobby", "bob")
	forged, _ := tokens.Mint(sessiontest.Key, []byte("another-secret-of-more-than-32-bytes"), tokens.Claims{Identity: "bob", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, time.Now())
	foreign, _ := tokens.Mint("APIother", []byte("another-secret-of-more-than-32-bytes"), tokens.Claims{Identity: "bob", Video: &tokens.VideoGrant{RoomJoin: true, Room: "lobby"}}, time.Hour, time.Now())
	for name, test := range map[string]struct {
		token, kind, want string
		accepted          bool
	}{
		"good":           {good, "livekit", `{"label":"here","lines":["this server takes it"]}`, true},
		"forged":         {forged, "livekit", `"DOES NOT HOLD: the secret is another one, or the token was changed"`, false},
		"of another key": {foreign, "livekit", `this server refuses it: it is of another key, \"APIother\"`, false},
		"no room":        {s.Token("", "bob"), "livekit", `"this server refuses it: it names no room"`, false},
		"daily":          {"eyJhbGciOiJIUzI1NiJ9.eyJyIjoieCIsImQiOiIxIiwiaWF0IjoxfQ.eA", "daily", `this server refuses it: `, false},
		"id token":       {s.IDToken("bob", "eng"), "liveblocks-id", `{"label":"here","lines":["this server takes it"]}`, true},
		"access token":   {s.AccessToken("bob", "lobby", "room:read"), "liveblocks-access", `"room:read in \"lobby\""`, true},
		"forged id":      {s.IDToken("bob") + "A", "liveblocks-id", "this server refuses it: ", false},
		"a key":          {"sk_dev_x", "liveblocks-secret-key", "it is no key of this project", false},
		"the secret key": {sessiontest.LiveblocksSecret, "liveblocks-secret-key", "this server takes it", true},
		"the public key": {sessiontest.LiveblocksPublic, "liveblocks-public-key", "this server takes it", true},
		"nonsense":       {"x", "none", "this has 1", false},
	} {
		a := explain(test.token)
		if a.Str("kind") != test.kind || a.Get("accepted") != test.accepted || !strings.Contains(a.Text, test.want) {
			t.Errorf("%s: got %s", name, a.Text)
		}
	}
	s.call("POST", "/revocations", s.project(), `{"identity":"bob"}`).want(t, 201, "")
	for _, token := range []string{good, s.IDToken("bob")} {
		if a := explain(token); a.Get("accepted") != false || !strings.Contains(a.Text, "this server refuses it: it was revoked") {
			t.Errorf("a revoked one: got %s", a.Text)
		}
	}
	s.call("POST", "/tokens/explain", s.project(), `{"tokne":"x"}`).want(t, 400, "invalid_request")
}

// A token of another project is one of an unknown key, whatever it looks like.
func TestExplainTokenOfAnotherProject(t *testing.T) {
	s := serve(t)
	const secret = "another-secret-of-more-than-32-bytes"
	mine, _ := s.Verifier.Keys().Lookup(sessiontest.Key)
	keys, err := auth.NewKeys([]auth.Key{mine, {ID: "APIother", Secret: auth.Secret(secret), Project: "other", Format: tokens.Format{}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Verifier.SetKeys(keys)
	admin := s.project()
	for name, claims := range map[string]string{
		"as it should be":        `"video":{"roomJoin":true,"room":"lobby"}`,
		"claims of an ID token":  `"video":{"roomJoin":true,"room":"lobby"},"k":"id","uid":"x"`,
		"looks like an ID token": `"k":"id","uid":"x"`,
	} {
		token, err := auth.Sign(fmt.Appendf(nil, `{"iss":"APIother","sub":"bob","exp":%d,%s}`, time.Now().Add(time.Hour).Unix(), claims), auth.Secret(secret))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verifier.Verify(token); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := json.Marshal(map[string]string{"token": token, "room": "lobby"})
		if a := s.call("POST", "/tokens/explain", admin, string(body)); a.status != 200 || a.Get("accepted") != false || a.Get("room") != nil {
			t.Errorf("%s: got %d %s", name, a.status, a.Text)
		}
	}
}

// What the holder of a token may do in a room, and which level or pattern decides it,
// before they are there.
func TestExplainTokenInRoom(t *testing.T) {
	s := serve(t)
	add := func(name string, part room.LiveblocksRoom) {
		t.Helper()
		b := s.Rooms.Batch()
		_, err := s.Rooms.CreateLiveblocks(b, "test", name, part)
		b.Flush()
		if err != nil {
			t.Fatal(err)
		}
	}
	add("doc", room.LiveblocksRoom{Access: auth.AccessList{Default: []string{}, Groups: map[string][]string{"eng": {"*:write"}},
		Users: map[string][]string{"bob": {"*:read", "comments:write"}, "eve": {}}}})
	add("theirs", room.LiveblocksRoom{Organization: "acme", Access: auth.AccessList{Default: []string{"*:write"}}})
	s.Join(s.Token("call", "cleo")) // of LiveKit only
	for name, test := range map[string]struct {
		token, room string
		enter       bool
		want        []string
	}{
		"by a group":        {s.IDToken("ada", "eng"), "doc", true, []string{"canWrite: allowed by groupsAccesses.eng", "canPublish: denied by groupsAccesses.eng"}},
		"by the user":       {s.IDToken("bob", "eng"), "doc", true, []string{"canWrite: denied by usersAccesses.bob", "comments:public:write: allowed by usersAccesses.bob", "broadcastEvent: allowed by usersAccesses.bob", `"decidedBy":"usersAccesses.bob"`}},
		"by nothing":        {s.IDToken("eve"), "doc", false, []string{"may not enter: neither read nor write is in defaultAccesses, usersAccesses.eve"}},
		"by a pattern":      {s.AccessToken("ada", "d*", "*:read"), "doc", true, []string{"canWrite: denied by permissions.d*"}},
		"by no pattern":     {s.AccessToken("ada", "x*", "*:read"), "doc", false, []string{"may not enter: no permission of the token is for this room"}},
		"of another tenant": {s.IDToken("ada"), "theirs", false, []string{`may not enter: the room is of organization \"acme\", the token of \"default\"`}},
		"missing":           {s.IDToken("ada"), "none", false, []string{"may not enter: there is no such room, and this token does not make one"}},
		"missing, made":     {s.AccessToken("ada", "*", "*:write"), "none", true, []string{"canWrite: allowed by permissions.*"}},
		"without a list":    {s.IDToken("ada"), "call", false, []string{"may not enter: the room has no access list"}},
		"livekit":           {s.Token("call", "ada"), "call", true, []string{"canPublish: allowed by token", "canWrite: no, as nothing allows it"}},
		"livekit elsewhere": {s.Token("call", "ada"), "doc", false, []string{`may not enter: the token is for room \"call\"`}},
	} {
		body, _ := json.Marshal(map[string]string{"token": test.token, "room": test.room})
		a := s.call("POST", "/tokens/explain", sessiontest.LiveblocksSecret, string(body))
		if a.status != 200 || a.Get("room.enter") != test.enter || a.Str("room.name") != test.room {
			t.Errorf("%s: got %d %s", name, a.status, a.Text)
		}
		for _, want := range test.want {
			if !strings.Contains(a.Text, want) {
				t.Errorf("%s: got %s, without %s", name, a.Text, want)
			}
		}
	}
	s.call("POST", "/revocations", sessiontest.LiveblocksSecret, `{"room":"doc","identity":"bob"}`).want(t, 201, "")
	body, _ := json.Marshal(map[string]string{"token": s.IDToken("bob"), "room": "doc"})
	if a := s.call("POST", "/tokens/explain", sessiontest.LiveblocksSecret, string(body)); a.Get("room.enter") != false || !strings.Contains(a.Text, "may not enter: the token was revoked for this room") {
		t.Errorf("revoked: got %s", a.Text)
	}
}
