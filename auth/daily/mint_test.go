package daily_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
)

var issued = time.Unix(1548722207, 0)

func mint(t testing.TB, properties string) string {
	t.Helper()
	token, err := daily.Mint(acme(), json.RawMessage(properties), issued)
	if err != nil {
		t.Fatalf("%s: %v", properties, err)
	}
	return token
}

// §1.4: the sample of Daily's documentation, byte for byte.
func TestMintSample(t *testing.T) {
	token := mint(t, `{"room_name":"room-0253"}`)
	if got, want := payloadOf(t, token), `{"r":"room-0253","d":"`+domainID+`","iat":1548722207}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := signWith(t, tokenSecret, payloadOf(t, token)); token != want {
		t.Errorf("got %s, want %s", token, want)
	}
	if !strings.HasPrefix(token, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.") {
		t.Errorf("the header of %s", token)
	}
}

// §1.1, §1.3, §1.4, §1.5: every property, as a claim and back.
func TestEveryProperty(t *testing.T) {
	for _, test := range []struct{ asked, claim, told string }{
		{`"room_name":"lab"`, `"r":"lab"`, ``},
		{`"exp":9999999999`, `"exp":9999999999`, ``},
		{`"exp":9999999999.75`, `"exp":9999999999`, `"exp":9999999999`},
		{`"nbf":7`, `"nbf":7`, ``},
		{`"is_owner":true`, `"o":true`, ``},
		{`"is_owner":false`, `"o":false`, ``},
		{`"user_name":"Ada \"<é>\" L."`, `"u":"Ada \"<é>\" L."`, ``},
		{`"user_id":"` + strings.Repeat("é", 36) + `"`, `"ud":"` + strings.Repeat("é", 36) + `"`, ``},
		{`"knocking":true`, `"k":true`, ``},
		{`"eject_at_token_exp":true`, `"ejt":true`, ``},
		{`"eject_after_elapsed":90`, `"eje":90`, ``},
		{`"eject_after_elapsed":9e1`, `"eje":90`, `"eject_after_elapsed":90`},
		{`"enable_screenshare":false`, `"ss":false`, ``},
		{`"start_video_off":true`, `"vo":true`, ``},
		{`"start_audio_off":true`, `"ao":true`, ``},
		{`"enable_recording":"cloud"`, `"er":"cloud"`, ``},
		{`"enable_recording":["cloud", "raw-tracks"]`, `"er":["cloud","raw-tracks"]`, `"enable_recording":["cloud","raw-tracks"]`},
		{`"start_cloud_recording":true`, `"sr":true`, ``},
		{`"start_cloud_recording_opts":{ "layout" : {"preset":"x"} }`, `"sro":{"layout":{"preset":"x"}}`, `"start_cloud_recording_opts":{"layout":{"preset":"x"}}`},
		{`"auto_start_transcription":true`, `"ast":true`, ``},
		{`"enable_recording_ui":false`, `"erui":false`, ``},
		{`"enable_prejoin_ui":true`, `"enable_prejoin_ui":true`, ``},
		{`"enable_live_captions_ui":true`, `"enable_live_captions_ui":true`, ``},
		{`"enable_terse_logging":true`, `"enable_terse_logging":true`, ``},
		{`"close_tab_on_exit":true`, `"ctoe":true`, ``},
		{`"redirect_on_meeting_exit":"https://x"`, `"rome":"https://x"`, ``},
		{`"intercom_join_alert":true`, `"ij":true`, ``},
		{`"meeting_join_hook":"https://y"`, `"mjh":"https://y"`, ``},
		{`"lang":"pt-BR"`, `"uil":"pt-BR"`, ``},
		{`"permissions":{"hasPresence":false,"canSend":["video","screenAudio","customAudio"],"canAdmin":["participants","transcription"]}`,
			`"p":{"hp":false,"cs":"v,sa,ca","ca":"p,t"}`, ``},
		{`"permissions":{"canSend":[],"canAdmin":true}`, `"p":{"cs":"","ca":true}`, `"permissions":{"canSend":[],"canAdmin":true}`},
		{`"permissions":{"canReceive":{"base":` + media("true", "false") + `,"byUserId":{"p":true,"*":{"video":false}},"byParticipantId":{"u":{"customAudio":{"cv":true,"*":false}}}}}`,
			`"p":{"cr":{"b":{"v":true,"a":true,"sv":true,"sa":true,"cv":{"*":false},"ca":{"*":false}},"u":{"p":true,"*":{"v":false}},"p":{"u":{"ca":{"cv":true,"*":false}}}}}`, ``},
		// Nothing said.
		{`"user_id":""`, ``, `-`}, {`"user_name":null`, ``, `-`}, {`"room_name":null`, ``, `-`},
	} {
		token := mint(t, `{`+test.asked+`}`)
		want := map[string]string{}
		if test.claim != "" {
			for name, value := range members(t, "{"+test.claim+"}") {
				want[name] = string(value)
			}
		}
		got := members(t, payloadOf(t, token))
		for name, value := range got {
			if name != "d" && name != "iat" && want[name] != string(value) {
				t.Errorf("%s: the claims are %s, want %s", test.asked, payloadOf(t, token), test.claim)
			}
		}
		if len(got) != len(want)+2 {
			t.Errorf("%s: the claims are %s, want %s", test.asked, payloadOf(t, token), test.claim)
		}
		g, err := newHouse(t).VerifyEarly(token)
		if err != nil {
			t.Errorf("%s is refused: %v", test.asked, err)
			continue
		}
		echo := test.told
		switch echo {
		case "":
			echo = test.asked
		case "-":
			echo = ""
		}
		properties, err := daily.Properties(g)
		if err != nil || string(properties) != "{"+echo+"}" {
			t.Errorf("%s is told as %s, %v", test.asked, properties, err)
		}
	}
	if short, ok := daily.ShortOf("user_id"); short != "ud" || !ok {
		t.Errorf("user_id is %q in a token", short)
	}
	if _, ok := daily.ShortOf("ud"); ok {
		t.Error("a short name is a property")
	}
}

// §1.4: POST /meeting-tokens without a body is a token for everything.
func TestMintNothing(t *testing.T) {
	for _, properties := range []string{``, ` `, `null`, `{}`} {
		if got, want := payloadOf(t, mint(t, properties)), `{"d":"`+domainID+`","iat":1548722207}`; got != want {
			t.Errorf("%q: got %s", properties, got)
		}
	}
}

// §1.4: what is refused, in Daily's words where they are known.
func TestMintRefuses(t *testing.T) {
	for _, test := range []struct{ asked, want string }{
		{`{"exp":1600000000}`, `exp was '1600000000', which is in the past rather than in the future`},
		{`{"exp":0}`, `exp was '0', which is in the past rather than in the future`},
		{`{"exp":"tomorrow"}`, `exp was 'tomorrow' but should be a number of seconds since the unix epoch`},
		{`{"exp":"9999999999"}`, `exp was '9999999999' but should be a number of seconds since the unix epoch`},
		{`{"exp":{}}`, `exp was '{}' but should be a number of seconds since the unix epoch`},
		{`{"exp":-1}`, `exp was '-1' but should be a number of seconds since the unix epoch`},
		{`{"exp":1800000000000}`, `exp was '1800000000000' but should be a number of seconds since the unix epoch`}, // milliseconds
		{`{"nbf":1800000000000}`, `nbf was '1800000000000' but should be a number of seconds since the unix epoch`},
		{`{"exp":1e300}`, `exp was '1e300' but should be a number of seconds since the unix epoch`},
		{`{"nbf":true}`, `nbf was 'true' but should be a number of seconds since the unix epoch`},
		{`{"user_id":"` + strings.Repeat("é", 37) + `"}`, `user_id was '`},
		{`{"user_id":7}`, `user_id was '7' but should be a string`},
		{`{"user_id":"anon:x"}`, `user_id was 'anon:x', but those that begin with anon: are the server's own`},
		{`{"user_name":["x"]}`, `user_name was '["x"]' but should be a string`},
		{`{"room_name":""}`, `room_name was '' but should be the name of a room`},
		{`{"room_name":7}`, `room_name was '7' but should be a string`},
		{`{"is_owner":"true"}`, `is_owner was 'true' but should be a boolean`},
		{`{"is_owner":1}`, `is_owner was '1' but should be a boolean`},
		{`{"eject_after_elapsed":"5"}`, `eject_after_elapsed was '5' but should be a number of seconds`},
		{`{"eject_after_elapsed":-5}`, `eject_after_elapsed was '-5' but should be a number of seconds`},
		{`{"lang":"xx"}`, `lang was 'xx' but should be one of da, de, en`},
		{`{"lang":1}`, `lang was '1' but should be one of`},
		{`{"enable_recording":true}`, `enable_recording was 'true' but should be one of cloud, cloud-audio-only, local, raw-tracks`},
		{`{"enable_recording":"tape"}`, `enable_recording was 'tape' but`},
		{`{"enable_recording":["cloud","tape"]}`, `enable_recording was '["cloud","tape"]' but`},
		{`{"enable_recording":[7]}`, `enable_recording was '[7]' but`},
		{`{"start_cloud_recording_opts":[]}`, `start_cloud_recording_opts was '[]' but should be an object`},
		{`{"permissions":{"canFly":true}}`, `permissions has 'canFly', which is not one of`},
		{`{"permissions":[]}`, `permissions should be an object`},
		{`{"user_nmae":"x"}`, `'user_nmae' is not a property of a meeting token`},
		{`{"r":"lab"}`, `'r' is not a property of a meeting token`},
		{`{"ROOM_NAME":"lab"}`, `'ROOM_NAME' is not a property of a meeting token`},
		{`{"user_name":"a","user_name":"b"}`, `properties has a name that comes twice`},
		{`[]`, `properties should be an object`},
		{`"x"`, `properties should be an object`},
		{`{"a":`, `properties should be an object`},
	} {
		token, err := daily.Mint(acme(), json.RawMessage(test.asked), issued)
		var invalid *daily.InvalidError
		if token != "" || !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.asked, err, test.want)
		}
	}
	if _, err := daily.Mint(daily.Domain{ID: domainID}, nil, issued); err == nil {
		t.Error("signed with no secret")
	}
}

// §1.5: a token that has been refreshed is told with what it is good for.
func TestPropertiesOfRefreshed(t *testing.T) {
	h := newHouse(t)
	g := h.grant(t, `,"ud":"ada","iat":7,"jti":"x"`)
	again := h.refresh(t, g, sessionOf(g, room(t, "")))
	properties, err := daily.Properties(again)
	if err != nil {
		t.Fatal(err)
	}
	got := members(t, string(properties))
	if string(got["room_name"]) != `"lab"` || string(got["user_id"]) != `"ada"` || got["exp"] == nil || len(got) != 3 {
		t.Errorf("got %s", properties)
	}
	if g.Origin != nil || again.Origin == nil || auth.Grant(*again).TokenID != "x" {
		t.Errorf("got %+v", again)
	}
}
