package sdk_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// rpcs is what each method of the RoomService does, seen by those it does it to.
var rpcs = []struct {
	method, does string
	run          func(*testing.T, *site, lk.RoomService)
}{
	{"CreateRoom", "makes a room with its settings and makes it once", testCreateRoom},
	{"CreateRoom", "has the defaults of LiveKit", testCreateRoomDefaults},
	{"ListRooms", "lists rooms that were made and rooms with people", testListRooms},
	{"DeleteRoom", "puts everybody out", testDeleteRoom},
	{"ListParticipants", "lists hidden people too", testListParticipants},
	{"GetParticipant", "tells of one", testGetParticipant},
	{"UpdateParticipant", "changes what is given and leaves the rest", testUpdateParticipant},
	{"UpdateParticipant", "takes rights at once", testDemotion},
	{"UpdateParticipant", "gives rights at once", testPromotion},
	{"RemoveParticipant", "puts out for good", testRemoveParticipant},
	{"RemoveParticipant", "revokes up to a time", testRevokeTokenTS},
	{"MutePublishedTrack", "mutes for everybody", testMutePublishedTrack},
	{"UpdateSubscriptions", "ends and begins a subscription", testUpdateSubscriptions},
	{"SendData", "reaches everybody and hidden people too", testSendData},
	{"SendData", "reaches those named", testSendDataTo},
	{"UpdateRoomMetadata", "tells everybody", testUpdateRoomMetadata},
	{"MoveParticipant", "moves to another room", testMoveParticipant},
	{"MoveParticipant", "gives what the other room allows", testMoveIntoDemotion},
	{"MoveParticipant", "to a full room changes nothing", testMoveToFull},
	{"PerformRpc", "calls a client", testPerformRpc},
	{"PerformRpc", "fails as the client does", testPerformRpcFails},
	{"ForwardParticipant", "is not served", testForwardParticipant},
}

func TestRPCs(t *testing.T) {
	everyClient(t, func(t *testing.T, dial dialer) {
		for _, rpc := range rpcs {
			t.Run(rpc.method+"/"+rpc.does, func(t *testing.T) {
				s := serve(t)
				c := dial(s)
				rpc.run(t, s, c)
				if c, ok := c.(*sdkClient); ok && c.called[camelCase(rpc.method)] == 0 && rpc.method != "PerformRpc" {
					t.Errorf("nothing called %s of the SDK", camelCase(rpc.method))
				}
			})
		}
	})
}

func camelCase(method string) string { return strings.ToLower(method[:1]) + method[1:] }

// Whatever the service definition has is in the table above, and what the SDK
// has is there and among those whose grants are tested.
func TestEveryMethodIsTested(t *testing.T) {
	tested := make(map[string]bool)
	for _, rpc := range rpcs {
		tested[rpc.method] = true
	}
	service := reflect.TypeFor[lk.RoomService]()
	var defined []string
	for i := range service.NumMethod() {
		defined = append(defined, service.Method(i).Name)
	}
	if got := slices.Sorted(maps.Keys(tested)); !slices.Equal(got, defined) {
		t.Errorf("tested are\n%s\ndefined are\n%s", got, defined)
	}
	t.Run("SDK", func(t *testing.T) {
		n := startNode(t)
		result, err := n.wait(n.send(map[string]any{"methods": "RoomServiceClient"}))
		if err != nil {
			t.Fatal(err)
		}
		var has []string
		if err := json.Unmarshal(result, &has); err != nil {
			t.Fatal(err)
		}
		for _, name := range has {
			if !tested[strings.ToUpper(name[:1])+name[1:]] {
				t.Errorf("the SDK has %s, and no test calls it", name)
			}
		}
		var granted []string
		for _, call := range calls {
			granted = append(granted, call.method)
		}
		slices.Sort(has)
		slices.Sort(granted)
		if !slices.Equal(has, granted) {
			t.Errorf("grants are tested of\n%s\nthe SDK has\n%s", granted, has)
		}
		if slices.Contains(has, "performRpc") {
			t.Error("the SDK has performRpc now: let sdkClient.PerformRpc use it")
		}
	})
}

func testCreateRoom(t *testing.T, s *site, c lk.RoomService) {
	made, err := c.CreateRoom(s.as("lobby"), &lk.CreateRoomRequest{
		Name: "lobby", EmptyTimeout: 600, DepartureTimeout: 30, MaxParticipants: 1, Metadata: "of the room",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Sid, "RM_") || made.Name != "lobby" || made.EmptyTimeout != 600 || made.DepartureTimeout != 30 ||
		made.MaxParticipants != 1 || made.Metadata != "of the room" || made.NumParticipants != 0 || made.NumPublishers != 0 ||
		made.CreationTime <= 0 || made.CreationTimeMs/1000 != made.CreationTime || made.TurnPassword != "" {
		t.Errorf("got %v", made)
	}
	again, err := c.CreateRoom(s.as("lobby"), &lk.CreateRoomRequest{Name: "lobby", MaxParticipants: 5, Metadata: "another"})
	if err != nil || again.Sid != made.Sid || again.MaxParticipants != 1 || again.Metadata != "of the room" || again.EmptyTimeout != 600 {
		t.Errorf("created again: got %v, %v; want %v", again, err, made)
	}
	ada := s.enter("lobby", "ada")
	if got := ada.joined; got.Str("room.sid") != made.Sid || got.Str("room.metadata") != "of the room" || got.Str("room.maxParticipants") != "1" {
		t.Errorf("ada joined %s", got.Text)
	}
	s.turnedAway("the second of one", s.Token("lobby", "bob"), wire.RoomFull)
	again, err = c.CreateRoom(s.as("lobby"), &lk.CreateRoomRequest{Name: "lobby"})
	if err != nil || again.Sid != made.Sid || again.NumParticipants != 1 {
		t.Errorf("created while ada is in it: got %v, %v", again, err)
	}
}

func testCreateRoomDefaults(t *testing.T, s *site, c lk.RoomService) {
	made, err := c.CreateRoom(s.as("lobby"), &lk.CreateRoomRequest{Name: "lobby"})
	if err != nil || made.EmptyTimeout != 300 || made.DepartureTimeout != 20 || made.MaxParticipants != 0 || made.Metadata != "" {
		t.Errorf("got %v, %v", made, err)
	}
}

func testListRooms(t *testing.T, s *site, c lk.RoomService) {
	names := func(filter ...string) map[string]*lk.Room {
		t.Helper()
		list, err := c.ListRooms(s.as("lobby"), &lk.ListRoomsRequest{Names: filter})
		if err != nil {
			t.Fatal(err)
		}
		rooms := make(map[string]*lk.Room)
		for _, r := range list.Rooms {
			if rooms[r.Name] != nil {
				t.Errorf("%s is listed twice", r.Name)
			}
			rooms[r.Name] = r
		}
		return rooms
	}
	if got := names(); len(got) != 0 {
		t.Errorf("at the start: got %v", got)
	}
	if _, err := c.CreateRoom(s.as("made"), &lk.CreateRoomRequest{Name: "made", Metadata: "m"}); err != nil {
		t.Fatal(err)
	}
	ada, bob := s.enter("lobby", "ada"), s.enter("lobby", "bob")
	bob.microphone()
	ada.Expect("trackPublished")
	got := names()
	if len(got) != 2 || got["made"] == nil || got["made"].Metadata != "m" || got["made"].NumParticipants != 0 {
		t.Errorf("got %v", got)
	}
	if r := got["lobby"]; r == nil || r.Sid != ada.joined.Str("room.sid") || r.NumParticipants != 2 || r.NumPublishers != 1 ||
		fmt.Sprint(r.CreationTimeMs) != ada.joined.Str("room.createdAt") {
		t.Errorf("got %v", r)
	}
	if got := slices.Collect(maps.Keys(names("lobby", "nowhere"))); !slices.Equal(got, []string{"lobby"}) {
		t.Errorf("of two names: got %q", got)
	}
	if got := names("nowhere"); len(got) != 0 {
		t.Errorf("of a name that is none: got %v", got)
	}
}

func testDeleteRoom(t *testing.T, s *site, c lk.RoomService) {
	token := s.Token("lobby", "ada")
	ada, joined := s.Join(token)
	eve := s.enter("lobby", "eve", hidden)
	if _, err := c.DeleteRoom(s.as("lobby"), &lk.DeleteRoomRequest{Room: "lobby"}); err != nil {
		t.Fatal(err)
	}
	ada.ExpectClose(wire.RoomDeleted)
	eve.ExpectClose(wire.RoomDeleted)
	if list, err := c.ListRooms(s.as("lobby"), &lk.ListRoomsRequest{}); err != nil || len(list.Rooms) != 0 {
		t.Errorf("after that: got %v, %v", list, err)
	}
	_, err := c.DeleteRoom(s.as("lobby"), &lk.DeleteRoomRequest{Room: "lobby"})
	refused(t, "deleted again", err, twirp.NotFound)

	// As in LiveKit: their tokens stay good, and make another room.
	if _, again := s.Join(token); again.Str("room.sid") == joined.Str("room.sid") {
		t.Error("the room that was deleted is there again")
	}
	if _, err := c.CreateRoom(s.as("made"), &lk.CreateRoomRequest{Name: "made"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteRoom(s.as("made"), &lk.DeleteRoomRequest{Room: "made"}); err != nil {
		t.Errorf("a room with nobody in it: %v", err)
	}
}

func testListParticipants(t *testing.T, s *site, c lk.RoomService) {
	ada := s.enter("lobby", "ada", func(c *tokens.Claims) { c.Name, c.Metadata, c.Attributes = "Ada", "m", map[string]string{"a": "1"} })
	eve := s.enter("lobby", "eve", hidden)
	track, _ := ada.microphone()
	list, err := c.ListParticipants(s.as("lobby"), &lk.ListParticipantsRequest{Room: "lobby"})
	if err != nil || len(list.Participants) != 2 {
		t.Fatalf("got %v, %v; want two", list, err)
	}
	a, e := list.Participants[0], list.Participants[1]
	if a.Sid != ada.sid() || a.Identity != "ada" || a.Name != "Ada" || a.Metadata != "m" || a.Attributes["a"] != "1" || !a.IsPublisher ||
		a.State != lk.ParticipantInfo_ACTIVE || len(a.Tracks) != 1 || a.Tracks[0].Sid != track || a.Tracks[0].Source != lk.TrackSource_MICROPHONE ||
		fmt.Sprint(a.JoinedAtMs) != ada.joined.Str("self.joinedAt") || a.JoinedAt != a.JoinedAtMs/1000 {
		t.Errorf("got %v", a)
	}
	if e.Sid != eve.sid() || e.Identity != "eve" || !e.Permission.Hidden {
		t.Errorf("got %v", e)
	}
	list, err = c.ListParticipants(s.as("nowhere"), &lk.ListParticipantsRequest{Room: "nowhere"})
	if err != nil || len(list.Participants) != 0 {
		t.Errorf("of a room that is none: got %v, %v", list, err)
	}
}

func testGetParticipant(t *testing.T, s *site, c lk.RoomService) {
	s.enter("lobby", "ada")
	eve := s.enter("lobby", "eve", hidden)
	got, err := c.GetParticipant(s.as("lobby"), &lk.RoomParticipantIdentity{Room: "lobby", Identity: "eve"})
	if err != nil || got.Sid != eve.sid() || !got.Permission.Hidden || !got.Permission.CanSubscribe {
		t.Errorf("got %v, %v", got, err)
	}
}

func testUpdateParticipant(t *testing.T, s *site, c lk.RoomService) {
	ada := s.enter("lobby", "ada")
	bob := s.enter("lobby", "bob", func(c *tokens.Claims) {
		c.Name, c.Metadata, c.Attributes = "Bob", "before", map[string]string{"keep": "1", "drop": "2"}
	})
	// update makes one change, of which ada is told once, and bob too, with one token.
	update := func(req *lk.UpdateParticipantRequest, changed string) *lk.ParticipantInfo {
		t.Helper()
		bob.Sync()
		had := len(bob.of("refreshToken"))
		req.Room, req.Identity = "lobby", "bob"
		info, err := c.UpdateParticipant(s.as("lobby"), req)
		if err != nil {
			t.Fatal(err)
		}
		ada.Sync()
		bob.Sync()
		for who, p := range map[string]*person{"ada": ada, "bob": bob} {
			told := p.of("participantUpdated")
			if e := told[len(told)-1]; fmt.Sprint(e.Get("changed")) != changed || e.Str("participant.version") != fmt.Sprint(info.Version) {
				t.Errorf("%s was told %s, want a change of %s", who, e.Text, changed)
			}
		}
		if n := len(bob.of("refreshToken")) - had; n != 1 {
			t.Errorf("bob got %d tokens, want one", n)
		}
		return info
	}
	info := update(&lk.UpdateParticipantRequest{Name: "Robert", Metadata: "after", Attributes: map[string]string{"drop": "", "new": "3"},
		Permission: &lk.ParticipantPermission{CanSubscribe: true, CanPublishData: true}}, "[name metadata attributes permissions]")
	want := map[string]string{"keep": "1", "new": "3"}
	if info.Name != "Robert" || info.Metadata != "after" || !maps.Equal(info.Attributes, want) || info.Permission.CanPublish || !info.Permission.CanPublishData {
		t.Errorf("got %v", info)
	}
	// What is not given stays as it is.
	info = update(&lk.UpdateParticipantRequest{Permission: &lk.ParticipantPermission{CanSubscribe: true, CanPublish: true,
		CanPublishSources: []lk.TrackSource{lk.TrackSource_CAMERA}}}, "[permissions]")
	if info.Name != "Robert" || info.Metadata != "after" || !maps.Equal(info.Attributes, want) || !info.Permission.CanPublish || info.Permission.CanPublishData ||
		!slices.Equal(info.Permission.CanPublishSources, []lk.TrackSource{lk.TrackSource_CAMERA}) {
		t.Errorf("permission only: got %v", info)
	}
	info = update(&lk.UpdateParticipantRequest{Metadata: "again"}, "[metadata]")
	if info.Name != "Robert" || info.Metadata != "again" || !maps.Equal(info.Attributes, want) || !info.Permission.CanPublish {
		t.Errorf("metadata only: got %v", info)
	}
	info = update(&lk.UpdateParticipantRequest{Attributes: map[string]string{"keep": "", "new": ""}}, "[attributes]")
	if info.Name != "Robert" || info.Metadata != "again" || len(info.Attributes) != 0 || !info.Permission.CanPublish {
		t.Errorf("attributes only: got %v", info)
	}
	info, err := c.UpdateParticipant(s.as("lobby"), &lk.UpdateParticipantRequest{Room: "lobby", Identity: "bob",
		Permission: &lk.ParticipantPermission{Hidden: true, CanUpdateMetadata: true}})
	if err != nil || !info.Permission.Hidden || !info.Permission.CanUpdateMetadata || info.Permission.CanSubscribe {
		t.Errorf("hidden: got %v, %v", info, err)
	}
	if e := ada.Expect("participantLeft"); e.Str("sid") != bob.sid() {
		t.Errorf("ada was told %s", e.Text)
	}
}

// When the call has answered, nothing that needs the right is accepted.
func testDemotion(t *testing.T, s *site, c lk.RoomService) {
	ada, bob := s.enter("lobby", "ada"), s.enter("lobby", "bob")
	track, handle := bob.microphone()
	ada.Expect("trackSubscribed")
	bob.frame(handle, 1, "before")
	ada.expectFrame("before")

	info, err := c.UpdateParticipant(s.as("lobby"), &lk.UpdateParticipantRequest{Room: "lobby", Identity: "bob",
		Permission: &lk.ParticipantPermission{CanSubscribe: true}})
	if err != nil || info.Permission.CanPublish || info.Permission.CanPublishData || len(info.Tracks) != 0 || info.IsPublisher {
		t.Fatalf("got %v, %v", info, err)
	}
	bob.frame(handle, 2, "after")
	bob.denied(wire.Message{Type: "publishData", Payload: []byte(`"after"`)})
	bob.denied(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	for who, p := range map[string]*person{"ada": ada, "bob": bob} {
		if e := p.Expect("trackUnpublished"); e.Str("trackSid") != track || e.Str("reason") != "not_allowed" {
			t.Errorf("%s was told %s", who, e.Text)
		}
	}
	ada.Sync()
	for _, e := range ada.Seen() {
		if e.Type() == "data" || strings.HasSuffix(string(e.Binary), "after") {
			t.Errorf("ada got %s%s", e.Text, e.Binary)
		}
	}
	told := bob.of("refreshToken")
	if s.allows(told[len(told)-1].Str("token"), auth.SendMicrophone) || s.allows(told[len(told)-1].Str("token"), auth.SendData) {
		t.Error("bob's newest token grants what was taken")
	}

	// And what ada may receive.
	if _, err := c.UpdateParticipant(s.as("lobby"), &lk.UpdateParticipantRequest{Room: "lobby", Identity: "bob",
		Permission: &lk.ParticipantPermission{CanSubscribe: true, CanPublish: true}}); err != nil {
		t.Fatal(err)
	}
	track, _ = bob.microphone()
	ada.Expect("trackSubscribed")
	if _, err := c.UpdateParticipant(s.as("lobby"), &lk.UpdateParticipantRequest{Room: "lobby", Identity: "ada",
		Permission: &lk.ParticipantPermission{CanPublish: true}}); err != nil {
		t.Fatal(err)
	}
	if e := ada.Expect("trackUnsubscribed"); e.Str("trackSid") != track || e.Str("reason") != "not_allowed" {
		t.Errorf("ada was told %s", e.Text)
	}
	ada.denied(wire.Message{Type: "subscribe", TrackSID: track})
}

func testPromotion(t *testing.T, s *site, c lk.RoomService) {
	ada := s.enter("lobby", "ada")
	bob := s.enter("lobby", "bob", func(c *tokens.Claims) { c.Video.CanPublish = new(bool) })
	bob.denied(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	if _, err := c.UpdateParticipant(s.as("lobby"), &lk.UpdateParticipantRequest{Room: "lobby", Identity: "bob",
		Permission: &lk.ParticipantPermission{CanSubscribe: true, CanPublish: true, CanPublishSources: []lk.TrackSource{lk.TrackSource_MICROPHONE}}}); err != nil {
		t.Fatal(err)
	}
	track, _ := bob.microphone()
	if e := ada.Expect("trackPublished"); e.Str("track.sid") != track {
		t.Errorf("ada was told %s", e.Text)
	}
	bob.denied(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	told := bob.of("refreshToken")
	if token := told[len(told)-1].Str("token"); !s.allows(token, auth.SendMicrophone) || s.allows(token, auth.SendCamera) {
		t.Error("bob's newest token does not grant what he may do now")
	}
}

func testRemoveParticipant(t *testing.T, s *site, c lk.RoomService) {
	ada := s.enter("lobby", "ada")
	first := s.Token("lobby", "bob")
	bob, joined := s.Join(first)
	refreshed := bob.Expect("refreshToken").Str("token")
	if _, err := c.RemoveParticipant(s.as("lobby"), &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob"}); err != nil {
		t.Fatal(err)
	}
	bob.ExpectClose(wire.Removed)
	if e := ada.Expect("participantLeft"); e.Str("identity") != "bob" || e.Str("reason") != "PARTICIPANT_REMOVED" {
		t.Errorf("ada was told %s", e.Text)
	}
	s.turnedAway("the first token", first, wire.TokenRevoked)
	s.turnedAway("the refreshed token", refreshed, wire.TokenRevoked)
	s.turnedAway("a token of before that was never shown", s.minted("lobby", "bob", time.Now().Add(-time.Minute)), wire.TokenRevoked)
	resume := wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret"), Received: bob.Received()}
	if code := s.Dial(nil).Refused(resume); code != wire.Removed {
		t.Errorf("the resume ended with %d, want %d", code, wire.Removed)
	}
	_, err := c.GetParticipant(s.as("lobby"), &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob"})
	refused(t, "bob, who was removed", err, twirp.NotFound)
	ada.Sync()
	if n := len(ada.of("participantJoined")); n != 1 {
		t.Errorf("ada saw bob join %d times, want once", n)
	}
}

// Clocks may differ by a minute, so a token of the next seconds is good by itself.
func testRevokeTokenTS(t *testing.T, s *site, c lk.RoomService) {
	now := time.Now()
	shown := s.minted("lobby", "bob", now.Add(-time.Hour))
	bob, _ := s.Join(shown)
	if _, err := c.RemoveParticipant(s.as("lobby"), &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob",
		RevokeTokenTs: now.Add(-30 * time.Minute).Unix()}); err != nil {
		t.Fatal(err)
	}
	bob.ExpectClose(wire.Removed)
	s.turnedAway("the token that was shown", shown, wire.TokenRevoked)
	s.turnedAway("a token of before the time", s.minted("lobby", "bob", now.Add(-31*time.Minute)), wire.TokenRevoked)
	bob, _ = s.Join(s.minted("lobby", "bob", now.Add(-29*time.Minute)))

	if _, err := c.RemoveParticipant(s.as("lobby"), &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob",
		RevokeTokenTs: now.Add(time.Hour).Unix()}); err != nil {
		t.Fatal(err)
	}
	bob.ExpectClose(wire.Removed)
	s.turnedAway("a token of after the call, before the time", s.minted("lobby", "bob", time.Now().Add(30*time.Second)), wire.TokenRevoked)
}

func testMutePublishedTrack(t *testing.T, s *site, c lk.RoomService) {
	ada, bob := s.enter("lobby", "ada"), s.enter("lobby", "bob")
	track, handle := bob.microphone()
	ada.Expect("trackSubscribed")
	mute := func(sid string, muted bool) (*lk.TrackInfo, error) {
		t.Helper()
		res, err := c.MutePublishedTrack(s.as("lobby"), &lk.MuteRoomTrackRequest{Room: "lobby", Identity: "bob", TrackSid: sid, Muted: muted})
		return res.GetTrack(), err
	}
	got, err := mute(track, true)
	if err != nil || got.GetSid() != track || !got.GetMuted() || got.Source != lk.TrackSource_MICROPHONE {
		t.Fatalf("got %v, %v", got, err)
	}
	bob.frame(handle, 1, "while muted")
	for who, p := range map[string]*person{"ada": ada, "bob": bob} {
		if e := p.Expect("trackMuted"); e.Str("trackSid") != track || e.Get("muted") != true || e.Str("participantSid") != bob.sid() {
			t.Errorf("%s was told %s", who, e.Text)
		}
	}
	if got, err := mute(track, true); err != nil || !got.GetMuted() {
		t.Errorf("muted again: got %v, %v", got, err)
	}
	_, err = mute(track, false)
	refused(t, "a backend that unmutes", err, twirp.FailedPrecondition)
	if got, err := mute("TR_nothing", true); err != nil || got != nil {
		t.Errorf("a track that is none: got %v, %v; LiveKit answers with no track", got, err)
	}
	// Its publisher may.
	bob.OK(wire.Message{Type: "muteTrack", TrackSID: track, Muted: new(bool)})
	bob.frame(handle, 2, "unmuted")
	ada.expectFrame("unmuted")
	if n := len(ada.of("trackMuted")); n != 2 {
		t.Errorf("ada was told %d times, want twice", n)
	}
	for _, e := range ada.Seen() {
		if strings.HasSuffix(string(e.Binary), "while muted") {
			t.Error("a frame of a muted track arrived")
		}
	}
}

func testUpdateSubscriptions(t *testing.T, s *site, c lk.RoomService) {
	ada, bob := s.enter("lobby", "ada"), s.enter("lobby", "bob")
	track, handle := bob.microphone()
	ada.Expect("trackSubscribed")
	update := func(req *lk.UpdateSubscriptionsRequest) {
		t.Helper()
		req.Room, req.Identity = "lobby", "ada"
		if _, err := c.UpdateSubscriptions(s.as("lobby"), req); err != nil {
			t.Fatal(err)
		}
	}
	update(&lk.UpdateSubscriptionsRequest{TrackSids: []string{track}})
	if e := ada.Expect("trackUnsubscribed"); e.Str("trackSid") != track {
		t.Errorf("ada was told %s", e.Text)
	}
	bob.frame(handle, 1, "not to ada")
	bob.Sync()
	update(&lk.UpdateSubscriptionsRequest{TrackSids: []string{track}, Subscribe: true})
	if e := ada.Expect("trackSubscribed"); e.Str("track.sid") != track || e.Str("participantSid") != bob.sid() {
		t.Errorf("ada was told %s", e.Text)
	}
	bob.frame(handle, 2, "to ada")
	ada.expectFrame("to ada")

	of := []*lk.ParticipantTracks{{ParticipantSid: bob.sid(), TrackSids: []string{track}}}
	update(&lk.UpdateSubscriptionsRequest{ParticipantTracks: of})
	ada.Expect("trackUnsubscribed")
	update(&lk.UpdateSubscriptionsRequest{ParticipantTracks: of, Subscribe: true})
	ada.Expect("trackSubscribed")
	for _, e := range ada.Seen() {
		if strings.HasSuffix(string(e.Binary), "not to ada") {
			t.Error("a frame of a track that ada is not subscribed to arrived")
		}
	}

	// It is no way around what she may receive.
	if _, err := c.UpdateParticipant(s.as("lobby"), &lk.UpdateParticipantRequest{Room: "lobby", Identity: "ada",
		Permission: &lk.ParticipantPermission{CanPublish: true}}); err != nil {
		t.Fatal(err)
	}
	ada.Expect("trackUnsubscribed")
	_, _ = c.UpdateSubscriptions(s.as("lobby"), &lk.UpdateSubscriptionsRequest{Room: "lobby", Identity: "ada", TrackSids: []string{track}, Subscribe: true})
	bob.frame(handle, 3, "forbidden")
	bob.Sync()
	ada.Sync()
	for _, e := range ada.Seen() {
		if strings.HasSuffix(string(e.Binary), "forbidden") {
			t.Error("a frame arrived that ada may not receive")
		}
	}
}

func testSendData(t *testing.T, s *site, c lk.RoomService) {
	people := map[string]*person{"ada": s.enter("lobby", "ada"), "hidden eve": s.enter("lobby", "eve", hidden),
		// What a backend sends is no media, and reaches those who receive none.
		"deaf bob": s.enter("lobby", "bob", func(c *tokens.Claims) { c.Video.CanSubscribe = new(bool) })}
	for _, want := range []struct {
		data, topic string
		kind        lk.DataPacket_Kind
	}{
		{"hello", "chat", lk.DataPacket_RELIABLE},
		{"\x00\xff no text", "", lk.DataPacket_LOSSY},
		{`{"json":true}`, "state", lk.DataPacket_RELIABLE},
	} {
		req := &lk.SendDataRequest{Room: "lobby", Data: []byte(want.data), Kind: want.kind}
		if want.topic != "" {
			req.Topic = &want.topic
		}
		if _, err := c.SendData(s.as("lobby"), req); err != nil {
			t.Fatal(err)
		}
		for who, p := range people {
			if data, topic, reliable := dataOf(t, p.Expect("data")); data != want.data || topic != want.topic || reliable != (want.kind == lk.DataPacket_RELIABLE) {
				t.Errorf("%s got %q, %q, %t; want %+v", who, data, topic, reliable, want)
			}
		}
	}
}

func testSendDataTo(t *testing.T, s *site, c lk.RoomService) {
	people := map[string]*person{"ada": s.enter("lobby", "ada"), "bob": s.enter("lobby", "bob"), "eve": s.enter("lobby", "eve", hidden)}
	sid := people["bob"].sid()
	want := map[string][]string{}
	for i, to := range []struct {
		identities, sids []string
		reached          []string
	}{
		{[]string{"ada"}, nil, []string{"ada"}},
		{[]string{"bob", "eve", "nobody"}, nil, []string{"bob", "eve"}},
		{nil, []string{sid}, []string{"bob"}},
		{nil, []string{people["eve"].sid()}, []string{"eve"}},
		{[]string{"nobody"}, nil, nil},
		{nil, []string{"PA_nobody"}, nil},
		{[]string{"bob"}, []string{sid}, []string{"bob"}}, // once
		{nil, nil, []string{"ada", "bob", "eve"}},
	} {
		data := fmt.Sprint(i)
		//lint:ignore SA1019 destinationSids is deprecated, and still served.
		if _, err := c.SendData(s.as("lobby"), &lk.SendDataRequest{Room: "lobby", Data: []byte(data), DestinationIdentities: to.identities, DestinationSids: to.sids}); err != nil {
			t.Fatalf("%+v: %v", to, err)
		}
		for _, who := range to.reached {
			want[who] = append(want[who], data)
		}
	}
	for who, p := range people {
		p.Sync()
		var got []string
		for _, e := range p.of("data") {
			data, _, _ := dataOf(t, e)
			got = append(got, data)
		}
		if !slices.Equal(got, want[who]) {
			t.Errorf("%s got %q, want %q", who, got, want[who])
		}
	}
}

func testUpdateRoomMetadata(t *testing.T, s *site, c lk.RoomService) {
	ada, eve := s.enter("lobby", "ada"), s.enter("lobby", "eve", hidden)
	for _, metadata := range []string{"topic of the day", ""} { // for a room, empty clears
		got, err := c.UpdateRoomMetadata(s.as("lobby"), &lk.UpdateRoomMetadataRequest{Room: "lobby", Metadata: metadata})
		if err != nil || got.Metadata != metadata || got.Name != "lobby" || got.Sid != ada.joined.Str("room.sid") {
			t.Fatalf("got %v, %v", got, err)
		}
		for who, p := range map[string]*person{"ada": ada, "eve": eve} {
			if e := p.Expect("roomUpdated"); e.Str("room.metadata") != metadata || e.Str("room.name") != "lobby" {
				t.Errorf("%s was told %s", who, e.Text)
			}
		}
		if p := s.enter("lobby", "bob"); p.joined.Str("room.metadata") != metadata {
			t.Errorf("bob joined %s", p.joined.Text)
		}
	}
	if _, err := c.CreateRoom(s.as("made"), &lk.CreateRoomRequest{Name: "made"}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.UpdateRoomMetadata(s.as("made"), &lk.UpdateRoomMetadataRequest{Room: "made", Metadata: "m"}); err != nil || got.Metadata != "m" {
		t.Errorf("a room with nobody in it: got %v, %v", got, err)
	}
}

func testMoveParticipant(t *testing.T, s *site, c lk.RoomService) {
	ada, bob, cy := s.enter("lobby", "ada"), s.enter("lobby", "bob", func(c *tokens.Claims) { c.Name, c.Metadata = "Bob", "m" }), s.enter("hall", "cy")
	track, _ := bob.microphone()
	ada.Expect("trackPublished")
	if _, err := c.MoveParticipant(s.as("lobby"), &lk.MoveParticipantRequest{Room: "lobby", Identity: "bob", DestinationRoom: "hall"}); err != nil {
		t.Fatal(err)
	}
	// It is done when the call answers.
	_, err := c.GetParticipant(s.as("lobby"), &lk.RoomParticipantIdentity{Room: "lobby", Identity: "bob"})
	refused(t, "bob in the lobby", err, twirp.NotFound)
	info, err := c.GetParticipant(s.as("hall"), &lk.RoomParticipantIdentity{Room: "hall", Identity: "bob"})
	if err != nil || info.Name != "Bob" || info.Metadata != "m" {
		t.Errorf("bob in the hall: got %v, %v", info, err)
	}
	if e := ada.Expect("trackUnpublished"); e.Str("trackSid") != track {
		t.Errorf("ada was told %s", e.Text)
	}
	if e := ada.Expect("participantLeft"); e.Str("identity") != "bob" {
		t.Errorf("ada was told %s", e.Text)
	}
	if e := cy.Expect("participantJoined"); e.Str("participant.identity") != "bob" || e.Str("participant.name") != "Bob" {
		t.Errorf("cy was told %s", e.Text)
	}
	sid, token := bob.movedTo("hall")
	if info.GetSid() != sid {
		t.Errorf("bob was told of session %s, the server API tells of %s", sid, info.GetSid())
	}
	if g := s.grantOf(token); g.Room != "hall" || g.Identity != "bob" || !g.Join || g.Metadata != "m" {
		t.Errorf("the token of the move grants %+v", g)
	}
	bob.OK(wire.Message{Type: "publishData", Payload: []byte(`"hello"`)})
	if e := cy.Expect("data"); e.Str("payload") != "hello" || e.Str("from.identity") != "bob" || e.Str("from.sid") != sid {
		t.Errorf("cy got %s", e.Text)
	}
	if _, err := c.UpdateParticipant(s.as("hall"), &lk.UpdateParticipantRequest{Room: "hall", Identity: "bob", Metadata: "in the hall"}); err != nil {
		t.Fatal(err)
	}
	bob.ExpectWhere("bob's own update", func(e sessiontest.Event) bool { return e.Str("participant.metadata") == "in the hall" })
	ada.Sync()
	if n := len(ada.of("data")); n != 0 {
		t.Error("ada got what bob sent in the hall")
	}
	bob.Send(wire.Message{Type: "leave"})
	bob.ExpectClose(wire.Left)
	cy.Expect("participantLeft")
	if again := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); again != 0 {
		t.Errorf("bob comes back to the hall with the token of the move: %d", again)
	}
}

// In the hall holds what was said of bob in the hall.
func testMoveIntoDemotion(t *testing.T, s *site, c lk.RoomService) {
	s.enter("hall", "cy")
	first := s.enter("hall", "bob")
	if _, err := c.UpdateParticipant(s.as("hall"), &lk.UpdateParticipantRequest{Room: "hall", Identity: "bob",
		Permission: &lk.ParticipantPermission{CanSubscribe: true}}); err != nil {
		t.Fatal(err)
	}
	first.Send(wire.Message{Type: "leave"})
	first.ExpectClose(wire.Left)

	bob := s.enter("lobby", "bob")
	bob.OK(wire.Message{Type: "publishData", Payload: []byte(`1`)})
	if _, err := c.MoveParticipant(s.as("lobby"), &lk.MoveParticipantRequest{Room: "lobby", Identity: "bob", DestinationRoom: "hall"}); err != nil {
		t.Fatal(err)
	}
	_, token := bob.movedTo("hall")
	bob.denied(wire.Message{Type: "publishData", Payload: []byte(`1`)})
	if s.allows(token, auth.SendData) || !s.allows(token, auth.ReceiveTracks) {
		t.Error("the token of the move grants something else than the hall allows bob")
	}
}

func testMoveToFull(t *testing.T, s *site, c lk.RoomService) {
	if _, err := c.CreateRoom(s.as("hall"), &lk.CreateRoomRequest{Name: "hall", MaxParticipants: 1}); err != nil {
		t.Fatal(err)
	}
	cy, ada, bob := s.enter("hall", "cy"), s.enter("lobby", "ada"), s.enter("lobby", "bob")
	_, err := c.MoveParticipant(s.as("lobby"), &lk.MoveParticipantRequest{Room: "lobby", Identity: "bob", DestinationRoom: "hall"})
	if err == nil {
		t.Fatal("bob was moved to a full room")
	}
	if e := errOf(t, err); twirp.ServerHTTPStatusFromErrorCode(e.Code())/100 != 4 || !strings.Contains(e.Msg(), "full") {
		t.Errorf("got %s: %s, want 4xx with the reason", e.Code(), e.Msg())
	}
	bob.OK(wire.Message{Type: "publishData", Payload: []byte(`"still here"`)})
	if e := ada.Expect("data"); e.Str("from.sid") != bob.sid() {
		t.Errorf("ada got %s", e.Text)
	}
	cy.Sync()
	if len(ada.of("participantLeft"))+len(cy.of("participantJoined")) != 0 {
		t.Error("somebody was told that bob moved")
	}
}

// needPerformRpc ends the test when nobody will ever be called.
func needPerformRpc(t *testing.T, s *site, c lk.RoomService) {
	t.Helper()
	_, err := c.PerformRpc(s.as("lobby"), &lk.PerformRpcRequest{Room: "lobby", DestinationIdentity: "nobody", Method: "greet"})
	if err == nil || errOf(t, err).Code() != twirp.NotFound {
		t.Fatalf("a call of nobody: got %v, want %s", err, twirp.NotFound)
	}
}

func testPerformRpc(t *testing.T, s *site, c lk.RoomService) {
	ada, bob := s.enter("lobby", "ada"), s.enter("lobby", "bob", hidden)
	needPerformRpc(t, s, c)
	ctx, answered := s.as("lobby"), make(chan error, 1)
	go func() { // ends with the call
		res, err := c.PerformRpc(ctx, &lk.PerformRpcRequest{Room: "lobby", DestinationIdentity: "bob", Method: "greet", Payload: "hello"})
		if err == nil && res.Payload != "HELLO" {
			err = fmt.Errorf("got %v", res)
		}
		answered <- err
	}()
	call := bob.called()
	if call.id == "" || call.method != "greet" || call.payload != "hello" {
		t.Errorf("bob was called with %+v", call)
	}
	bob.answer(call, "HELLO")
	if err := <-answered; err != nil {
		t.Error(err)
	}
	ada.Sync()
	if len(ada.of("rpc")) != 0 {
		t.Error("ada was called, too")
	}
}

func testPerformRpcFails(t *testing.T, s *site, c lk.RoomService) {
	bob := s.enter("lobby", "bob")
	needPerformRpc(t, s, c)
	perform := func(timeout time.Duration) <-chan error {
		ctx, answered := s.as("lobby"), make(chan error, 1)
		go func() { // ends with the call
			_, err := c.PerformRpc(ctx, &lk.PerformRpcRequest{Room: "lobby", DestinationIdentity: "bob", Method: "greet",
				ResponseTimeoutMs: uint32(timeout.Milliseconds())})
			answered <- err
		}()
		return answered
	}
	says := func(what string, err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(errOf(t, err).Msg(), text) {
			t.Errorf("%s: got %v, want %q", what, err, text)
		}
	}
	answered := perform(patience)
	bob.fail(bob.called(), 101, "busy", "")
	says("an error of the application", <-answered, "RpcError 101: busy")

	answered = perform(patience)
	bob.fail(bob.called(), 1400, "Method not supported at destination", "")
	err := <-answered
	says("a method that the client has not", err, "RpcError 1400")
	refused(t, "a method that the client has not", err, twirp.InvalidArgument)

	answered = perform(time.Millisecond)
	call := bob.called()
	err = <-answered
	says("no answer", err, "RpcError 1502: Response timeout")
	refused(t, "no answer", err, twirp.Canceled)
	bob.answer(call, "too late")
	bob.Sync()

	answered = perform(patience)
	bob.called()
	bob.Send(wire.Message{Type: "leave"})
	bob.ExpectClose(wire.Left)
	says("a client that leaves", <-answered, "RpcError 1503")
}

func testForwardParticipant(t *testing.T, s *site, c lk.RoomService) {
	bob, cy := s.enter("lobby", "bob"), s.enter("hall", "cy")
	_, err := c.ForwardParticipant(s.as("lobby"), &lk.ForwardParticipantRequest{Room: "lobby", Identity: "bob", DestinationRoom: "hall"})
	refused(t, "ForwardParticipant", err, twirp.Unimplemented)
	bob.Sync()
	cy.Sync()
	if len(cy.of("participantJoined")) != 0 {
		t.Error("bob is in the hall")
	}
}
