package daily_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// documented are the properties of §2.3, each with a value that is not its default
// and, when it has one, its default.
var documented = map[string][2]string{
	"nbf": {"1700000000"}, "exp": {"4000000000"}, "max_participants": {"7", "200"},
	"eject_at_room_exp": {"true", "false"}, "eject_after_elapsed": {"60"}, "enable_knocking": {"true", "false"},
	"enforce_unique_user_ids": {"true", "false"}, "enable_hidden_participants": {"true", "false"},
	"permissions":        {`{"canSend":["video","audio"],"hasPresence":true}`},
	"enable_screenshare": {"false", "true"}, "start_video_off": {"true", "false"}, "start_audio_off": {"true", "false"},
	"owner_only_broadcast": {"true", "false"}, "enable_recording": {`"cloud"`, `"<not set>"`}, "audio_only": {"true", "false"},
	"enable_people_ui": {"false"}, "enable_cpu_warning_notifications": {"true"}, "enable_pip_ui": {"true"},
	"enable_emoji_reactions": {"true"}, "enable_hand_raising": {"true"}, "enable_prejoin_ui": {"true"},
	"enable_live_captions_ui": {"true"}, "enable_network_ui": {"true"}, "enable_noise_cancellation_ui": {"true"},
	"enable_breakout_rooms": {"true"}, "enable_video_processing_ui": {"false", "true"}, "enable_chat": {"true", "false"},
	"enable_shared_chat_history": {"false", "true"}, "enable_advanced_chat": {"true", "false"}, "lang": {`"de"`, `"en"`},
	"enable_mesh_sfu": {"true"}, "sfu_switchover": {"2.5", "0.5"}, "enable_adaptive_simulcast": {"false", "true"},
	"enable_multiparty_adaptive_simulcast": {"true", "false"}, "experimental_optimize_large_calls": {"true"},
	"geo": {`"eu-central-1"`}, "rtmp_geo": {`"us-east-1"`}, "disable_rtmp_geo_fallback": {"true", "false"},
	"recordings_bucket":    {`{"bucket_name":"b","bucket_region":"r","assume_role_arn":"a","allow_api_access":true}`},
	"transcription_bucket": {`{"bucket_name":"b"}`}, "recordings_template": {`"{domain_name}/{room_name}"`},
	"transcription_template": {`"{domain_name}"`}, "enable_transcription_storage": {"true", "false"},
	"auto_transcription_settings": {`{"language":"en"}`}, "enable_terse_logging": {"true", "false"},
	"meeting_join_hook": {`"https://example.com/hook"`}, "enable_dialout": {"true", "false"},
	"dialout_config": {`{"allow_room_start":true}`}, "sip": {`{"display_name":"x","video":false,"sip_mode":"dial-in"}`},
	"streaming_endpoints": {`[{"name":"e","type":"rtmps"}]`}, "enable_raw_tracks_transcoded_audio": {"true"},
	// Of no documentation: kept and shown as they are.
	"something_new": {`{"a":[1,"<b>",null]}`}, "x": {`false`},
}

// equal reports whether two JSON values mean the same.
func equal(t *testing.T, a any, b string) bool {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(b), &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", v)
}

// §2.3: every property comes back as it was set, on creation and on a change, and
// null takes it back. One that is at its default is not shown.
func TestPropertiesRoundTrip(t *testing.T) {
	s := serve(t)
	for name, values := range documented {
		t.Run(name, func(t *testing.T) {
			s := &site{s.For(t), s.log, s.store}
			body := `{"properties":{"` + name + `":%s}}`
			check := func(what string, a answer, want string) {
				t.Helper()
				config, _ := a.Get("config").(map[string]any)
				got, there := config[name]
				if want == "" && (there || len(config) > 0) || want != "" && (!equal(t, got, want) || len(config) != 1) {
					t.Errorf("%s: got %s, want %s", what, a.Text, want)
				}
			}
			made := s.must("POST", "/rooms", fmt.Sprintf(body, values[0]))
			path := "/rooms/" + made.Str("name")
			check("create", made, values[0])
			check("get", s.must("GET", path, ""), values[0])
			check("another change", s.must("POST", path, `{"privacy":"private"}`), values[0])
			check("null", s.must("POST", path, fmt.Sprintf(body, "null")), "")
			check("get after null", s.must("GET", path, ""), "")
			check("null of what is not set", s.must("POST", path, fmt.Sprintf(body, "null")), "")
			check("set again", s.must("POST", path, fmt.Sprintf(body, values[0])), values[0])
			if values[1] != "" {
				check("the default", s.must("POST", path, fmt.Sprintf(body, values[1])), "")
				check("get of the default", s.must("GET", path, ""), "")
				check("creation with the default", s.must("POST", "/rooms", fmt.Sprintf(body, values[1])), "")
			}
			check("creation with null", s.must("POST", "/rooms", fmt.Sprintf(body, "null")), "")
		})
	}
}

// §2.2: a change merges: what it does not name stays.
func TestAllPropertiesAtOnce(t *testing.T) {
	s := serve(t)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		all = append(all, `"`+name+`":`+documented[name][0])
	}
	s.must("POST", "/rooms", `{"name":"r","properties":{`+strings.Join(all, ",")+`}}`)
	left := len(documented)
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		config := s.must("GET", "/rooms/r", "").Get("config").(map[string]any)
		if !equal(t, config[name], documented[name][0]) || len(config) != left {
			t.Errorf("%s: got %v of %d, want %s of %d", name, config[name], len(config), documented[name][0], left)
		}
		s.must("POST", "/rooms/r", `{"properties":{"`+name+`":null}}`)
		left--
	}
}

// §2.3, §1.4: what a property may not be, in Daily's words where they are known.
func TestWrongProperties(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r","properties":{"exp":4000000000}}`)
	for property, info := range map[string]string{
		`"exp":"tomorrow"`:           "exp was 'tomorrow' but should be a number of seconds since the unix epoch",
		`"exp":"4000000000"`:         "exp was '4000000000' but should be a number of seconds since the unix epoch",
		`"exp":true`:                 "exp was 'true' but should be a number of seconds since the unix epoch",
		`"exp":[1]`:                  "exp was '[1]' but should be a number of seconds since the unix epoch",
		`"exp":-1`:                   "exp was '-1' but should be a number of seconds since the unix epoch",
		`"exp":1e300`:                "exp was '1e300' but should be a number of seconds since the unix epoch",
		`"exp":4000000000000`:        "exp was '4000000000000' but should be a number of seconds since the unix epoch",
		`"exp":1548709994`:           "exp was '1548709994', which is in the past rather than in the future",
		`"exp":1548709994.5`:         "exp was '1548709994.5', which is in the past rather than in the future",
		`"exp":0`:                    "exp was '0', which is in the past rather than in the future",
		`"nbf":"x"`:                  "nbf was 'x' but should be a number of seconds since the unix epoch",
		`"nbf":{}`:                   "nbf was '{}' but should be a number of seconds since the unix epoch",
		`"eject_after_elapsed":"60"`: "eject_after_elapsed was '60' but should be a number of seconds",
		`"eject_after_elapsed":-1`:   "eject_after_elapsed was '-1' but should be a number of seconds",
		`"max_participants":"7"`:     "max_participants was '7' but should be a number of participants",
		`"max_participants":1.5`:     "max_participants was '1.5' but should be a number of participants",
		`"max_participants":-1`:      "max_participants was '-1' but should be a number of participants",
		`"enable_knocking":1`:        "enable_knocking was '1' but should be a boolean",
		`"enable_chat":"true"`:       "enable_chat was 'true' but should be a boolean",
		`"sfu_switchover":"x"`:       "sfu_switchover was 'x' but should be a number",
		`"lang":7`:                   "lang was '7' but should be a string",
		`"sip":"x"`:                  "sip was 'x' but should be an object",
		`"streaming_endpoints":{}`:   "streaming_endpoints was '{}' but should be a list",
		`"enable_recording":7`:       "enable_recording was '7' but should be a string or a list of strings",
		`"enable_recording":[7]`:     "enable_recording was '[7]' but should be a string or a list of strings",
		`"meeting_join_hook":"` + strings.Repeat("x", 256) + `"`: "meeting_join_hook has more than 255 characters",
	} {
		for _, path := range []string{"/rooms", "/rooms/r"} {
			s.call("POST", path, `{"properties":{`+property+`}}`).want(t, 400, "invalid-request-error", info)
		}
		s.call("POST", "/batch/rooms", `{"rooms":[{"name":"q"},{"properties":{`+property+`}}]}`).want(t, 400, "invalid-request-error", info)
	}
	for _, permissions := range []string{`7`, `{"canFly":true}`, `{"canSend":["smells"]}`, `{"hasPresence":"yes"}`, `{"canReceive":{"base":{"video":true}}}`, `{"canAdmin":["world"]}`} {
		for _, path := range []string{"/rooms", "/rooms/r", "/"} {
			if a := s.call("POST", path, `{"properties":{"permissions":`+permissions+`}}`); a.status != 400 || a.Str("error") != "invalid-request-error" || a.Str("info") == "" {
				t.Errorf("%s %s: got %d %s", path, permissions, a.status, a.Text)
			}
		}
	}
	// A call that is refused has changed nothing.
	s.call("POST", "/rooms/r", `{"privacy":"private","properties":{"enable_chat":true,"exp":1}}`)
	if a := s.must("GET", "/rooms/r", ""); a.Str("privacy") != "public" || fmt.Sprint(a.Get("config")) != "map[exp:4e+09]" {
		t.Errorf("got %s", a.Text)
	}
	if n := s.must("GET", "/rooms", "").Get("total_count"); n != 1.0 {
		t.Errorf("got %v rooms, want 1", n)
	}
	s.call("POST", "/rooms/r", `{"name":"q"}`).want(t, 400, "invalid-request-error", "a room cannot get another name")
	s.must("POST", "/rooms/r", `{"name":"r"}`)
}

// §2.3: times may have a fraction; those who read them back want whole numbers.
func TestFractions(t *testing.T) {
	s := serve(t)
	a := s.must("POST", "/rooms", `{"properties":{"exp":4000000000.75,"nbf":1.7e9,"eject_after_elapsed":59.5,"max_participants":7.0}}`)
	if !strings.Contains(a.Text, `"config":{"eject_after_elapsed":59,"exp":4000000000,"max_participants":7,"nbf":1700000000}`) {
		t.Errorf("got %s", a.Text)
	}
}
