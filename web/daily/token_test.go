package daily_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tokens "usher/auth/daily"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// claims are what a token says, unverified.
func claims(t *testing.T, token string) (header string, payload map[string]any) {
	t.Helper()
	part := strings.Split(token, ".")
	if len(part) != 3 {
		t.Fatalf("%q is no token", token)
	}
	h, err := base64.RawURLEncoding.DecodeString(part[0])
	if err != nil {
		t.Fatal(err)
	}
	p, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p, &payload); err != nil {
		t.Fatal(err)
	}
	return string(h), payload
}

// §1.4, §1.2: one member, a plain header, and the short claims of a self-signed one.
func TestCreateToken(t *testing.T) {
	s := serve(t)
	before := time.Now().Unix()
	a := s.must("POST", "/meeting-tokens", `{"properties":{"room_name":"room-0253"}}`)
	if a.Text != `{"token":"`+a.Str("token")+`"}` {
		t.Errorf("got %s", a.Text)
	}
	header, said := claims(t, a.Str("token"))
	iat, _ := said["iat"].(float64)
	if header != `{"alg":"HS256","typ":"JWT"}` || len(said) != 3 || said["r"] != "room-0253" || said["d"] != sessiontest.DailyDomain ||
		int64(iat) < before || int64(iat) > time.Now().Unix() {
		t.Errorf("got %s %v", header, said)
	}
}

// tokenProperties are those of §1.1 with the claims of §1.3 that they become.
var tokenProperties = map[string][2]string{
	"room_name": {`"r"`, "r"}, "exp": {"4000000000", "exp"}, "nbf": {"1700000000", "nbf"}, "is_owner": {"true", "o"},
	"user_name": {`"Ada"`, "u"}, "user_id": {`"ada"`, "ud"}, "eject_at_token_exp": {"true", "ejt"}, "eject_after_elapsed": {"60", "eje"},
	"enable_screenshare": {"false", "ss"}, "start_video_off": {"true", "vo"}, "start_audio_off": {"true", "ao"},
	"enable_recording": {`"cloud"`, "er"}, "enable_prejoin_ui": {"true", ""}, "enable_live_captions_ui": {"true", ""},
	"enable_recording_ui": {"true", "erui"}, "enable_terse_logging": {"true", ""}, "knocking": {"true", "k"},
	"start_cloud_recording": {"true", "sr"}, "start_cloud_recording_opts": {`{"width":1280}`, "sro"}, "auto_start_transcription": {"true", "ast"},
	"close_tab_on_exit": {"true", "ctoe"}, "redirect_on_meeting_exit": {`"https://example.com"`, "rome"}, "lang": {`"de"`, "uil"},
	"permissions": {`{"hasPresence":true,"canSend":["video","screenAudio"],"canReceive":{"base":false,"byUserId":{"bob":true}},"canAdmin":["participants"]}`, "p"},
}

// §1.1, §1.3, §1.5: every property goes into a token by its short name and comes out
// of it by its long one.
func TestTokenProperties(t *testing.T) {
	s := serve(t)
	for name, c := range tokenProperties {
		token := s.token(`{"` + name + `":` + c[0] + `}`)
		_, said := claims(t, token)
		short := c[1]
		if short == "" {
			short = name // there is no short name for it
		}
		if _, ok := said[short]; !ok || len(said) != 3 && name != "is_owner" {
			t.Errorf("%s: got the claims %v", name, said)
		}
		a := s.must("GET", "/meeting-tokens/"+token, "")
		if !equal(t, a.Fields[name], c[0]) || len(a.Fields) != 1 {
			t.Errorf("%s: got %s, want %s", name, a.Text, c[0])
		}
	}
	// null is not said.
	s.must("GET", "/meeting-tokens/"+s.token(`{"user_name":null,"exp":null}`), "").is(t, 200, `{}`)
}

// §1.4: the errors, in Daily's words where they are known.
func TestWrongTokens(t *testing.T) {
	s := serve(t)
	for properties, info := range map[string]string{
		`{"exp":1548709994}`: "exp was '1548709994', which is in the past rather than in the future",
		`{"exp":"tomorrow"}`: "exp was 'tomorrow' but should be a number of seconds since the unix epoch",
		`{"nbf":"x"}`:        "nbf was 'x' but should be a number of seconds since the unix epoch",
		`{"isOwner":true}`:   "",
		`{"is_owner":"yes"}`: "",
		`{"user_id":"` + strings.Repeat("x", 37) + `"}`:    "",
		`{"user_id":"anon:x"}`:                             "",
		`{"room_name":7}`:                                  "",
		`{"lang":"xx"}`:                                    "",
		`{"eject_after_elapsed":"60"}`:                     "",
		`{"permissions":{"canFly":true}}`:                  "",
		`{"user_name":"` + strings.Repeat("x", 300) + `"}`: "",
		`7`:           "properties should be an object",
		`"room_name"`: "properties should be an object",
	} {
		a := s.call("POST", "/meeting-tokens", `{"properties":`+properties+`}`)
		if a.status != 400 || a.Str("error") != "invalid-request-error" || a.Str("info") == "" || info != "" && a.Str("info") != info {
			t.Errorf("%s: got %d %s, want 400 %q", properties, a.status, a.Text, info)
		}
	}
	s.token(`{"user_id":"` + strings.Repeat("ü", 36) + `"}`)
	s.call("POST", "/meeting-tokens", `{"room_name":"r"}`).want(t, 400, "invalid-request-error", "unknown parameter 'room_name'; there are properties")
}

// A token that never expires, or opens every room, is made, and there is a warning;
// the settings refuse it.
func TestWarnings(t *testing.T) {
	s := serve(t)
	const never, everywhere = `299 usher "a token without exp: it never expires"`, `299 usher "a token without a room: it is good for every room of the domain"`
	for properties, want := range map[string]string{
		`{}`:                                 never + everywhere,
		`{"room_name":"r"}`:                  never,
		`{"exp":4000000000}`:                 everywhere,
		`{"room_name":"r","exp":4000000000}`: "",
		`{"room_name":"","exp":4000000000}`:  everywhere,
		`{"room_name":null,"exp":null}`:      never + everywhere,
	} {
		a := s.call("POST", "/meeting-tokens", `{"properties":`+properties+`}`)
		if properties == `{"room_name":"","exp":4000000000}` && a.status == 400 {
			continue // no room is called so
		}
		if got := strings.Join(a.header.Values("Warning"), ""); a.status != 200 || got != want {
			t.Errorf("%s: got %d %s, want %s", properties, a.status, got, want)
		}
	}
	for range 100 {
		s.token(`{}`)
	}
	if n := strings.Count(s.log.String(), "level=WARN"); n == 0 || n > 20 {
		t.Errorf("the log has %d warnings, want a few", n)
	}

	strict := serve(t, options{domain: func(d *tokens.Domain) { d.RequireExpiry, d.RequireRoom = true, true }})
	for properties, setting := range map[string]string{
		`{"room_name":"r"}`: "require_exp", `{"room_name":"r","exp":null}`: "require_exp",
		`{"exp":4000000000}`: "require_room", `{"exp":4000000000,"room_name":null}`: "require_room",
	} {
		a := strict.call("POST", "/meeting-tokens", `{"properties":`+properties+`}`)
		if a.status != 400 || a.Str("error") != "invalid-request-error" || !strings.Contains(a.Str("info"), setting) {
			t.Errorf("%s: got %d %s", properties, a.status, a.Text)
		}
	}
	strict.token(`{"room_name":"r","exp":4000000000}`)
}

// §1.5, §1.6: tokens of REST and self-signed ones, of this domain only.
func TestShowToken(t *testing.T) {
	s := serve(t)
	now := time.Now().Unix()
	s.must("GET", "/meeting-tokens/"+s.SelfSigned(apiKey, map[string]any{"r": "r", "o": true, "u": "host", "vo": false, "ao": true, "uil": "en", "otcd": "x"}), "").
		is(t, 200, `{"room_name":"r","is_owner":true,"user_name":"host","start_video_off":false,"start_audio_off":true,"lang":"en"}`)
	s.must("GET", "/meeting-tokens/"+s.SelfSigned(secondKey, map[string]any{"r": "r", "ud": "ada"}), "").
		is(t, 200, `{"room_name":"r","user_id":"ada"}`)
	early := s.SelfSigned(apiKey, map[string]any{"r": "r", "nbf": now + 1000})
	for what, c := range map[string]struct{ token, info string }{
		"expired":              {s.SelfSigned(apiKey, map[string]any{"r": "r", "exp": now - 1}), "the token has expired"},
		"too early":            {early, "the token is not valid yet"},
		"another secret":       {s.SelfSigned("some-other-key-of-32-bytes-and-more", map[string]any{"r": "r"}), "the token is not signed with a key of this domain"},
		"another domain":       {s.SelfSigned(apiKey, map[string]any{"r": "r", "d": otherDomain}), "the token is not signed with a key of this domain"},
		"an unknown domain":    {s.SelfSigned(apiKey, map[string]any{"r": "r", "d": "x"}), "the token is not one of this domain"},
		"LiveKit's":            {s.Token("r", "ada"), "the token is not one of this domain"},
		"no token":             {"nonsense", "the token is malformed: it is not three parts of base64url and JSON"},
		"two dots":             {"a.b.c", "the token is malformed: it is not three parts of base64url and JSON"},
		"too long an identity": {s.SelfSigned(apiKey, map[string]any{"r": "r", "ud": strings.Repeat("x", 37)}), "the token is malformed: the claim ud has more than 36 characters"},
		"claims an anonymous":  {s.SelfSigned(apiKey, map[string]any{"r": "r", "ud": "anon:x"}), "the token is malformed: user ids that begin with anon: are the server's own"},
	} {
		t.Run(what, func(t *testing.T) {
			s.call("GET", "/meeting-tokens/"+c.token, "").want(t, 400, "invalid-request-error", c.info)
		})
	}
	for query, status := range map[string]int{"?ignoreNbf=true": 200, "?ignoreNbf=false": 400, "?ignoreNbf": 400, "": 400} {
		if a := s.call("GET", "/meeting-tokens/"+early+query, ""); a.status != status {
			t.Errorf("%s: got %d %s, want %d", query, a.status, a.Text, status)
		}
	}
	other := s.with(otherKey, "POST", "/meeting-tokens", `{"properties":{"room_name":"r"}}`).Str("token")
	s.call("GET", "/meeting-tokens/"+other, "").want(t, 400, "invalid-request-error", "the token is not one of this domain")
}

// §1.5: a token does not hold from its exp on, and holds from its nbf on.
func TestTokenTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, _, _ := bare(t, nil)
		now := time.Now().Unix()
		w := call(apiKey, "POST", "/meeting-tokens", fmt.Sprintf(`{"properties":{"room_name":"r","nbf":%d,"exp":%d}}`, now+10, now+20))
		var made struct{ Token string }
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
			t.Fatal(w.Body)
		}
		path := "/meeting-tokens/" + made.Token
		for _, step := range []struct {
			after         time.Duration
			plain, ignore int
		}{{0, 400, 200}, {10*time.Second - 1, 400, 200}, {1, 200, 200}, {10*time.Second - 1, 200, 200}, {1, 400, 400}} {
			time.Sleep(step.after)
			if got := call(apiKey, "GET", path, "").Code; got != step.plain {
				t.Errorf("after %v more: got %d, want %d", step.after, got, step.plain)
			}
			if got := call(apiKey, "GET", path+"?ignoreNbf=true", "").Code; got != step.ignore {
				t.Errorf("after %v more, with ignoreNbf: got %d, want %d", step.after, got, step.ignore)
			}
		}
	})
}

// §1.9, and what Daily lacks: one token is revoked, for ever, and nobody else's. Its
// session ends.
func TestRevokeOneToken(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	for name, make := range map[string]func(user string) string{
		"REST":        func(user string) string { return s.token(`{"room_name":"r","user_id":"` + user + `"}`) },
		"nameless":    func(user string) string { return s.token(`{"room_name":"r","user_name":"` + user + `"}`) },
		"self-signed": func(user string) string { return s.SelfSigned(apiKey, map[string]any{"r": "r", "ud": user}) },
		"early": func(user string) string {
			return s.SelfSigned(apiKey, map[string]any{"r": "r", "ud": user, "nbf": time.Now().Unix() - 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{s.For(t), s.log, s.store}
			token, other := make("ada-"+name), make("bob-"+name)
			ada, _ := s.enter("", token)
			refreshed := ada.Expect("refreshToken").Str("token")
			bob, _ := s.enter("", other)
			a := s.must("POST", "/meeting-tokens/revoke", `{"token":"`+token+`"}`)
			if a.Get("revoked") != true || !strings.HasPrefix(a.Str("id"), "RV_") || len(a.Fields) != 2 {
				t.Errorf("got %s", a.Text)
			}
			ada.ExpectClose(wire.TokenRevoked)
			for what, old := range map[string]string{"the token": token, "a refreshed one": refreshed} {
				if code := s.refused("", old); code != wire.TokenRevoked {
					t.Errorf("%s: got close code %d, want %d", what, code, wire.TokenRevoked)
				}
			}
			s.call("GET", "/meeting-tokens/"+token, "").want(t, 400, "invalid-request-error", "the token was revoked")
			bob.Sync()
			// Another one for the same user is good, at once.
			s.enter("", s.token(`{"room_name":"r","user_id":"ada-`+name+`"}`))
			after := serve(t, options{store: s.store})
			if code := after.refused("", token); code != wire.TokenRevoked {
				t.Errorf("after a restart: got close code %d, want %d", code, wire.TokenRevoked)
			}
		})
	}
	// What is revoked by its refreshed token is revoked.
	token := s.token(`{"room_name":"r","user_id":"eve"}`)
	eve, _ := s.enter("", token)
	s.must("POST", "/meeting-tokens/revoke", `{"token":"`+eve.Expect("refreshToken").Str("token")+`"}`)
	eve.ExpectClose(wire.TokenRevoked)
	if code := s.refused("", token); code != wire.TokenRevoked {
		t.Errorf("got close code %d, want %d", code, wire.TokenRevoked)
	}
	// Even one that has expired, since that puts out nobody.
	short := s.SelfSigned(apiKey, map[string]any{"r": "r", "ud": "dan", "exp": time.Now().Unix() + 2})
	dan, _ := s.enter("", short)
	for s.call("GET", "/meeting-tokens/"+short, "").status == 200 {
		time.Sleep(50 * time.Millisecond) // until it has
	}
	s.must("POST", "/meeting-tokens/revoke", `{"token":"`+short+`"}`)
	dan.ExpectClose(wire.TokenRevoked)
	// Even one that is not valid yet.
	early := s.SelfSigned(apiKey, map[string]any{"r": "r", "nbf": time.Now().Unix() + 1000})
	s.must("POST", "/meeting-tokens/revoke", `{"token":"`+early+`"}`)
	s.call("GET", "/meeting-tokens/"+early+"?ignoreNbf=true", "").want(t, 400, "invalid-request-error", "the token was revoked")
}

// All tokens of a user, of a room, or of a user in a room.
func TestRevokeManyTokens(t *testing.T) {
	for body, gone := range map[string][3]bool{ // ada in r, ada in q, bob in r
		`{"user_id":"ada"}`:                    {true, true, false},
		`{"room_name":"r"}`:                    {true, false, true},
		`{"room_name":"r","user_id":"ada"}`:    {true, false, false},
		`{"room_name":"none"}`:                 {},
		`{"room_name":"none","user_id":"ada"}`: {},
	} {
		s := serve(t)
		s.must("POST", "/batch/rooms", `{"rooms":[{"name":"r"},{"name":"q"}]}`)
		var sessions [3]*sessiontest.Client
		all := [3]string{s.token(`{"room_name":"r","user_id":"ada"}`), s.token(`{"room_name":"q","user_id":"ada"}`), s.token(`{"room_name":"r","user_id":"bob"}`)}
		for i, token := range all {
			sessions[i], _ = s.enter("", token)
		}
		s.must("POST", "/meeting-tokens/revoke", body)
		for i, token := range all {
			a := s.call("GET", "/meeting-tokens/"+token, "")
			if gone[i] {
				sessions[i].ExpectClose(wire.TokenRevoked)
				a.want(t, 400, "invalid-request-error", "the token was revoked")
			} else if sessions[i].Sync(); a.status != 200 {
				t.Errorf("%s: token %d: got %d %s", body, i, a.status, a.Text)
			}
		}
		for _, user := range []string{"ada", "bob"} { // newer ones are good
			s.enter("", s.token(`{"room_name":"r","user_id":"`+user+`"}`))
		}
	}
	s := serve(t)
	for body, info := range map[string]string{
		`{}`:                            "there has to be a token, or a room_name, a user_id or both",
		``:                              "there has to be a token, or a room_name, a user_id or both",
		`{"token":"x","user_id":"ada"}`: "a token is revoked by itself: there may be no room_name and no user_id with it",
		`{"token":"x"}`:                 "the token is malformed: it is not three parts of base64url and JSON",
		`{"token":7}`:                   "token is not a string",
		`{"tokens":["x"]}`:              "unknown parameter 'tokens'; there are token, room_name, user_id",
	} {
		s.call("POST", "/meeting-tokens/revoke", body).want(t, 400, "invalid-request-error", info)
	}
}

// A token of REST outlives the API key that asked for it.
func TestTokensOutliveTheKey(t *testing.T) {
	s := serve(t)
	token, signed := s.token(`{"room_name":"r"}`), s.SelfSigned(apiKey, map[string]any{"r": "r"})
	d, _ := s.Domains.ByProject("test")
	d.APIKeys = d.APIKeys[1:]
	s.SetDomain(d)
	if a := s.with(apiKey, "GET", "/rooms", ""); a.Text != `{"error":"authentication-error"}` {
		t.Errorf("the key that is gone: got %d %s", a.status, a.Text)
	}
	if a := s.with(secondKey, "GET", "/meeting-tokens/"+token, ""); a.status != 200 {
		t.Errorf("got %d %s, want 200", a.status, a.Text)
	}
	s.with(secondKey, "GET", "/meeting-tokens/"+signed, "").want(t, 400, "invalid-request-error", "the token is not signed with a key of this domain")
}

// A token that no room would let in is not made.
func TestTokensThatWouldBeRefused(t *testing.T) {
	s := serve(t)
	s.Verifier.LimitLife(time.Hour)
	const info = "the token lives longer than this server lets tokens live (limits.token_life)"
	for _, exp := range []string{"null", fmt.Sprint(time.Now().Unix() + 3700)} {
		s.call("POST", "/meeting-tokens", `{"properties":{"room_name":"r","exp":`+exp+`}}`).want(t, 400, "invalid-request-error", info)
	}
	s.token(fmt.Sprintf(`{"room_name":"r","exp":%d}`, time.Now().Unix()+3500))
}
