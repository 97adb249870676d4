package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	lk "github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// post makes a call with a body as it stands there.
func (s *site) post(method, roomName, body string) (status int, answer string) {
	s.T.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.HTTP.URL+"/twirp/livekit.RoomService/"+method, strings.NewReader(body))
	if err != nil {
		s.T.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + s.admin(roomName)}, "Content-Type": {"application/json;charset=UTF-8"}}
	res, err := s.HTTP.Client().Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); got != "application/json" { // the SDK compares it whole
		s.T.Errorf("%s: the answer is %s", method, got)
	}
	return res.StatusCode, string(text)
}

// LiveKit's spelling of answers: snake_case, every field there, int64 in quotes,
// enums by name; and of requests: both cases, numbers in quotes or not, enums by
// name or number, unknown fields passed over.
func TestJSON(t *testing.T) {
	s := serve(t)
	ada, bob := s.enter("lobby", "ada"), s.enter("lobby", "bob")
	track, _ := bob.microphone()
	ada.Expect("trackSubscribed")
	s.enter("hall", "cy")
	for _, call := range []struct {
		method, body string
		answer       proto.Message
		has          map[string]any
		effect       func()
	}{
		{"CreateRoom", `{"name":"one","empty_timeout":600,"departure_timeout":"30","max_participants":7,"future":{"a":[1]}}`, new(lk.Room),
			map[string]any{"name": "one", "empty_timeout": 600.0, "departure_timeout": 30.0, "max_participants": 7.0, "metadata": "", "num_participants": 0.0}, nil},
		{"CreateRoom", `{"name":"two","emptyTimeout":"600","departureTimeout":30,"maxParticipants":"7"}`, new(lk.Room),
			map[string]any{"name": "two", "empty_timeout": 600.0, "departure_timeout": 30.0, "max_participants": 7.0}, nil},
		{"ListRooms", `{"names":["one"]}`, new(lk.ListRoomsResponse), map[string]any{"rooms.0.name": "one"}, nil},
		{"ListRooms", `{"names":["none"]}`, new(lk.ListRoomsResponse), nil, nil},
		{"UpdateRoomMetadata", `{"room":"lobby","metadata":"m"}`, new(lk.Room), map[string]any{"metadata": "m", "num_participants": 2.0, "num_publishers": 1.0},
			func() { ada.Expect("roomUpdated") }},
		{"ListParticipants", `{"room":"lobby"}`, new(lk.ListParticipantsResponse), map[string]any{"participants.0.identity": "ada", "participants.0.state": "ACTIVE"}, nil},
		{"GetParticipant", `{"room":"lobby","identity":"bob"}`, new(lk.ParticipantInfo),
			map[string]any{"identity": "bob", "tracks.0.source": "MICROPHONE", "permission.can_publish_data": true, "permission.hidden": false}, nil},
		{"UpdateParticipant", `{"room":"lobby","identity":"bob","permission":{"can_publish":true,"can_subscribe":true,"can_publish_sources":["MICROPHONE"]}}`, new(lk.ParticipantInfo),
			map[string]any{"permission.can_publish_sources.0": "MICROPHONE", "permission.can_publish_data": false}, nil},
		{"UpdateParticipant", `{"room":"lobby","identity":"bob","permission":{"canPublish":true,"canSubscribe":true,"canPublishSources":[2,"CAMERA"],"canPublishData":true}}`, new(lk.ParticipantInfo),
			map[string]any{"permission.can_publish_sources.0": "CAMERA", "permission.can_publish_sources.1": "MICROPHONE"}, nil},
		{"UpdateSubscriptions", `{"room":"lobby","identity":"ada","participant_tracks":[{"participant_sid":"` + bob.sid() + `","track_sids":["` + track + `"]}]}`, new(lk.UpdateSubscriptionsResponse), nil,
			func() { ada.Expect("trackUnsubscribed") }},
		{"UpdateSubscriptions", `{"room":"lobby","identity":"ada","trackSids":["` + track + `"],"subscribe":true}`, new(lk.UpdateSubscriptionsResponse), nil,
			func() { ada.Expect("trackSubscribed") }},
		{"MutePublishedTrack", `{"room":"lobby","identity":"bob","track_sid":"TR_nothing","muted":true}`, new(lk.MuteRoomTrackResponse), map[string]any{"track": nil}, nil},
		{"MutePublishedTrack", `{"room":"lobby","identity":"bob","trackSid":"` + track + `","muted":true}`, new(lk.MuteRoomTrackResponse),
			map[string]any{"track.sid": track, "track.muted": true, "track.type": "AUDIO"}, func() { ada.Expect("trackMuted") }},
		{"SendData", `{"room":"lobby","data":"aGVsbG8=","kind":"LOSSY","destination_identities":["ada"],"topic":"t"}`, new(lk.SendDataResponse), nil, func() {
			if data, topic, reliable := dataOf(t, ada.Expect("data")); data != "hello" || topic != "t" || reliable {
				t.Errorf("ada got %q, %q, %t", data, topic, reliable)
			}
		}},
		{"SendData", `{"room":"lobby","data":"aGVsbG8","kind":0,"destinationSids":["` + ada.sid() + `"],"nonce":"MDEyMzQ1Njc4OWFiY2RlZg=="}`, new(lk.SendDataResponse), nil, func() {
			if data, topic, reliable := dataOf(t, ada.Expect("data")); data != "hello" || topic != "" || !reliable {
				t.Errorf("ada got %q, %q, %t", data, topic, reliable)
			}
		}},
		{"MoveParticipant", `{"room":"lobby","identity":"bob","destination_room":"hall"}`, new(lk.MoveParticipantResponse), nil, func() { bob.movedTo("hall") }},
		{"MoveParticipant", `{"room":"lobby","identity":"ada","destinationRoom":"hall"}`, new(lk.MoveParticipantResponse), nil, func() { ada.movedTo("hall") }},
		{"RemoveParticipant", `{"room":"hall","identity":"bob","revoke_token_ts":"1764000000"}`, new(lk.RemoveParticipantResponse), nil, nil},
		{"RemoveParticipant", `{"room":"hall","identity":"ada","revokeTokenTs":1764000000}`, new(lk.RemoveParticipantResponse), nil, nil},
		{"DeleteRoom", `{"room":"one"}`, new(lk.DeleteRoomResponse), nil, nil},
	} {
		ok := t.Run(call.method, func(t *testing.T) {
			s := &site{s.For(t)}
			var in struct{ Room string }
			_ = json.Unmarshal([]byte(call.body), &in)
			status, text := s.post(call.method, in.Room, call.body)
			var answer map[string]any
			if err := json.Unmarshal([]byte(text), &answer); status != 200 || err != nil {
				t.Fatalf("%s: got %d %s", call.body, status, text)
			}
			spelling(t, "", call.answer.ProtoReflect().Descriptor(), answer)
			for path, want := range call.has {
				if got := at(answer, path); got != want {
					t.Errorf("%s is %v, want %v; %s", path, got, want, text)
				}
			}
		})
		if ok && call.effect != nil {
			call.effect()
		}
	}
}

// spelling fails the test where v is not the JSON of LiveKit for a message.
func spelling(t *testing.T, path string, d protoreflect.MessageDescriptor, v map[string]any) {
	t.Helper()
	rest := make(map[string]bool)
	for k := range v {
		rest[k] = true
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		at := path + "." + string(f.Name())
		value, ok := v[string(f.Name())]
		delete(rest, string(f.Name()))
		if !ok {
			if f.ContainingOneof() == nil {
				t.Errorf("%s is missing", at)
			}
			continue
		}
		values := []any{value}
		if f.IsList() {
			values, ok = value.([]any)
			if !ok {
				t.Errorf("%s is %v, want a list", at, value)
			}
		}
		for _, x := range values {
			switch m, isObject := x.(map[string]any); {
			case f.IsMap():
				if !isObject {
					t.Errorf("%s is %v, want an object", at, x)
				}
			case f.Message() != nil:
				if isObject {
					spelling(t, at, f.Message(), m)
				} else if x != nil {
					t.Errorf("%s is %v, want an object or null", at, x)
				}
			default:
				if got, want := fmt.Sprintf("%T", x), inJSON(f.Kind()); got != want {
					t.Errorf("%s is %v, a %s; want a %s", at, x, got, want)
				}
			}
		}
	}
	for k := range rest {
		t.Errorf("%s.%s is no field of %s", path, k, d.Name())
	}
}

// inJSON is the type that encoding/json reads such a field as.
func inJSON(k protoreflect.Kind) string {
	switch k {
	case protoreflect.BoolKind:
		return "bool"
	case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind,
		protoreflect.StringKind, protoreflect.BytesKind, protoreflect.EnumKind:
		return "string"
	}
	return "float64"
}
