package livekit_test

//lint:file-ignore SA1019 recorder and agent are deprecated, and still a part of what is told.

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
	"google.golang.org/protobuf/proto"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// expectNext returns the next message of one of the types.
func expectNext(c *sessiontest.Client, types ...string) sessiontest.Event {
	c.T.Helper()
	return c.ExpectWhere(strings.Join(types, " or "), func(e sessiontest.Event) bool { return slices.Contains(types, e.Type()) })
}

// count counts the messages of a type among those that arrived.
func count(c *sessiontest.Client, typ string) (n int) {
	for _, e := range c.Seen() {
		if e.Type() == typ {
			n++
		}
	}
	return n
}

// One call makes one event for everybody and one token, however much it changes,
// and the token tells all of it.
func TestUpdateIsOneChange(t *testing.T) {
	s := serve(t)
	bob, _ := s.Join(s.Token("lobby", "bob", func(c *tokens.Claims) {
		c.Name, c.Metadata, c.Attributes = "Bob", "before", map[string]string{"keep": "1", "drop": "2", "change": "3"}
		c.RoomPreset = "preset"
		c.RoomConfig = json.RawMessage(`{"metadata":"of the room"}`)
	}))
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob.Sync()
	tokensBefore := count(bob, "refreshToken")

	a := s.update(`{"room":"lobby","identity":"bob","name":"Robert","metadata":"after",
		"attributes":{"drop":"","change":"4","new":"5"},
		"permission":{"canSubscribe":true,"canPublish":true,"canPublishSources":["MICROPHONE"],"canUpdateMetadata":true}}`)
	want := map[string]string{"keep": "1", "change": "4", "new": "5"}
	if a.get("name") != "Robert" || a.get("metadata") != "after" || fmt.Sprint(a.get("attributes")) != fmt.Sprint(want) ||
		a.get("permission.can_publish") != true || a.get("permission.can_publish_data") != false || fmt.Sprint(a.get("permission.can_publish_sources")) != "[MICROPHONE]" {
		t.Errorf("the answer is not what is in force: %s", a.body)
	}

	ada.Sync()
	bob.Sync()
	for name, c := range map[string]*sessiontest.Client{"ada": ada, "bob": bob} {
		if n := count(c, "participantUpdated"); n != 1 {
			t.Errorf("%s was told %d times, want once", name, n)
		}
		e := c.Expect("participantUpdated")
		if fmt.Sprint(e.Get("changed")) != "[name metadata attributes permissions]" || e.Str("participant.name") != "Robert" || e.Str("participant.version") != fmt.Sprint(a.get("version")) {
			t.Errorf("%s was told %s", name, e.Text)
		}
	}
	if n := count(bob, "refreshToken") - tokensBefore; n != 1 {
		t.Errorf("got %d refreshed tokens, want one", n)
	}
	e := expectNext(bob, "refreshToken") // the one before came before the update
	g, err := s.Verifier.Verify(e.Str("token"))
	if err != nil {
		t.Fatal(err)
	}
	permission := auth.Resolve(g.Base...)
	if g.Identity != "bob" || g.Name != "Robert" || g.Metadata != "after" || !maps.Equal(g.Attributes, want) || g.Room != "lobby" || !g.Join ||
		!permission.Allows(auth.SendMicrophone|auth.ReceiveTracks|auth.UpdateOwnMetadata) || permission.Rights.Any(auth.SendCamera|auth.SendData|auth.ModerateParticipants) {
		t.Errorf("the refreshed token grants %+v", g)
	}
	if g.RoomConfig.Metadata != "of the room" || !strings.Contains(string(g.Claims), `"roomPreset":"preset"`) {
		t.Errorf("claims of the original are missing: %s", g.Claims)
	}
	if life := time.Until(g.Expires); life > 10*time.Minute || life < 9*time.Minute {
		t.Errorf("the refreshed token lives %v, want ten minutes", life)
	}

	// The same again changes nothing, and nobody is told.
	s.update(`{"room":"lobby","identity":"bob","name":"Robert","metadata":"after","attributes":{"new":"5","drop":""}}`)
	bob.Sync()
	ada.Sync()
	if n, m := count(ada, "participantUpdated"), count(bob, "refreshToken")-tokensBefore; n != 1 || m != 1 {
		t.Errorf("after a change of nothing: %d events and %d tokens, want 1 and 1", n, m)
	}
	// Empty means to leave alone.
	if a := s.update(`{"room":"lobby","identity":"bob","name":"","metadata":"","attributes":{}}`); a.get("name") != "Robert" || a.get("metadata") != "after" {
		t.Errorf("an empty name or metadata changed something: %s", a.body)
	}
}

// What a JSON request may look like, and what its permission comes to.
func TestPermissionInJSON(t *testing.T) {
	all := []string{"camera", "microphone", "screen_share", "screen_share_audio", "custom_video", "custom_audio"}
	for name, c := range map[string]struct {
		permission string
		sources    []string // that may be published after it
		invalid    string   // else: what the error names
	}{
		"camelCase":                {permission: `{"canPublish":true,"canPublishSources":["CAMERA","SCREEN_SHARE"]}`, sources: []string{"camera", "screen_share"}},
		"snake_case":               {permission: `{"can_publish":true,"can_publish_sources":["CAMERA","SCREEN_SHARE_AUDIO"]}`, sources: []string{"camera", "screen_share_audio"}},
		"numbers":                  {permission: `{"canPublish":true,"canPublishSources":[2,1e0]}`, sources: []string{"camera", "microphone"}},
		"UNKNOWN is what is ours":  {permission: `{"canPublish":true,"canPublishSources":["UNKNOWN"]}`, sources: []string{"custom_video", "custom_audio"}},
		"0 is UNKNOWN":             {permission: `{"canPublish":true,"canPublishSources":[0]}`, sources: []string{"custom_video", "custom_audio"}},
		"none named":               {permission: `{"canPublish":true}`, sources: all},
		"an empty list":            {permission: `{"canPublish":true,"canPublishSources":[]}`, sources: all},
		"null":                     {permission: `{"canPublish":true,"canPublishSources":null}`, sources: all},
		"not to publish":           {permission: `{"canPublishSources":["CAMERA"]}`},
		"left out is false":        {permission: `{}`},
		"unknown fields":           {permission: `{"canPublish":true,"canFly":["CAMERA"],"CANPUBLISHSOURCES":["bogus"]}`, sources: all},
		"an escaped name":          {permission: `{"can\u0050ublish":true,"canPublishSources":["\u0043AMERA"]}`, sources: []string{"camera"}},
		"recorder, agent":          {permission: `{"recorder":true,"agent":true}`},
		"bogus":                    {permission: `{"canPublish":true,"canPublishSources":["bogus"]}`, invalid: `"bogus"`},
		"bogus, in snake_case":     {permission: `{"canPublish":true,"can_publish_sources":["bogus"]}`, invalid: `"bogus"`},
		"bogus, escaped":           {permission: `{"canPublish":true,"can\u0050ublishSources":["bogus"]}`, invalid: `"bogus"`},
		"bogus among others":       {permission: `{"canPublish":true,"canPublishSources":["CAMERA","HOLOGRAM"]}`, invalid: `"HOLOGRAM"`},
		"a token's spelling":       {permission: `{"canPublish":true,"canPublishSources":["camera"]}`, invalid: `"camera"`},
		"a number in quotes":       {permission: `{"canPublish":true,"canPublishSources":["1"]}`, invalid: `"1"`},
		"a number beyond":          {permission: `{"canPublish":true,"canPublishSources":[7]}`, invalid: `7`},
		"a negative number":        {permission: `{"canPublish":true,"canPublishSources":[-1]}`, invalid: `-1`},
		"an empty name":            {permission: `{"canPublish":true,"canPublishSources":[""]}`, invalid: `""`},
		"bogus, without publish":   {permission: `{"canPublishSources":["bogus"]}`, invalid: `"bogus"`},
		"a long name":              {permission: `{"canPublishSources":["` + strings.Repeat("ü", 100) + `"]}`, invalid: "…"},
		"in two spellings":         {permission: `{"canPublish":true,"canPublishSources":["CAMERA"],"can_publish_sources":[]}`, invalid: "could not be decoded"},
		"twice":                    {permission: `{"canPublish":true,"canPublishSources":["CAMERA"],"canPublishSources":[]}`, invalid: "could not be decoded"},
		"permission twice":         {permission: `{"canPublish":true,"canPublishSources":["bogus"]},"permission":{"canPublish":true}`, invalid: "could not be decoded"},
		"a null source":            {permission: `{"canPublish":true,"canPublishSources":[null]}`, invalid: "could not be decoded"},
		"no list":                  {permission: `{"canPublish":true,"canPublishSources":"CAMERA"}`, invalid: "could not be decoded"},
		"an object":                {permission: `{"canPublish":true,"canPublishSources":{}}`, invalid: "could not be decoded"},
		"a fraction":               {permission: `{"canPublish":true,"canPublishSources":[1.5]}`, invalid: "could not be decoded"},
		"a number too large":       {permission: `{"canPublish":true,"canPublishSources":[4294967297]}`, invalid: "could not be decoded"},
		"a flag as text":           {permission: `{"canPublish":"true"}`, invalid: "could not be decoded"},
		"what comes after the end": {permission: `{"canPublish":true,"canPublishSources":["CAMERA"]}} {"permission":{}`, sources: []string{"camera"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			// Bob may publish from one source that no case leaves alone by chance.
			s.Join(s.Token("lobby", "bob", grant(tokens.VideoGrant{RoomJoin: true, Room: "lobby", CanPublishSources: []string{"screen_share", "unknown"}})))
			a := s.call("UpdateParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob","permission":`+c.permission+`}`)
			r, _ := s.Rooms.Lookup("test", "lobby")
			info, err := r.Participant(room.Target{Identity: "bob"})
			if err != nil {
				t.Fatal(err)
			}
			if c.invalid != "" {
				if a.status != 400 || !strings.Contains(fmt.Sprint(a.get("msg")), c.invalid) || len(a.body) > 400 {
					t.Errorf("got %d %s, want 400 with %s", a.status, a.body, c.invalid)
				}
				if !strings.Contains(c.invalid, "decoded") && (a.code() != "invalid_argument" || a.get("meta.argument") != "permission.can_publish_sources") {
					t.Errorf("got %s, want invalid_argument about permission.can_publish_sources", a.body)
				}
				c.sources = []string{"screen_share", "custom_video", "custom_audio"} // as before
				if !info.Permission.Allows(auth.SendData) {
					t.Error("a refused request changed something")
				}
			} else if a.status != 200 {
				t.Fatalf("got %d %s", a.status, a.body)
			} else if a.get("permission.recorder") != false || a.get("permission.agent") != false {
				t.Errorf("a request made a recorder or an agent: %s", a.body)
			}
			var sources []string
			for _, name := range all {
				source, _ := auth.ParseSource(name)
				if info.Permission.Allows(source.Send()) {
					sources = append(sources, name)
				}
			}
			if !slices.Equal(sources, c.sources) {
				t.Errorf("may publish from %q, want %q", sources, c.sources)
			}
		})
	}
}

// The limits are those of tokens and clients, and count for what comes out.
func TestLimits(t *testing.T) {
	s := serve(t, func(c *room.Config) {
		c.Limits = room.DefaultLimits
		c.Limits.MetadataBytes, c.Limits.AttributesBytes, c.Limits.NameBytes = 100, 50, 20
	})
	bob, _ := s.Join(s.Token("lobby", "bob", func(c *tokens.Claims) { c.Attributes = map[string]string{"k": strings.Repeat("v", 39)} }))
	for _, c := range []struct {
		field, value, argument, limit string // argument is empty where it is within
	}{
		{"name", `"` + strings.Repeat("n", 20) + `"`, "", ""},
		{"name", `"` + strings.Repeat("n", 21) + `"`, "name", "20 bytes"},
		{"name", `"` + strings.Repeat("ü", 11) + `"`, "name", "20 bytes"},
		{"metadata", `"` + strings.Repeat("m", 100) + `"`, "", ""},
		{"metadata", `"` + strings.Repeat("m", 101) + `"`, "metadata", "100 bytes"},
		{"attributes", `{"l":"123456789"}`, "", ""}, // 40 and 10 make 50
		{"attributes", `{"l":"1234567890"}`, "attributes", "50 bytes"},
		{"attributes", `{"k":"","l":"` + strings.Repeat("v", 49) + `"}`, "", ""},
		{"attributes", `{"m":"1"}`, "attributes", "50 bytes"},
		{"attributes", `{"l":""}`, "", ""},
	} {
		version := s.call("GetParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`).get("version")
		a := s.call("UpdateParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob","`+c.field+`":`+c.value+`,"permission":{"canSubscribe":true}}`)
		switch {
		case c.argument == "" && a.status != 200:
			t.Errorf("%s %s: got %d %s", c.field, c.value, a.status, a.body)
		case c.argument == "":
		case a.status != 400 || a.code() != "invalid_argument" || a.get("meta.argument") != c.argument || !strings.Contains(a.body, c.limit):
			t.Errorf("%s %s: got %d %s, want invalid_argument about %s and %s", c.field, c.value, a.status, a.body, c.argument, c.limit)
		default:
			if now := s.call("GetParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`).get("version"); now != version {
				t.Errorf("%s %s was refused and changed something", c.field, c.value)
			}
		}
	}
	// A client is told the same.
	bob.OK(wire.Message{Type: "ping"})
	s.update(`{"room":"lobby","identity":"bob","permission":{"canUpdateMetadata":true}}`)
	long := strings.Repeat("n", 21)
	reply := bob.Ask(wire.Message{Type: "updateMetadata", Name: &long})
	a := s.call("UpdateParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob","name":"`+long+`"}`)
	if reply.Str("code") != "limit_exceeded" || reply.Str("message") != a.get("msg") {
		t.Errorf("the client is told %s, the backend %s", reply.Text, a.body)
	}
}

// Others see a participant leave when it is hidden, and join when it is not any
// more; the backend sees it all the time.
func TestHidden(t *testing.T) {
	s := serve(t)
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, joined := s.Join(s.Token("lobby", "bob"))
	track := bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	ada.Expect("trackPublished")

	a := s.update(`{"room":"lobby","identity":"bob","permission":{"canPublish":true,"canSubscribe":true,"canPublishData":true,"hidden":true}}`)
	if a.get("permission.hidden") != true || a.get("is_publisher") != false {
		t.Errorf("got %s", a.body)
	}
	if e := ada.Expect("trackUnpublished"); e.Str("trackSid") != track.Str("track.sid") || e.Str("reason") != "hidden" {
		t.Errorf("got %s", e.Text)
	}
	if e := ada.Expect("participantLeft"); e.Str("identity") != "bob" || e.Str("sid") != joined.Str("session") {
		t.Errorf("got %s", e.Text)
	}
	if a := s.call("ListParticipants", s.admin("lobby"), `{"room":"lobby"}`); len(a.get("participants").([]any)) != 2 {
		t.Errorf("the backend does not see who is hidden: %s", a.body)
	}
	hiddenAt := len(ada.Seen())
	if a := s.update(`{"room":"lobby","identity":"bob","metadata":"still here"}`); a.get("metadata") != "still here" {
		t.Errorf("got %s", a.body)
	}
	ada.Sync()
	for _, e := range ada.Seen()[hiddenAt:] {
		if strings.Contains(e.Text, "bob") || strings.Contains(e.Text, joined.Str("session")) || strings.Contains(e.Text, "still here") {
			t.Errorf("ada was told of somebody hidden: %s", e.Text)
		}
	}

	s.update(`{"room":"lobby","identity":"bob","permission":{"canPublish":true,"canSubscribe":true,"canPublishData":true}}`)
	if e := ada.Expect("participantJoined"); e.Str("participant.identity") != "bob" || e.Str("participant.sid") != joined.Str("session") || e.Str("participant.metadata") != "still here" {
		t.Errorf("got %s", e.Text)
	}
	bob.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	ada.Expect("trackPublished")
}

// What the backend took stays taken when the participant comes back with the
// token that once granted it. Clearing the lot and granting again works.
func TestDemotionSticks(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("lobby", "ada"))
	first := s.Token("lobby", "bob", func(c *tokens.Claims) { c.Video.CanUpdateOwnMetadata = new(true) })
	bob, _ := s.Join(first)
	s.update(`{"room":"lobby","identity":"bob","permission":{"canSubscribe":true}}`)
	bob.Send(wire.Message{Type: "leave"})
	bob.ExpectClose(wire.Left)

	bob, joined := s.Join(first)
	if p := joined.Get("self.permissions").(map[string]any); p["canPublish"] != false || p["canPublishData"] != false || p["canUpdateOwnMetadata"] != false || p["canSubscribe"] != true {
		t.Errorf("came back with %v", p)
	}
	if e := bob.Ask(wire.Message{Type: "publishData", Payload: json.RawMessage("1")}); e.Str("code") != "not_allowed" || e.Str("permission") != "canPublishData" || e.Str("layer") != "live" {
		t.Errorf("got %s", e.Text)
	}
	if a := s.call("GetParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`); a.get("permission.can_publish") != false {
		t.Errorf("got %s", a.body)
	}
	s.update(`{"room":"lobby","identity":"bob","permission":{"canSubscribe":true,"canPublishData":true}}`)
	bob.OK(wire.Message{Type: "publishData", Payload: json.RawMessage("1")})
}

// A call names a person: all of its participants are changed, each told once.
func TestUpdateConcernsAllOfAPerson(t *testing.T) {
	s := serve(t, func(c *room.Config) { c.DuplicateIdentity = room.Allow })
	one, _ := s.Join(s.Token("lobby", "bob"))
	two, _ := s.Join(s.Token("lobby", "bob"))
	s.update(`{"room":"lobby","identity":"bob","permission":{"canSubscribe":true}}`)
	for _, c := range []*sessiontest.Client{one, two} {
		if e := c.Ask(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"}); e.Str("code") != "not_allowed" {
			t.Errorf("got %s", e.Text)
		}
		if n := count(c, "participantUpdated"); n != 2 { // its own, and the other's
			t.Errorf("was told of %d changes, want 2", n)
		}
	}
	if a := s.call("RemoveParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bob"}`); a.status != 200 || a.body != "{}" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	one.ExpectClose(wire.Removed)
	two.ExpectClose(wire.Removed)
}

// All that a participant is, in LiveKit's words, in both encodings.
func TestParticipantInfo(t *testing.T) {
	s := serve(t)
	before := time.Now()
	token := s.Token("lobby", "bot", func(c *tokens.Claims) {
		c.Name, c.Metadata, c.Attributes = "Bot", "m", map[string]string{"a": "1"}
		c.Kind, c.KindDetails = auth.Agent, []string{"cloud_agent", "forwarded"}
		c.Video.Agent, c.Video.CanPublishSources = true, []string{"camera", "microphone", "unknown"}
		c.Video.CanUpdateOwnMetadata, c.Video.CanSubscribeMetrics, c.Video.CanManageAgentSession = new(true), new(true), new(true)
	})
	bot, joined := s.Join(token)
	camera := bot.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera", Name: new("cam"), Muted: new(true)})
	microphone := bot.OK(wire.Message{Type: "publishTrack", Kind: "audio", Source: "microphone"})
	custom := bot.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "custom_video"})
	data := bot.OK(wire.Message{Type: "publishTrack", Kind: "data", Name: new("telemetry")})

	client := lk.NewRoomServiceProtobufClient(s.HTTP.URL, s.HTTP.Client())
	ctx, err := twirp.WithHTTPRequestHeaders(t.Context(), map[string][]string{"Authorization": {"Bearer " + s.admin("lobby")}})
	if err != nil {
		t.Fatal(err)
	}
	get := func(identity string) *lk.ParticipantInfo {
		t.Helper()
		info, err := client.GetParticipant(ctx, &lk.RoomParticipantIdentity{Room: "lobby", Identity: identity})
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	got := get("bot")
	if at := time.UnixMilli(got.JoinedAtMs); at.Before(before.Truncate(time.Millisecond)) || at.After(time.Now()) || got.JoinedAt != at.Unix() {
		t.Errorf("joined at %d and %d ms", got.JoinedAt, got.JoinedAtMs)
	}
	want := &lk.ParticipantInfo{
		Sid: joined.Str("session"), Identity: "bot", Name: "Bot", State: lk.ParticipantInfo_ACTIVE, Metadata: "m",
		Attributes: map[string]string{"a": "1"}, JoinedAt: got.JoinedAt, JoinedAtMs: got.JoinedAtMs,
		Version: 5, // a track each since it joined
		Permission: &lk.ParticipantPermission{
			CanSubscribe: true, CanPublish: true, CanPublishData: true, CanUpdateMetadata: true, CanSubscribeMetrics: true,
			CanManageAgentSession: true, Agent: true,
			CanPublishSources: []lk.TrackSource{lk.TrackSource_CAMERA, lk.TrackSource_MICROPHONE, lk.TrackSource_UNKNOWN},
		},
		IsPublisher: true, Kind: lk.ParticipantInfo_AGENT,
		KindDetails: []lk.ParticipantInfo_KindDetail{lk.ParticipantInfo_CLOUD_AGENT, lk.ParticipantInfo_FORWARDED},
		Tracks: []*lk.TrackInfo{
			{Sid: camera.Str("track.sid"), Type: lk.TrackType_VIDEO, Source: lk.TrackSource_CAMERA, Name: "cam", Muted: true},
			{Sid: microphone.Str("track.sid"), Type: lk.TrackType_AUDIO, Source: lk.TrackSource_MICROPHONE},
			{Sid: custom.Str("track.sid"), Type: lk.TrackType_VIDEO, Source: lk.TrackSource_UNKNOWN},
			{Sid: data.Str("track.sid"), Type: lk.TrackType_DATA, Source: lk.TrackSource_UNKNOWN, Name: "telemetry"},
		},
	}
	if !proto.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}

	a := s.call("GetParticipant", s.admin("lobby"), `{"room":"lobby","identity":"bot"}`)
	for path, want := range map[string]any{
		"sid": joined.Str("session"), "state": "ACTIVE", "kind": "AGENT", "joined_at": fmt.Sprint(got.JoinedAt), "joined_at_ms": fmt.Sprint(got.JoinedAtMs),
		"version": 5.0, "is_publisher": true, "disconnect_reason": "UNKNOWN_REASON", "region": "", "permission.hidden": false, "permission.recorder": false,
		"permission.can_publish_data": true,
	} {
		if got := a.get(path); got != want {
			t.Errorf("in JSON %s is %v, want %v", path, got, want)
		}
	}
	if got := fmt.Sprint(a.get("kind_details"), a.get("permission.can_publish_sources")); got != "[CLOUD_AGENT FORWARDED] [CAMERA MICROPHONE UNKNOWN]" {
		t.Errorf("in JSON got %s", got)
	}
	track := a.get("tracks").([]any)[0].(map[string]any)
	if track["type"] != "VIDEO" || track["source"] != "CAMERA" || track["muted"] != true || track["name"] != "cam" || track["sid"] != camera.Str("track.sid") {
		t.Errorf("in JSON the track is %v", track)
	}

	s.Join(s.Token("lobby", "rec", grant(tokens.VideoGrant{RoomJoin: true, Room: "lobby", Recorder: true, Hidden: true, CanPublishSources: []string{"custom_video"}})))
	if p := get("rec").Permission; !p.Recorder || p.Agent || !p.Hidden || p.CanPublish || len(p.CanPublishSources) > 0 {
		t.Errorf("the recorder is told of as %v; LiveKit has no word for one custom source", p)
	}

	// A cut connection may come back; LiveKit has no word for that.
	ada, _ := s.Join(s.Token("lobby", "ada"))
	_ = bot.WS.CloseNow()
	ada.ExpectWhere("bot reconnecting", func(e sessiontest.Event) bool { return e.Str("participant.state") == "reconnecting" })
	if state := get("bot").State; state != lk.ParticipantInfo_ACTIVE {
		t.Errorf("while it is cut it is %v, want ACTIVE", state)
	}
}
