package daily_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"usher/auth"
	"usher/room"
	"usher/room/store"
	"usher/web/daily"
	"usher/web/webhook"
)

func encoded(o room.Occurrence) []webhook.Event {
	return daily.EncodeWebhook(&o, func() string { return "unused" })
}

// §5: each event to the letter, with ids as in the samples, which have the session
// besides: one user may come twice in a millisecond. Who has no user id is called by
// the session (§1.1).
func TestWebhookBodies(t *testing.T) {
	var (
		began   = time.UnixMilli(1708972270500)
		joined  = time.UnixMilli(1708972279961)
		at      = time.UnixMilli(1708972300200)
		summary = room.Summary{ID: "RM_1", Name: "test", Daily: true, Meeting: room.Meeting{ID: "0b4e4c7c-5eaf-46fe-990b-a3752f5684f5", Began: began}}
		ada     = &room.Info{SID: "PA_1", Identity: "ada-1", Name: `Ada "the first"`, JoinedAt: joined, EjectAt: time.UnixMilli(1708972400000),
			Permission: auth.Permission{Rights: auth.SendTracks | auth.ReceiveTracks | auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription | auth.Owner}}
		anyone = &room.Info{SID: "PA_2", Identity: auth.AnonymousPrefix + "x", JoinedAt: joined, Permission: auth.Permission{Rights: auth.SendMicrophone | auth.Hidden}}
	)
	const (
		adaJSON = `"room":"test","user_id":"ada-1","user_name":"Ada \"the first\"","session_id":"PA_1","joined_at":1708972279.961,"will_eject_at":1708972400,` +
			`"owner":true,"permissions":{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":true}`
		anyoneJSON = `"user_name":"","session_id":"PA_2","joined_at":1708972279.961,"will_eject_at":null,` +
			`"owner":false,"permissions":{"hasPresence":false,"canSend":["audio"],"canReceive":{"base":false},"canAdmin":false}`
		meeting = `"meeting_id":"0b4e4c7c-5eaf-46fe-990b-a3752f5684f5","room":"test"`
		end     = `,"event_ts":1708972300.2}`
	)
	for name, c := range map[string]struct {
		o             room.Occurrence
		typ, id, want string
	}{
		"a meeting starts": {room.Occurrence{Occasion: room.MeetingStarted}, "meeting.started", "met-sta-0b4e4c7c-5eaf-46fe-990b-a3752f5684f5-1708972300",
			`{"start_ts":1708972270.5,` + meeting + `}`},
		"a meeting ends": {room.Occurrence{Occasion: room.MeetingEnded}, "meeting.ended", "met-end-0b4e4c7c-5eaf-46fe-990b-a3752f5684f5-1708972300",
			`{"start_ts":1708972270.5,"end_ts":1708972300.2,` + meeting + `}`},
		"an owner joins": {room.Occurrence{Occasion: room.ParticipantEntered, Participant: ada}, "participant.joined", "ptcpt-join-ada-1-PA_1-1708972300200",
			`{` + adaJSON + `}`},
		"an owner leaves": {room.Occurrence{Occasion: room.ParticipantDeparted, Participant: ada, Reason: room.ClientInitiated}, "participant.left", "ptcpt-left-ada-1-PA_1-1708972300200",
			`{` + adaJSON + `,"duration":20.239}`},
		"somebody hidden without identity joins": {room.Occurrence{Occasion: room.ParticipantEntered, Participant: anyone}, "participant.joined", "ptcpt-join-PA_2-1708972300200",
			`{"room":"test","user_id":"PA_2",` + anyoneJSON + `}`},
		"somebody waits": {room.Occurrence{Occasion: room.WaitingEntered, Participant: anyone}, "waiting-participant.joined", "1-w-ptcpt-joined-PA_2",
			`{"room":"test",` + anyoneJSON + `}`},
		"somebody is sent away": {room.Occurrence{Occasion: room.WaitingDeparted, Participant: anyone, Reason: room.ParticipantRemoved}, "waiting-participant.left", "1-w-ptcpt-left-PA_2",
			`{"room":"test",` + anyoneJSON + `,"duration":20.239}`},
		// participant.joined follows.
		"somebody is let in": {o: room.Occurrence{Occasion: room.WaitingDeparted, Participant: anyone}},
		"a room starts":      {o: room.Occurrence{Occasion: room.RoomStarted}},
		"a room ends":        {o: room.Occurrence{Occasion: room.RoomFinished}},
		"a track":            {o: room.Occurrence{Occasion: room.TrackAdded, Participant: ada, Track: &room.TrackInfo{SID: "TR_1"}}},
		"a change":           {o: room.Occurrence{Occasion: room.ParticipantChanged, Participant: ada, Changed: room.ChangedPermission}},
		"a revocation":       {o: room.Occurrence{Occasion: room.TokensRevoked, Revocation: &room.Revocation{}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.At, c.o.Room = at, summary
			got := encoded(c.o)
			if c.want == "" {
				if len(got) > 0 {
					t.Errorf("got %s, want nothing", got[0].Body)
				}
				return
			}
			want := `{"version":"1.0.0","type":"` + c.typ + `","id":"` + c.id + `","payload":` + c.want + end
			if len(got) != 1 || string(got[0].Body) != want || got[0].ID != c.id || got[0].Name != c.typ || got[0].Extra {
				t.Errorf("got  %s\nwant %s", got[0].Body, want)
			}
			c.o.Room.Daily = false
			if got := encoded(c.o); len(got) > 0 {
				t.Errorf("of a room without a Daily part came %s", got[0].Body)
			}
		})
	}
}

// §5: Daily's guide signs JSON.stringify(event), so the bytes are what JavaScript
// would write after it has read them.
func TestWebhookBodiesAreWhatJavaScriptWrites(t *testing.T) {
	who := &room.Info{SID: "PA_1", Identity: "ada", JoinedAt: time.UnixMilli(1700000000000),
		Name: "<a> & \u2028\u2029 \u007f é 😀 \x00\x1f\b\t\n\f\r / \\ \"" + "\xff",
		Permission: auth.Permission{Rights: auth.SendTracks | auth.ReceiveTracks, ReceiveFromIdentity: map[string]auth.Rights{
			"b": auth.ReceiveTracks, "10": 0, "9": auth.ReceiveTracks, "01": 0, "4294967294": 0, "4294967295": 0, "-1": 0, "*": 0, "é<": 0}}}
	o := room.Occurrence{Occasion: room.ParticipantEntered, At: time.UnixMilli(1700000001000), Participant: who,
		Room: room.Summary{ID: "RM_1", Name: "test", Daily: true}}
	body := string(encoded(o)[0].Body)
	for _, want := range []string{
		`"user_name":"<a> & ` + "\u2028\u2029 \u007f é 😀" + ` \u0000\u001f\b\t\n\f\r / \\ \"` + "\ufffd" + `"`,
		`"joined_at":1700000000,`, `"event_ts":1700000001}`, `"é<":`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s\nis not in %s", want, body)
		}
	}
	// Keys that are indexes of an array come first, by their size.
	users := body[strings.Index(body, `"byUserId":{`):]
	last := 0
	for _, key := range []string{"9", "10", "4294967294"} {
		at := strings.Index(users, `"`+key+`":`)
		if at <= last {
			t.Errorf("%s is not in its place: %s", key, users)
		}
		last = at
	}
	for _, key := range []string{"b", "01", "4294967295", "-1", "*"} {
		if strings.Index(users, `"`+key+`":`) < last {
			t.Errorf("%s is before the indexes: %s", key, users)
		}
	}
}

// Whatever people call themselves, an event is JSON that says it.
func FuzzWebhookBody(f *testing.F) {
	f.Add("ada", "Ada", "room")
	f.Add(auth.AnonymousPrefix, "\x00\"\\", "\u2028")
	f.Fuzz(func(t *testing.T, identity, name, roomName string) {
		who := &room.Info{SID: "PA_1", Identity: identity, Name: name,
			Permission: auth.Permission{ReceiveFromIdentity: map[string]auth.Rights{identity: 0, name: auth.ReceiveTracks}}}
		for _, o := range []room.Occasion{room.ParticipantDeparted, room.WaitingEntered, room.MeetingEnded} {
			occurred := room.Occurrence{Occasion: o, At: time.UnixMilli(1700000000000), Room: room.Summary{Name: roomName, Daily: true}}
			if o != room.MeetingEnded {
				occurred.Participant = who
			}
			body := encoded(occurred)[0].Body
			var e struct {
				Payload struct {
					Room string
					Name string `json:"user_name"`
				}
			}
			if err := json.Unmarshal(body, &e); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if !utf8.Valid(body) || e.Payload.Room != strings.ToValidUTF8(roomName, "\ufffd") && utf8.ValidString(roomName) {
				t.Errorf("%q: got %s", roomName, body)
			}
		}
	})
}

// The whole way: people come to a room by Daily's API and tokens, and the backend
// is told, signed, in the order in which it was.
func TestWebhooksOfASession(t *testing.T) {
	b := newBackend(t)
	kept := store.NewMemory()
	d := newDesk(t, kept, nil)
	t.Cleanup(d.stop)
	s := serve(t, options{store: kept,
		room: func(c *room.Config) { c.Observer = d.sender },
		api:  func(c *daily.Config) { c.Webhooks = d.hooks }})
	secret := s.must("POST", "/webhooks", `{"url":"`+b.URL+`","eventTypes":["meeting.started","meeting.ended","participant.joined","participant.left"]}`).Str("hmac")
	s.must("POST", "/rooms", `{"name":"blue"}`)
	_, joined := s.enter("blue", s.token(`{"room_name":"blue","user_id":"ada","user_name":"Ada","is_owner":true}`))
	b.events(2)
	s.must("DELETE", "/rooms/blue", "")
	events := b.events(4)
	want := []string{"meeting.started", "participant.joined", "participant.left", "meeting.ended"}
	var meeting string
	for i, e := range events {
		e.signed(t, secret)
		if e.event() != want[i] {
			t.Errorf("event %d is %s, want %s", i, e.body, want[i])
		}
		var body struct {
			Payload struct {
				Meeting string `json:"meeting_id"`
				Session string `json:"session_id"`
				User    string `json:"user_id"`
				Room    string
				Owner   bool
			}
		}
		if err := json.Unmarshal([]byte(e.body), &body); err != nil {
			t.Fatal(err)
		}
		p := body.Payload
		switch {
		case p.Room != "blue":
			t.Errorf("of another room: %s", e.body)
		case i == 0:
			meeting = p.Meeting
		case i == 3 && (p.Meeting != meeting || meeting == ""):
			t.Errorf("the meeting %s ends as %s", meeting, e.body)
		case i%3 != 0 && (p.Session != sid(joined) || p.User != "ada" || !p.Owner):
			t.Errorf("got %s, want Ada", e.body)
		}
	}
}
