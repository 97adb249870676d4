package livekit_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

// each is the rows of LiveKit's claim tables, with what they become.
func TestClaims(t *testing.T) {
	type grant = auth.Grant
	join := func(g grant) grant { // what most rows have
		g.Identity, g.Join, g.Room = "ada", true, "lab"
		if g.Kind == "" {
			g.Kind = auth.Standard
		}
		return g
	}
	const in = `"sub":"ada","video":{"roomJoin":true,"room":"lab"}`
	for _, test := range []struct {
		name, claims string
		want         grant
	}{
		{"sub is the identity", in, join(grant{})},
		{"jti stands in for it", `"jti":"ada","video":{"roomJoin":true,"room":"lab"}`, join(grant{TokenID: "ada"})},
		{"jti stands in for an empty one", `"sub":"","jti":"ada","video":{"roomJoin":true,"room":"lab"}`, join(grant{TokenID: "ada"})},
		{"sub comes before jti", in + `,"jti":"T1"`, join(grant{TokenID: "T1"})},
		{"identity is not looked at", in + `,"identity":"eve"`, join(grant{})},
		{"name", in + `,"name":"Ada \u00e9"`, join(grant{Name: "Ada é"})},
		{"kind", in + `,"kind":"agent"`, join(grant{Kind: auth.Agent})},
		{"kind ingress", in + `,"kind":"ingress"`, join(grant{Kind: auth.Ingress})},
		{"kind egress", in + `,"kind":"egress"`, join(grant{Kind: auth.Egress})},
		{"kind sip", in + `,"kind":"sip"`, join(grant{Kind: auth.SIP})},
		{"kind connector", in + `,"kind":"connector"`, join(grant{Kind: auth.Connector})},
		{"kind bridge", in + `,"kind":"bridge"`, join(grant{Kind: auth.Bridge})},
		{"kind standard", in + `,"kind":"standard"`, join(grant{})},
		{"kind unknown", in + `,"kind":"robot"`, join(grant{})},
		{"kind in capitals", in + `,"kind":"AGENT"`, join(grant{Kind: auth.Agent})},
		{"kind in video", `"sub":"ada","video":{"roomJoin":true,"room":"lab","kind":"egress"}`, join(grant{Kind: auth.Egress})},
		{"kind at the top comes before that in video", `"sub":"ada","kind":"sip","video":{"roomJoin":true,"room":"lab","kind":"egress"}`, join(grant{Kind: auth.SIP})},
		{"kind unknown at the top does not fall back", `"sub":"ada","kind":"robot","video":{"roomJoin":true,"room":"lab","kind":"egress"}`, join(grant{})},
		{"kindDetails", in + `,"kindDetails":["cloud_agent","FORWARDED","new_thing","simulation"]`,
			join(grant{KindDetails: []string{"cloud_agent", "forwarded", "simulation"}})},
		{"metadata", in + `,"metadata":"{\"a\":1}"`, join(grant{Metadata: `{"a":1}`})},
		{"attributes", in + `,"attributes":{"a":"1","b":""}`, join(grant{Attributes: map[string]string{"a": "1", "b": ""}})},

		{"no video: no right to be anywhere", `"sub":"ada"`, grant{Identity: "ada", Kind: auth.Standard}},
		{"video null", `"sub":"ada","video":null`, grant{Identity: "ada", Kind: auth.Standard}},
		{"no roomJoin", `"sub":"ada","video":{"room":"lab"}`, grant{Identity: "ada", Kind: auth.Standard, Room: "lab"}},
		{"roomJoin false", `"sub":"ada","video":{"roomJoin":false,"room":"lab"}`, grant{Identity: "ada", Kind: auth.Standard, Room: "lab"}},
		{"no room", `"sub":"ada","video":{"roomJoin":true}`, grant{Identity: "ada", Kind: auth.Standard, Join: true}},
		{"a server API's caller needs no identity", `"video":{"roomCreate":true,"roomList":true,"roomAdmin":true,"room":"lab"}`,
			grant{Kind: auth.Standard, Room: "lab", CreateRoom: true, ListRooms: true, RoomAdmin: true}},
		{"recorder", `"sub":"ada","video":{"roomJoin":true,"room":"lab","recorder":true}`, join(grant{Dependent: true})},
		{"agent", `"sub":"ada","video":{"roomJoin":true,"room":"lab","agent":true}`, join(grant{Dependent: true})},
		{"without effect here", in + `,"sip":{"admin":true,"call":true},"agent":{"admin":true},"inference":{"perform":true},` +
			`"observability":{"write":true},"roomPreset":"p","sha256":"x","agentEndpoint":{"call":true},"aud":["x"]`, join(grant{})},
		{"without effect in video", `"sub":"ada","video":{"roomJoin":true,"room":"lab","roomRecord":true,"ingressAdmin":true,"new":[1]}`, join(grant{})},
		{"names in another case", `"Sub":"ada","VIDEO":{"roomjoin":true,"ROOM":"lab","roomadmin":true}`, join(grant{RoomAdmin: true})},

		{"roomConfig", in + `,"roomConfig":{"name":"n","emptyTimeout":30,"departureTimeout":5,"maxParticipants":4,"metadata":"m","agents":[{"agentName":"x"}]}`,
			join(grant{RoomConfig: auth.RoomConfig{EmptyTimeout: 30 * time.Second, DepartureTimeout: 5 * time.Second, MaxParticipants: 4, Metadata: "m"}})},
		{"roomConfig, protobuf's other spellings", in + `,"roomConfig":{"empty_timeout":"30","departure_timeout":5.0,"max_participants":"4e0"}`,
			join(grant{RoomConfig: auth.RoomConfig{EmptyTimeout: 30 * time.Second, DepartureTimeout: 5 * time.Second, MaxParticipants: 4}})},
		{"roomConfig, unset", in + `,"roomConfig":{"emptyTimeout":null,"metadata":null}`, join(grant{})},
		{"roomConfig, the most", in + `,"roomConfig":{"maxParticipants":4294967295}`, join(grant{RoomConfig: auth.RoomConfig{MaxParticipants: 4294967295}})},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, err := verify(t, test.claims)
			if err != nil {
				t.Fatal(err)
			}
			got := *g
			if len(got.Base) != 1 || got.Base[0].Layer != "token" {
				t.Errorf("got the layers %+v", got.Base)
			}
			got.Format, got.Project, got.KeyID, got.TokenHash = nil, "", "", auth.TokenHash{}
			got.Issued, got.Expires, got.Base, got.Claims = time.Time{}, time.Time{}, nil, nil
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestRefusedClaims(t *testing.T) {
	for _, test := range []struct {
		name, claims string
		want         error
	}{
		{"no identity", `"video":{"roomJoin":true,"room":"lab"}`, auth.ErrNoIdentity},
		{"empty identity", `"sub":"","jti":"","video":{"roomJoin":true,"room":"lab"}`, auth.ErrNoIdentity},
		{"the server's own identities", `"sub":"anon:x","video":{"roomJoin":true,"room":"lab"}`, auth.ErrMalformed},
		{"the server's own identities, by jti", `"jti":"anon:x","video":{"roomJoin":true,"room":"lab"}`, auth.ErrMalformed},
		{"the server's own identities, at a server API", `"sub":"anon:","video":{"roomAdmin":true,"room":"lab"}`, auth.ErrMalformed},
		{"a claim twice", `"sub":"ada","name":"x","NAME":"y"`, auth.ErrMalformed},
		{"a flag twice", `"sub":"ada","video":{"canPublish":false,"canpublish":true}`, auth.ErrMalformed},
		{"roomConfig twice", `"sub":"ada","roomConfig":{"emptyTimeout":1,"empty_timeout":1}`, auth.ErrMalformed},
	} {
		if _, err := verify(t, test.claims); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

func TestWrongTypesAreRefused(t *testing.T) {
	wrong := map[string][]string{ // a list of values that are not of the type
		"text": {`7`, `true`, `[]`, `{}`},
		"flag": {`"true"`, `1`, `[]`, `{}`},
		"list": {`"x"`, `7`, `{}`, `[7]`, `[["x"]]`},
		"map":  {`"x"`, `7`, `[]`, `{"a":7}`, `{"a":{}}`},
		"sub":  {`"x"`, `7`, `true`, `[]`},
		"uint": {`"x"`, `-1`, `1.5`, `4294967296`, `true`, `[]`, `{}`, `""`},
	}
	for kind, fields := range map[string]string{
		"text": "sub jti name kind metadata identity roomPreset sha256 video.room video.destinationRoom video.kind roomConfig.metadata",
		"flag": "video.roomJoin video.roomAdmin video.roomCreate video.roomList video.roomRecord video.ingressAdmin video.hidden " +
			"video.recorder video.agent video.canPublish video.canSubscribe video.canPublishData video.canUpdateOwnMetadata " +
			"video.canSubscribeMetrics video.canManageAgentSession sip.admin sip.call agent.admin agent.simulationAdmin " +
			"agent.databaseAdmin inference.perform observability.write",
		"list": "kindDetails video.canPublishSources",
		"map":  "attributes",
		"sub":  "video sip agent inference observability roomConfig",
		"uint": "roomConfig.emptyTimeout roomConfig.departure_timeout roomConfig.maxParticipants",
	} {
		for field := range strings.FieldsSeq(fields) {
			for _, value := range wrong[kind] {
				claims := `"` + field + `":` + value
				if outer, inner, ok := strings.Cut(field, "."); ok {
					claims = `"` + outer + `":{"` + inner + `":` + value + `}`
				}
				_, err := verify(t, claims)
				if !errors.Is(err, auth.ErrMalformed) {
					t.Errorf("%s: got %v", claims, err)
				}
			}
		}
	}
}

const (
	all       = "camera microphone screen screenAudio customVideo customAudio"
	dataWords = "data presence"
)

func TestVideoGrant(t *testing.T) {
	for _, test := range []struct{ video, want string }{
		{`{}`, "receive " + all + " " + dataWords},
		{`{"canPublish":null,"canSubscribe":null,"canPublishData":null,"canPublishSources":null}`, "receive " + all + " " + dataWords},
		{`{"canPublish":true,"canSubscribe":true,"canPublishData":true}`, "receive " + all + " " + dataWords},
		{`{"canSubscribe":false}`, all + " " + dataWords},

		// canPublishData follows canPublish when it is unset, not canPublishSources.
		{`{"canPublish":false}`, "receive"},
		{`{"canPublish":false,"canPublishData":true}`, "receive " + dataWords},
		{`{"canPublish":true,"canPublishData":false}`, "receive " + all},
		{`{"canPublishData":false}`, "receive " + all},
		{`{"canPublishSources":["camera"]}`, "receive camera " + dataWords},

		{`{"canPublishSources":[]}`, "receive " + all + " " + dataWords},
		{`{"canPublishSources":["camera","microphone"]}`, "receive camera microphone " + dataWords},
		{`{"canPublishSources":["screen_share"]}`, "receive screen " + dataWords},
		{`{"canPublishSources":["screen_share_audio","screen_share_audio"]}`, "receive screenAudio " + dataWords},
		{`{"canPublishSources":["unknown"]}`, "receive customVideo customAudio " + dataWords},
		{`{"canPublishSources":["custom_video"]}`, "receive customVideo " + dataWords},
		{`{"canPublishSources":["custom_audio","camera"]}`, "receive camera customAudio " + dataWords},
		{`{"canPublishSources":["bogus"]}`, "receive " + dataWords},
		{`{"canPublishSources":["bogus","camera"]}`, "receive camera " + dataWords},
		{`{"canPublishSources":["CAMERA"]}`, "receive " + dataWords},
		{`{"canPublishSources":["camera "]}`, "receive " + dataWords},
		{`{"canPublishSources":[""]}`, "receive " + dataWords},
		{`{"canPublishSources":[null]}`, "receive " + dataWords},
		{`{"canPublish":false,"canPublishSources":["camera"]}`, "receive"},

		{`{"canUpdateOwnMetadata":true}`, "receive " + all + " " + dataWords + " metadata"},
		{`{"canUpdateOwnMetadata":false}`, "receive " + all + " " + dataWords},
		{`{"canSubscribeMetrics":true}`, "receive " + all + " " + dataWords + " metrics"},
		{`{"canManageAgentSession":true}`, "receive " + all + " " + dataWords + " agents"},
		{`{"hidden":true}`, "receive " + all + " " + dataWords + " hidden"},
		{`{"roomAdmin":true}`, "receive " + all + " " + dataWords + " moderate streaming transcription"},
		{`{"roomAdmin":true,"canPublish":false,"canSubscribe":false}`, "moderate streaming transcription"},
		{`{"recorder":true,"agent":true}`, "receive " + all + " " + dataWords},
		{`{"canpublish":false,"CANSUBSCRIBE":false}`, ""},
		{`null`, ""},
	} {
		g, err := verify(t, `"sub":"ada","video":`+test.video)
		if err != nil {
			t.Errorf("%s: %v", test.video, err)
			continue
		}
		if got := strings.Join(named(auth.Resolve(g.Base...).Rights), " "); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.video, got, test.want)
		}
		say := g.Base[0]
		if say.Allow&say.Deny != 0 || say.Allow|say.Deny != auth.AllRights&^foreign {
			t.Errorf("%s: the token allows %v and denies %v", test.video, named(say.Allow), named(say.Deny))
		}
	}
}

func TestFormat(t *testing.T) {
	var f auth.Format = livekit.Format{}
	if f.Name() != "livekit" || !f.RequireExpiry() {
		t.Errorf("got %q, %v", f.Name(), f.RequireExpiry())
	}
}

func TestUnused(t *testing.T) {
	for _, test := range []struct{ claims, want string }{
		{`{"iss":"A","sub":"a","jti":"j","exp":1,"nbf":1,"iat":1,"name":"n","kind":"k","kindDetails":[],"metadata":"m","attributes":{},"usher":{}}`, ""},
		{`{"sip":{"call":true},"agent":{},"inference":{},"observability":{},"roomPreset":"p","sha256":"s","aud":"a","identity":"x"}`,
			"sip agent inference observability roomPreset sha256 aud identity"},
		{`{"video":{"roomJoin":true,"Room":"lab","canPublish":true,"roomRecord":true,"ingressAdmin":true,"destinationRoom":"x","canSubscribeMetrics":true,"new":1}}`,
			"video.roomRecord video.ingressAdmin video.canSubscribeMetrics video.new"},
		{`{"roomConfig":{"emptyTimeout":1,"max_participants":2,"egress":{},"agents":[]}}`, "roomConfig.egress roomConfig.agents"},
		{`{"VIDEO":{"ROOM":"lab","x":1},"role":"host"}`, "VIDEO.x role"},
		{`{"video":7}`, ""},
		{`[]`, ""},
		{`{`, ""},
	} {
		if got := strings.Join(livekit.Unused([]byte(test.claims)), " "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.claims, got, test.want)
		}
	}
}
