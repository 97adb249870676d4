package sdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// The SDK's methods in all the forms that they have, and their results as a
// program in JavaScript reads them.
func TestShapesOfTheSDK(t *testing.T) {
	n := startNode(t)
	for _, shape := range []struct {
		name string
		run  func(*testing.T, *site, string)
	}{
		{"updateParticipant by position", func(t *testing.T, s *site, c string) {
			bob := s.enter("lobby", "bob", func(c *tokens.Claims) { c.Attributes = map[string]string{"keep": "1"} })
			got := n.must(t, c, "updateParticipant", "lobby", "bob", "metadata", map[string]any{"canSubscribe": true}, "Bob")
			if at(got, "metadata") != "metadata" || at(got, "name") != "Bob" || at(got, "permission.canSubscribe") != true ||
				at(got, "permission.canPublish") != false || at(got, "attributes.keep") != "1" {
				t.Errorf("got %v", got)
			}
			bob.denied(wire.Message{Type: "publishData", Payload: []byte("1")})

			got = n.must(t, c, "updateParticipant", "lobby", "bob", undefined(), map[string]any{"canPublish": true, "canPublishData": true,
				"canPublishSources": []lk.TrackSource{lk.TrackSource_MICROPHONE}})
			if at(got, "metadata") != "metadata" || at(got, "name") != "Bob" || at(got, "permission.canSubscribe") != false ||
				at(got, "permission.canPublish") != true || at(got, "permission.canPublishSources.0") != 2.0 || at(got, "attributes.keep") != "1" {
				t.Errorf("permission only: got %v", got)
			}
			bob.OK(wire.Message{Type: "publishData", Payload: []byte("1")})

			got = n.must(t, c, "updateParticipant", "lobby", "bob", "again")
			if at(got, "metadata") != "again" || at(got, "name") != "Bob" || at(got, "permission.canPublish") != true {
				t.Errorf("metadata only: got %v", got)
			}
			got = n.must(t, c, "updateParticipant", "lobby", "bob", undefined(), undefined(), "Robert")
			if at(got, "metadata") != "again" || at(got, "name") != "Robert" || at(got, "permission.canPublish") != true {
				t.Errorf("name only: got %v", got)
			}
		}},
		{"updateParticipant by options", func(t *testing.T, s *site, c string) {
			s.enter("lobby", "bob", func(c *tokens.Claims) { c.Name, c.Metadata = "Bob", "m" })
			got := n.must(t, c, "updateParticipant", "lobby", "bob", map[string]any{"permission": map[string]any{"canUpdateMetadata": true}})
			if at(got, "metadata") != "m" || at(got, "name") != "Bob" || at(got, "permission.canUpdateMetadata") != true || at(got, "permission.canSubscribe") != false {
				t.Errorf("permission only: got %v", got)
			}
			got = n.must(t, c, "updateParticipant", "lobby", "bob", map[string]any{"name": "", "metadata": ""})
			if at(got, "metadata") != "m" || at(got, "name") != "Bob" {
				t.Errorf("empty means to leave alone: got %v", got)
			}
			got = n.must(t, c, "updateParticipant", "lobby", "bob", map[string]any{})
			if at(got, "permission.canUpdateMetadata") != true {
				t.Errorf("nothing: got %v", got)
			}
		}},
		{"int64 is a bigint", func(t *testing.T, s *site, c string) {
			ada := s.enter("lobby", "ada")
			want := fmt.Sprint(map[string]any{"$bigint": ada.joined.Str("self.joinedAt")})
			for _, got := range []any{at(n.must(t, c, "listParticipants", "lobby"), "0"), n.must(t, c, "getParticipant", "lobby", "ada")} {
				if fmt.Sprint(at(got, "joinedAtMs")) != want || at(got, "joinedAt.$bigint") == nil || at(got, "state") != 2.0 || at(got, "version") == nil {
					t.Errorf("got %v", got)
				}
			}
			rooms := n.must(t, c, "listRooms")
			if created := at(rooms, "0.creationTimeMs.$bigint"); created != ada.joined.Str("room.createdAt") || at(rooms, "0.creationTime.$bigint") == nil {
				t.Errorf("got %v", rooms)
			}
		}},
		{"listRooms without a filter", func(t *testing.T, s *site, c string) {
			s.enter("lobby", "ada")
			for _, args := range [][]any{nil, {undefined()}, {[]string{}}, {[]string{"lobby"}}} {
				if got, _ := n.must(t, c, "listRooms", args...).([]any); len(got) != 1 || at(got, "0.name") != "lobby" {
					t.Errorf("%v: got %v", args, got)
				}
			}
		}},
		{"createRoom with all options", func(t *testing.T, s *site, c string) {
			got := n.must(t, c, "createRoom", map[string]any{
				"name": "made", "emptyTimeout": 1000, "departureTimeout": 100, "maxParticipants": 10, "metadata": "m",
				"minPlayoutDelay": 1, "maxPlayoutDelay": 2, "syncStreams": true, "nodeId": "node",
				"egress": object("RoomEgress", map[string]any{}),
				"agents": []any{object("RoomAgentDispatch", map[string]any{"agentName": "helper"})},
			})
			if at(got, "name") != "made" || at(got, "emptyTimeout") != 1000.0 || at(got, "departureTimeout") != 100.0 ||
				at(got, "maxParticipants") != 10.0 || at(got, "metadata") != "m" || at(got, "creationTime.$bigint") == nil {
				t.Errorf("got %v", got)
			}
		}},
		{"sendData with sids as an array", func(t *testing.T, s *site, c string) {
			ada, bob := s.enter("lobby", "ada"), s.enter("lobby", "bob")
			n.must(t, c, "sendData", "lobby", octets([]byte("to bob")), lk.DataPacket_RELIABLE, []string{bob.sid()})
			n.must(t, c, "sendData", "lobby", octets([]byte("to all")), lk.DataPacket_LOSSY)
			for p, want := range map[*person][]string{ada: {"to all"}, bob: {"to bob", "to all"}} {
				for _, data := range want {
					if got, _, _ := dataOf(t, p.Expect("data")); got != data {
						t.Errorf("got %q, want %q", got, data)
					}
				}
			}
		}},
		{"a track that is none is undefined", func(t *testing.T, s *site, c string) {
			s.enter("lobby", "bob")
			if got := n.must(t, c, "mutePublishedTrack", "lobby", "bob", "TR_nothing", true); at(got, "$undefined") != true {
				t.Errorf("got %v", got)
			}
		}},
		{"what resolves to nothing", func(t *testing.T, s *site, c string) {
			bob := s.enter("lobby", "bob")
			track, _ := bob.microphone()
			for _, call := range [][]any{
				{"updateSubscriptions", "lobby", "bob", []string{track}, false},
				{"sendData", "lobby", octets([]byte("x")), lk.DataPacket_RELIABLE, map[string]any{}},
				{"moveParticipant", "lobby", "bob", "hall"},
				{"removeParticipant", "hall", "bob", map[string]any{"revokeTokenTs": bigint(time.Now().Unix())}},
				{"deleteRoom", "lobby"},
			} {
				if got := n.must(t, c, call[0].(string), call[1:]...); at(got, "$undefined") != true {
					t.Errorf("%v: got %v", call, got)
				}
			}
		}},
		{"errors", func(t *testing.T, s *site, c string) {
			s.enter("lobby", "bob")
			_, err := n.call(c, "updateParticipant", "lobby", "bob", map[string]any{"name": strings.Repeat("n", 257)})
			var e *thrown
			if !errors.As(err, &e) || e.Name != "Bad Request" || e.Status != 400 || e.Code != "invalid_argument" || e.Metadata["argument"] != "name" || e.Message == "" {
				t.Errorf("got %+v", err)
			}
			_, err = n.call(c, "getParticipant", "lobby", "nobody")
			if !errors.As(err, &e) || e.Name != "Not Found" || e.Status != 404 || e.Code != "not_found" || e.Message != "participant does not exist" {
				t.Errorf("got %+v", err)
			}
		}},
		{"a host of WebSockets", func(t *testing.T, s *site, _ string) {
			n.new(t, "ws", "RoomServiceClient", "ws"+strings.TrimPrefix(s.HTTP.URL, "http"), sessiontest.Key, sessiontest.Secret)
			s.enter("lobby", "ada")
			if got := n.must(t, "ws", "listParticipants", "lobby"); at(got, "0.identity") != "ada" {
				t.Errorf("got %v", got)
			}
		}},
	} {
		t.Run(shape.name, func(t *testing.T) {
			s := serve(t)
			shape.run(t, s, s.sdk(n).name)
		})
	}
}

// A token of the SDK, with everything that one can say, lets in and is kept.
func TestAccessToken(t *testing.T) {
	n := startNode(t)
	s := serve(t)
	n.new(t, "token", "AccessToken", sessiontest.Key, sessiontest.Secret, map[string]any{
		"identity": "bob", "name": "Bob", "metadata": "m", "attributes": map[string]string{"a": "1"}, "ttl": 600,
	})
	n.must(t, "token", "addGrant", map[string]any{
		"roomCreate": true, "roomJoin": true, "roomList": true, "roomRecord": true, "roomAdmin": true, "room": "lobby", "ingressAdmin": true,
		"canPublish": true, "canPublishSources": []lk.TrackSource{lk.TrackSource_CAMERA, lk.TrackSource_MICROPHONE, lk.TrackSource_SCREEN_SHARE, lk.TrackSource_SCREEN_SHARE_AUDIO},
		"canSubscribe": true, "canPublishData": false, "canUpdateOwnMetadata": true, "canSubscribeMetrics": true,
		"canManageAgentSession": true, "hidden": false, "recorder": false, "agent": false, "destinationRoom": "hall",
	})
	n.must(t, "token", "addSIPGrant", map[string]any{"admin": true, "call": true})
	n.must(t, "token", "addInferenceGrant", map[string]any{"perform": true})
	n.must(t, "token", "addObservabilityGrant", map[string]any{"write": true})
	if _, err := n.wait(n.send(map[string]any{"on": "token", "set": map[string]any{
		"kind": "standard", "sha256": "c2hhMjU2", "roomPreset": "preset",
		"roomConfig": object("RoomConfiguration", map[string]any{"name": "config", "emptyTimeout": 60, "departureTimeout": 50, "maxParticipants": 7, "metadata": "of the room",
			"agents": []any{object("RoomAgentDispatch", map[string]any{"agentName": "helper"})}}),
	}})); err != nil {
		t.Fatal(err)
	}
	token := n.must(t, "token", "toJwt").(string)

	g := s.grantOf(token)
	permission := auth.Resolve(g.Base...)
	if g.Identity != "bob" || g.Name != "Bob" || g.Metadata != "m" || !maps.Equal(g.Attributes, map[string]string{"a": "1"}) || g.Room != "lobby" ||
		!g.Join || !g.CreateRoom || !g.ListRooms || !g.RoomAdmin || g.Dependent || g.Kind != auth.Standard ||
		!permission.Allows(auth.SendCamera|auth.SendMicrophone|auth.SendScreenShare|auth.SendScreenShareAudio|auth.ReceiveTracks|auth.UpdateOwnMetadata) ||
		permission.Rights.Any(auth.SendData|auth.SendCustomVideo|auth.SendCustomAudio) || permission.Hidden() ||
		g.RoomConfig.Metadata != "of the room" || g.RoomConfig.MaxParticipants != 7 || g.RoomConfig.EmptyTimeout != time.Minute || g.RoomConfig.DepartureTimeout != 50*time.Second {
		t.Errorf("the token grants %+v", g)
	}
	if g.Issued.IsZero() || time.Until(g.Expires) > 10*time.Minute {
		t.Errorf("issued %v, expires %v", g.Issued, g.Expires)
	}
	c, joined := s.Join(token)
	if joined.Str("self.identity") != "bob" || joined.Str("self.name") != "Bob" || joined.Str("self.metadata") != "m" || joined.Str("self.attributes.a") != "1" ||
		joined.Str("room.metadata") != "of the room" || joined.Str("room.maxParticipants") != "7" || fmt.Sprint(joined.Get("self.permissions.admin")) != "[participants streaming transcription]" {
		t.Errorf("joined %s", joined.Text)
	}
	bob := &person{Client: c, joined: joined}
	bob.denied(wire.Message{Type: "publishData", Payload: []byte("1")})
	bob.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	bob.denied(wire.Message{Type: "publishTrack", Kind: "video", Source: "custom_video"})

	// It opens the server API, too.
	n.new(t, "bob", "RoomServiceClient", s.HTTP.URL, undefined(), undefined(), map[string]any{"token": token})
	if got := n.must(t, "bob", "listParticipants", "lobby"); at(got, "0.identity") != "bob" {
		t.Errorf("got %v", got)
	}

	// The SDK's tokens have no iat. A removed participant stays out with them.
	n.must(t, s.sdk(n).name, "removeParticipant", "lobby", "bob")
	bob.ExpectClose(wire.Removed)
	s.turnedAway("the token that was removed", token, wire.TokenRevoked)
}

// What the server signs, a backend verifies with the SDK.
func TestTokenVerifier(t *testing.T) {
	n := startNode(t)
	s := serve(t)
	n.new(t, "verifier", "TokenVerifier", sessiontest.Key, sessiontest.Secret)
	n.new(t, "stranger", "TokenVerifier", sessiontest.Key, "another-secret-of-32-bytes-and-more")
	bob := s.enter("lobby", "bob", func(c *tokens.Claims) {
		c.RoomPreset, c.RoomConfig = "preset", json.RawMessage(`{"metadata":"of the room"}`)
	})
	first := bob.Expect("refreshToken").Str("token")
	n.must(t, s.sdk(n).name, "updateParticipant", "lobby", "bob", map[string]any{
		"name": "Bob", "metadata": "m", "attributes": map[string]string{"a": "1"}, "permission": map[string]any{"canSubscribe": true, "canPublish": true,
			"canPublishSources": []lk.TrackSource{lk.TrackSource_MICROPHONE}}})
	second := bob.Expect("refreshToken").Str("token")
	for token, want := range map[string]map[string]any{
		first: {"sub": "bob", "iss": sessiontest.Key, "video.room": "lobby", "video.roomJoin": true, "roomPreset": "preset", "roomConfig.metadata": "of the room"},
		second: {"sub": "bob", "name": "Bob", "metadata": "m", "attributes.a": "1", "video.room": "lobby", "video.roomJoin": true,
			"video.canSubscribe": true, "video.canPublish": true, "video.canPublishData": false, "video.canPublishSources.0": "microphone"},
	} {
		claims := n.must(t, "verifier", "verify", token)
		for path, value := range want {
			if got := at(claims, path); got != value {
				t.Errorf("%s is %v, want %v", path, got, value)
			}
		}
		if _, err := n.call("stranger", "verify", token); err == nil {
			t.Error("another secret verifies the token")
		}
	}
}
