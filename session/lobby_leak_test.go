package session_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// Promise 7: whoever waits learns nothing of the room, and nobody in it but its
// moderators learns of them: in no byte, count, number or error.
func TestWaitingLeaksNothing(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", knocking)
	// Whatever is the room's begins with this, and what is of those who wait with the other.
	const inside, outside = "zq9inside", "zq8outside"
	secret := []string{inside, "numParticipants", "RM_"}
	join := func(token string) (*sessiontest.Client, *sessiontest.Tap) {
		t.Helper()
		c, e, tap := s.JoinTapped(token)
		secret = append(secret, e.Str("session"), e.Str("secret"), e.Str("epoch"), e.Str("room.sid"))
		secret = append(secret, c.Expect("refreshToken").Str("token"))
		return c, tap
	}
	may := func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata, c.Metadata = ptr(true), inside }
	host, _ := join(s.DailyToken("lobby", inside+"-host", owner))
	plain, plainTap := join(s.DailyToken("lobby", inside+"-plain"))
	kit, kitTap := join(s.Token("lobby", inside+"-kit", may))
	b := s.Rooms.Batch()
	if _, err := s.Rooms.CreateLiveblocks(b, "test", "lobby", room.LiveblocksRoom{Access: auth.AccessList{Default: []string{"room:write"}}}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	user, userTap := s.TapLiveblocks("lobby", s.IDToken(inside+"-user"))
	spy, _ := join(s.Token("lobby", inside+"-spy", func(c *livekit.Claims) { c.Video.Hidden = true }))

	waiter, tap := s.DialTapped()
	first := waiter.Begin(wire.Message{Room: "lobby", Name: ptr(outside + "-name")})
	sid := first.Str("session")
	identity := host.Expect("waitingParticipantJoined").Str("participant.identity")
	hidden := []string{outside, sid, identity, "aiting"}
	knockingToken, knockingTap := s.DialTapped()
	if e := knockingToken.Begin(wire.Message{Token: s.DailyToken("lobby", outside+"-id", sessiontest.Properties{"knocking": true})}); e.Type() != "waiting" {
		t.Fatalf("got %s", e.Text)
	} else {
		hidden = append(hidden, e.Str("session"))
	}
	host.Expect("waitingParticipantJoined")

	// The room talks, of everything that there is.
	talk := func() {
		t.Helper()
		for _, c := range []*sessiontest.Client{host, plain, kit} {
			c.OK(wire.Message{Type: "publishData", Payload: jsonOf(inside + "-data"), Topic: inside})
			c.OK(wire.Message{Type: "publishData", Payload: jsonOf(inside + "-lossy"), Reliable: ptr(false)})
			c.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{inside: jsonOf(inside)}})
			c.OK(wire.Message{Type: "updateMetadata", Name: ptr(inside + "-name"), Metadata: ptr(inside), Attributes: map[string]string{inside: inside}})
			track := c.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone", Name: ptr(inside + "-track")})
			frame(c, handleOf(track), inside+"-frame")
			c.OK(wire.Message{Type: "muteTrack", TrackSID: track.Str("track.sid"), Muted: ptr(true)})
			c.OK(wire.Message{Type: "unpublishTrack", TrackSID: track.Str("track.sid")})
			c.OK(wire.Message{Type: "listParticipants"})
			secret = append(secret, track.Str("track.sid"))
		}
		host.OK(wire.Message{Type: "updateSessionData", Data: map[string]json.RawMessage{inside: jsonOf(inside)}})
		host.OK(wire.Message{Type: "updateParticipant", Identity: inside + "-kit", Metadata: ptr(inside + "-2")})
		user.Present(`{"` + inside + `":1}`)
		user.Broadcast(`"` + inside + `"`)
		user.Sync()
		spy.OK(wire.Message{Type: "publishData", Payload: jsonOf(inside + "-unseen")})
		passing, _ := join(s.Token("lobby", inside+"-passing"))
		leave(passing)
		for _, c := range []*sessiontest.Client{host, plain, kit} {
			c.Sync()
		}
	}
	talk()
	// Meanwhile those who wait try what they can, of people who are there and of nobody.
	ask := func(c *sessiontest.Client) {
		t.Helper()
		type who struct{ identity, sid, track string }
		there := who{inside + "-plain", "", ""}
		for _, e := range plain.Seen() {
			if e.Type() == "joined" {
				there.sid = e.Str("session")
			}
		}
		there.track = kit.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"}).Str("track.sid")
		secret = append(secret, there.track)
		answers := map[who][]string{}
		for _, w := range []who{there, {"nobody", "PA_nobody", "TR_nothing"}} {
			for _, m := range []wire.Message{
				{Type: "publishData", Payload: jsonOf(outside + "-data")},
				{Type: "publishData", Payload: jsonOf(outside + "-data"), DestinationIdentities: []string{w.identity}},
				{Type: "publishData", Payload: jsonOf(outside + "-data"), DestinationSIDs: []string{w.sid}, Reliable: ptr(false)},
				{Type: "updatePresence", Presence: map[string]json.RawMessage{outside: jsonOf(outside)}},
				{Type: "updateMetadata", Metadata: ptr(outside)},
				{Type: "updateMetadata", Attributes: map[string]string{outside: outside}},
				{Type: "publishTrack", Kind: "audio", Source: "microphone", Name: ptr(outside)},
				{Type: "publishTrack", Kind: "data"},
				{Type: "unpublishTrack", TrackSID: w.track}, {Type: "subscribe", TrackSID: w.track},
				{Type: "unsubscribe", TrackSID: w.track}, {Type: "requestKeyFrame", TrackSID: w.track},
				{Type: "muteTrack", TrackSID: w.track, Muted: ptr(true)},
				{Type: "listParticipants"}, {Type: "listParticipants", After: w.sid},
				{Type: "updateParticipant", Identity: w.identity, Name: ptr("x")}, {Type: "updateParticipant", SID: w.sid, Permission: &wire.Permission{}},
				{Type: "removeParticipant", Identity: w.identity}, {Type: "removeParticipant", SID: w.sid},
				{Type: "ejectParticipant", Identity: w.identity, Ban: true}, {Type: "ejectParticipant", SID: w.sid},
				{Type: "updatePermissions", Data: map[string]json.RawMessage{w.sid: []byte(`{"canSend":false}`)}},
				{Type: "updatePermissions", Data: map[string]json.RawMessage{"*": []byte(`{"canAdmin":true}`)}},
				{Type: "admitParticipant", SID: sid}, {Type: "admitParticipant", All: true},
				{Type: "denyParticipant", SID: w.sid}, {Type: "denyParticipant", All: true},
				{Type: "updateSessionData", Data: map[string]json.RawMessage{outside: jsonOf(outside)}},
				{Type: "rpcReply", RPC: "RPC_x", Payload: jsonOf(outside)},
			} {
				e := c.Ask(m)
				if e.Type() != "error" || e.Str("code") != "not_allowed" {
					t.Errorf("%s of somebody who waits: got %s", m.Type, e.Text)
				}
				if p := e.Str("permission"); p != "" && p != "lobby" {
					t.Errorf("%s of somebody who waits is denied by %s", m.Type, e.Text)
				}
				delete(e.Fields, "id")
				delete(e.Fields, "permission") // explained once
				delete(e.Fields, "layer")
				delete(e.Fields, "message")
				text, _ := json.Marshal(e.Fields)
				answers[w] = append(answers[w], string(text))
			}
			for _, typ := range []string{"join", "resume"} {
				if e := c.Ask(wire.Message{Type: typ, Room: "lobby"}); e.Type() != "error" {
					t.Errorf("%s of somebody who waits: got %s", typ, e.Text)
				}
			}
			frame(c, 1, outside+"-frame")
		}
		if got, want := fmt.Sprint(answers[there]), fmt.Sprint(answers[who{"nobody", "PA_nobody", "TR_nothing"}]); got != want {
			t.Errorf("of people who are there it is told\n%s\nof nobody\n%s", got, want)
		}
		c.OK(wire.Message{Type: "updateMetadata", Name: ptr(outside + "-other")})
		c.Sync()
	}
	ask(waiter)
	ask(knockingToken)
	talk()
	// Those who come meanwhile count without them.
	late, e, lateTap := s.JoinTapped(s.DailyToken("lobby", inside+"-late"))
	secret = append(secret, e.Str("session"), e.Str("secret"))
	if e.Str("room.numParticipants") != "5" || len(e.Get("participants").([]any)) != 4 || e.Get("waiting") != nil {
		t.Errorf("a newcomer is told %s", e.Text)
	}
	if e := plain.Ask(wire.Message{Type: "listParticipants"}); e.Str("numParticipants") != "5" || len(e.Get("participants").([]any)) != 5 {
		t.Errorf("the list is %s", e.Text)
	}
	// To those who may not admit, whoever waits is as absent as nobody, also by name.
	plain.Ask(wire.Message{Type: "admitParticipant", SID: "PA_x"}) // explained once
	for _, m := range []func(identity, sid string) wire.Message{
		func(_, sid string) wire.Message { return wire.Message{Type: "admitParticipant", SID: sid} },
		func(identity, _ string) wire.Message {
			return wire.Message{Type: "publishData", Payload: jsonOf("x"), DestinationIdentities: []string{identity}}
		},
		func(_, sid string) wire.Message {
			return wire.Message{Type: "publishData", Payload: jsonOf("x"), DestinationSIDs: []string{sid}}
		},
	} {
		there, nobody := plain.Ask(m(identity, sid)), plain.Ask(m("nobody", "PA_nobody"))
		delete(there.Fields, "id")
		delete(nobody.Fields, "id")
		if fmt.Sprint(there.Fields) != fmt.Sprint(nobody.Fields) {
			t.Errorf("%s: of who waits it is told %v, of nobody %v", m("", "").Type, there.Fields, nobody.Fields)
		}
	}
	// A message to one who waits does not arrive.
	for _, c := range []*sessiontest.Client{host, kit} {
		c.OK(wire.Message{Type: "publishData", Payload: jsonOf(inside), DestinationIdentities: []string{identity}})
		c.OK(wire.Message{Type: "publishData", Payload: jsonOf(inside), DestinationSIDs: []string{sid}})
	}
	host.OK(wire.Message{Type: "denyParticipant", SID: sid})
	waiter.ExpectClose(wire.NotAdmitted)
	leave(late)
	for _, c := range []*sessiontest.Client{host, plain, kit} {
		c.Sync()
	}
	user.Sync()
	knockingToken.Sync()

	search := func(who string, tap *sessiontest.Tap, words []string) {
		t.Helper()
		bytesOf := tap.Bytes()
		for _, word := range words {
			if i := bytes.Index(bytesOf, []byte(word)); word != "" && i >= 0 {
				t.Errorf("%s received %q: …%s…", who, word, bytesOf[max(0, i-200):min(len(bytesOf), i+100)])
			}
		}
	}
	search("the waiting one", tap, secret)
	search("the one with a token that waits", knockingTap, secret)
	for _, tap := range []*sessiontest.Tap{tap, knockingTap} {
		if !bytes.Contains(tap.Bytes(), []byte(`"waiting"`)) {
			t.Error("the tap of one who waits heard nothing")
		}
	}
	for who, tap := range map[string]*sessiontest.Tap{"a participant": plainTap, "a LiveKit participant": kitTap, "a Liveblocks user": userTap, "a newcomer": lateTap} {
		search(who, tap, hidden)
		if !bytes.Contains(tap.Bytes(), []byte(inside)) {
			t.Errorf("the tap of %s heard nothing", who)
		}
	}
	for _, c := range []*sessiontest.Client{waiter, knockingToken} {
		for _, e := range c.Seen() {
			if typ := e.Type(); typ != "waiting" && typ != "pong" && typ != "ok" && typ != "error" {
				t.Errorf("one who waits was told %s", e.Text)
			}
		}
	}
	for _, c := range []*sessiontest.Client{host, plain, kit} {
		for _, p := range sessiontest.Replay(c.Seen()).Problems {
			t.Error(p)
		}
	}
}
