package livekit_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protojson"

	"usher/auth"
	"usher/room"
	"usher/web/livekit"
)

// TestWebhooksOfMeetings has no event for what only Daily has words for.
func TestWebhooksOfMeetings(t *testing.T) {
	who := &room.Info{SID: "PA_1", Identity: "ada"}
	for name, o := range map[string]room.Occurrence{
		"a meeting starts":   {Occasion: room.MeetingStarted},
		"a meeting ends":     {Occasion: room.MeetingEnded},
		"somebody waits":     {Occasion: room.WaitingEntered, Participant: who},
		"somebody is let in": {Occasion: room.WaitingDeparted, Participant: who},
		"another time limit": {Occasion: room.ParticipantChanged, Participant: who, Changed: room.ChangedStay},
	} {
		o.At, o.Room = time.Unix(1700000100, 0), room.Summary{ID: "RM_1", Name: "blue", Daily: true, Meeting: room.Meeting{ID: "m"}}
		if got := livekit.EncodeWebhook(&o, func() string { return "EV_1" }); len(got) > 0 {
			t.Errorf("%s: got %s", name, got[0].Body)
		}
	}
}

// TestWebhookBodies compares events with what LiveKit's notifier writes: the
// JSON of livekit.WebhookEvent, camel case, without defaults, times as strings.
func TestWebhookBodies(t *testing.T) {
	var (
		at      = time.Unix(1700000100, 0)
		created = time.UnixMilli(1700000000123)
		summary = room.Summary{ID: "RM_1", Name: "blue", Metadata: "m", NumParticipants: 2, NumPublishers: 1, MaxParticipants: 9,
			EmptyTimeout: 5 * time.Minute, DepartureTimeout: 20 * time.Second, CreatedAt: created}
		track = &room.TrackInfo{SID: "TR_1", Kind: room.Video, Source: auth.Camera, Name: "cam", Codec: []byte("x")}
		ada   = &room.Info{SID: "PA_1", Identity: "ada", Name: "Ada", Kind: auth.Standard, State: room.Active, Metadata: "a&b",
			Attributes: map[string]string{"k": "v"}, Permission: auth.Permission{Rights: auth.SendTracks | auth.ReceiveTracks},
			JoinedAt: created, Version: 3, Tracks: []*room.TrackInfo{track}}
		revocation = &room.Revocation{ID: "RV_1", Project: "acme", Room: "blue", Identity: "ada", Until: at, Made: at, By: "APIacme", Reason: "spam"}
	)
	const (
		roomJSON = `"room":{"sid":"RM_1","name":"blue","emptyTimeout":300,"maxParticipants":9,"creationTime":"1700000000","metadata":"m",` +
			`"numParticipants":2,"numPublishers":1,"departureTimeout":20,"creationTimeMs":"1700000000123"}`
		adaJSON = `"participant":{"sid":"PA_1","identity":"ada","state":"ACTIVE","tracks":[` + trackJSON + `],"metadata":"a&b","joinedAt":"1700000000",` +
			`"name":"Ada","version":3,"permission":{"canSubscribe":true,"canPublish":true},"isPublisher":true,"attributes":{"k":"v"},"joinedAtMs":"1700000000123"}`
		end   = `"id":"EV_1","createdAt":"1700000100"`
		brief = `"room":{"sid":"RM_1","name":"blue"}`
	)
	for name, c := range map[string]struct {
		o     room.Occurrence
		want  []string
		extra bool
	}{
		"room_started":  {o: room.Occurrence{Occasion: room.RoomStarted}, want: []string{`{"event":"room_started",` + roomJSON + `,` + end + `}`}},
		"room_finished": {o: room.Occurrence{Occasion: room.RoomFinished}, want: []string{`{"event":"room_finished",` + roomJSON + `,` + end + `}`}},
		"room_finished by a stop": {o: room.Occurrence{Occasion: room.RoomFinished, Reason: room.ServerShutdown},
			want: []string{`{"event":"room_finished",` + roomJSON + `,` + end + `,"roomEndReason":"ROOM_END_SERVER_SHUTDOWN"}`}},
		"participant_joined": {o: room.Occurrence{Occasion: room.ParticipantEntered, Participant: ada},
			want: []string{`{"event":"participant_joined",` + roomJSON + `,` + adaJSON + `,` + end + `}`}},
		"participant_left": {o: room.Occurrence{Occasion: room.ParticipantDeparted, Participant: ada, Reason: room.ParticipantRemoved},
			want: []string{`{"event":"participant_left",` + roomJSON + `,` +
				strings.Replace(adaJSON[:len(adaJSON)-1], `"ACTIVE"`, `"DISCONNECTED"`, 1) + `,"disconnectReason":"PARTICIPANT_REMOVED"},` + end + `}`}},
		"track_published": {o: room.Occurrence{Occasion: room.TrackAdded, Participant: ada, Track: track},
			want: []string{`{"event":"track_published",` + brief + `,"participant":{"sid":"PA_1","identity":"ada"},"track":` + trackJSON + `,` + end + `}`}},
		"track_unpublished": {o: room.Occurrence{Occasion: room.TrackEnded, Participant: ada, Track: track},
			want: []string{`{"event":"track_unpublished",` + brief + `,"participant":{"sid":"PA_1","identity":"ada"},"track":` + trackJSON + `,` + end + `}`}},

		"a state": {o: room.Occurrence{Occasion: room.ParticipantChanged, Participant: ada, Changed: room.ChangedState}},
		"a permission": {o: room.Occurrence{Occasion: room.ParticipantChanged, Participant: ada, Changed: room.ChangedPermission | room.ChangedState}, extra: true,
			want: []string{`{"event":"participant_permission_changed",` + roomJSON + `,` + adaJSON + `,` + end + `,"changed":["permission"]}`}},
		"all": {o: room.Occurrence{Occasion: room.ParticipantChanged, Participant: ada, Changed: 0xff}, extra: true, want: []string{
			`{"event":"participant_permission_changed",` + roomJSON + `,` + adaJSON + `,` + end + `,"changed":["permission"]}`,
			`{"event":"participant_updated",` + roomJSON + `,` + adaJSON + `,` + strings.Replace(end, "EV_1", "EV_2", 1) + `,"changed":["name","metadata","attributes"]}`}},
		"a room's metadata": {o: room.Occurrence{Occasion: room.RoomChanged}, extra: true,
			want: []string{`{"event":"room_metadata_changed",` + roomJSON + `,` + end + `}`}},
		"tokens": {o: room.Occurrence{Occasion: room.TokensRevoked, Revocation: revocation}, extra: true,
			want: []string{`{"event":"tokens_revoked",` + brief + `,` + end + `,"revocation":{"id":"RV_1","room":"blue","identity":"ada",` +
				`"until":"2023-11-14T22:15:00Z","made":"2023-11-14T22:15:00Z","by":"APIacme","reason":"spam"}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.At, c.o.Project, c.o.Room = at, "acme", summary
			n := 0
			got := livekit.EncodeWebhook(&c.o, func() string { n++; return "EV_" + strconv.Itoa(n) })
			if len(got) != len(c.want) {
				t.Fatalf("%d events, want %d", len(got), len(c.want))
			}
			names, extras := livekit.WebhookEvents()
			if c.extra {
				names = extras
			}
			for i, e := range got {
				if !sameJSON(t, e.Body, []byte(c.want[i])) {
					t.Errorf("got\n\t%s\nwant\n\t%s", e.Body, c.want[i])
				}
				if e.ID != "EV_"+strconv.Itoa(i+1) || e.Extra != c.extra || !slices.Contains(names, e.Name) {
					t.Errorf("event %d is %s, named %s, extra %v", i, e.ID, e.Name, e.Extra)
				}
				// As LiveKit's receivers read it, in Go and in Node.
				var read lk.WebhookEvent
				if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(e.Body, &read); err != nil || read.Event != e.Name {
					t.Errorf("read event %q: %v", read.Event, err)
				}
				if !c.extra { // LiveKit has a field for everything in it
					if err := protojson.Unmarshal(e.Body, &read); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

const trackJSON = `{"sid":"TR_1","type":"VIDEO","name":"cam","source":"CAMERA"}`

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var values [2]any
	for i, raw := range [][]byte{a, b} {
		if err := json.Unmarshal(raw, &values[i]); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
	}
	x, _ := json.Marshal(values[0])
	y, _ := json.Marshal(values[1])
	return bytes.Equal(x, y)
}

// TestWebhookOfRevocationOutsideRooms has none of the room's fields.
func TestWebhookOfRevocationOutsideRooms(t *testing.T) {
	o := &room.Occurrence{Occasion: room.TokensRevoked, At: time.Unix(5, 0), Project: "acme", Revocation: &room.Revocation{ID: "RV_1", KeyID: "APIold"}}
	got := livekit.EncodeWebhook(o, func() string { return "EV_1" })
	const want = `{"event":"tokens_revoked","id":"EV_1","createdAt":"5","revocation":{"id":"RV_1","keyId":"APIold"}}`
	if len(got) != 1 || string(got[0].Body) != want {
		t.Errorf("got %s, want %s", got[0].Body, want)
	}
}

// TestWebhookSurvivesAnyText encodes what should not have come this far.
func TestWebhookSurvivesAnyText(t *testing.T) {
	o := &room.Occurrence{Occasion: room.RoomStarted, At: time.Unix(5, 0), Room: room.Summary{ID: "RM_1", Name: "\xff"}}
	got := livekit.EncodeWebhook(o, func() string { return "EV_1" })
	const want = `{"event":"room_started","id":"EV_1","createdAt":"5"}`
	if len(got) != 1 || string(got[0].Body) != want {
		t.Errorf("got %s, want %s", got[0].Body, want)
	}
}
