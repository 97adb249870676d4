package session_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// in is a moment as tokens have it.
func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// §1.1, §1.2, §1.7: a Daily token says who comes in, when, and as what; without a
// room it is good for every room that the join names.
func TestDailyToken(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("open", room.DailySettings{})
	s.DailyRoom("closed", room.DailySettings{Private: true})
	s.DailyRoom("early", room.DailySettings{NotBefore: time.Now().Add(time.Hour)})
	yes := true
	s.DailyRoom("devices", room.DailySettings{Start: auth.Start{VideoOff: &yes, AudioOff: &yes}})
	signed := func(claims map[string]any) string { return s.SelfSigned(sessiontest.DailyAPIKey, claims) }
	for name, test := range map[string]struct {
		m    wire.Message
		want wire.CloseCode // 0: it comes in
		says map[string]any // what joined says then
	}{
		"a token for the room":  {m: wire.Message{Token: s.DailyToken("closed", "ada")}, says: map[string]any{"room.name": "closed", "self.identity": "ada", "self.name": "ada"}},
		"another room is named": {m: wire.Message{Token: s.DailyToken("closed", "ada"), Room: "open"}, says: map[string]any{"room.name": "closed"}},
		"a token for all rooms": {m: wire.Message{Token: s.DailyToken("", "ada"), Room: "closed"}, says: map[string]any{"room.name": "closed"}},
		"no room at all":        {m: wire.Message{Token: s.DailyToken("", "ada")}, want: wire.InvalidToken},
		"an owner": {m: wire.Message{Token: s.DailyToken("closed", "ada", owner)}, says: map[string]any{
			"self.permissions.owner": true, "self.permissions.canPublish": true, "self.permissions.admin": []any{"participants", "streaming", "transcription"}}},
		"no owner":                   {m: wire.Message{Token: s.DailyToken("closed", "ada")}, says: map[string]any{"self.permissions.owner": nil, "self.permissions.admin": []any{}, "waiting": nil}},
		"self-signed":                {m: wire.Message{Token: signed(map[string]any{"r": "closed", "ud": "ada", "u": "Ada", "o": true})}, says: map[string]any{"self.identity": "ada", "self.name": "Ada", "self.permissions.owner": true}},
		"another key":                {m: wire.Message{Token: s.SelfSigned("a-key-of-somebody-else-of-32-bytes-or-more", map[string]any{"r": "open"})}, want: wire.InvalidToken},
		"another domain":             {m: wire.Message{Token: signed(map[string]any{"r": "open", "d": "25df5057-0000-4000-8000-000000000000"})}, want: wire.InvalidToken},
		"expired":                    {m: wire.Message{Token: signed(map[string]any{"r": "open", "exp": in(-time.Second)})}, want: wire.TokenExpired},
		"not yet valid":              {m: wire.Message{Token: signed(map[string]any{"r": "open", "nbf": in(time.Minute)})}, want: wire.TokenNotYetValid},
		"no such room":               {m: wire.Message{Token: s.DailyToken("nowhere", "ada")}, want: wire.RoomNotFound},
		"too early":                  {m: wire.Message{Token: s.DailyToken("early", "ada")}, want: wire.RoomNotOpen},
		"too early, without a token": {m: wire.Message{Room: "early"}, want: wire.RoomNotOpen},
		"a taken prefix":             {m: wire.Message{Token: signed(map[string]any{"r": "open", "ud": auth.AnonymousPrefix + "x"})}, want: wire.InvalidToken},
		"without a token":            {m: wire.Message{Room: "open", Name: ptr("Ada")}, says: map[string]any{"room.name": "open", "self.name": "Ada", "self.permissions.owner": nil, "self.permissions.canPublish": true}},
		"without one, private":       {m: wire.Message{Room: "closed"}, want: wire.NotAllowed},
		"without one, no room":       {m: wire.Message{Name: ptr("Ada")}, want: wire.InvalidToken},
		"the room says how to begin": {m: wire.Message{Token: s.DailyToken("devices", "ada")}, says: map[string]any{"start.videoOff": true, "start.audioOff": true, "start.screenShare": nil}},
		"the token says it": {m: wire.Message{Token: s.DailyToken("devices", "ada", sessiontest.Properties{"start_video_off": false, "enable_screenshare": false})}, says: map[string]any{
			"start.videoOff": false, "start.audioOff": true, "start.screenShare": false}},
		"nobody says how to begin": {m: wire.Message{Token: s.DailyToken("open", "ada")}, says: map[string]any{"start": nil, "sessionData": nil, "self.willEjectAt": nil}},
		"narrowed": {m: wire.Message{Token: s.DailyToken("open", "ada", sessiontest.Properties{"permissions": map[string]any{"canSend": []string{"audio"}, "canReceive": map[string]any{"base": false}}})}, says: map[string]any{
			"self.permissions.canPublishSources": []any{"microphone"}, "self.permissions.canSubscribe": false}},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.For(t).Dial(nil)
			test.m.Type = "join"
			if got := c.Refused(test.m); got != test.want {
				t.Fatalf("got close code %d, want %d", got, test.want)
			}
			if test.want != 0 {
				return
			}
			e := c.Expect("joined")
			for path, want := range test.says {
				if got := e.Get(path); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s is %v, want %v: %s", path, got, want, e.Text)
				}
			}
			tokenless := test.m.Token == ""
			if got := strings.HasPrefix(e.Str("self.identity"), auth.AnonymousPrefix); got != tokenless {
				t.Errorf("the identity is %s", e.Str("self.identity"))
			}
			c.Sync()
			if _, has := refreshedOf(c); has == tokenless {
				t.Errorf("a refreshed token came: %t", has)
			}
		})
	}
}

// refreshedOf returns the newest refreshed token that came.
func refreshedOf(c *sessiontest.Client) (token string, ok bool) {
	for _, e := range c.Seen() {
		if e.Type() == "refreshToken" {
			token, ok = e.Str("token"), true
		}
	}
	return token, ok
}

// §1.8: where tokens need not hold, one that does not is none, in public rooms; times
// and revocations always have their own answer.
func TestTokenThatDoesNotHold(t *testing.T) {
	for _, strict := range []bool{true, false} {
		t.Run(fmt.Sprintf("strict_tokens %t", strict), func(t *testing.T) {
			s := sessiontest.Serve(t, sessiontest.Options{Domain: func(d *daily.Domain) { d.Strict = strict }})
			s.DailyRoom("open", room.DailySettings{})
			s.DailyRoom("closed", room.DailySettings{Private: true})
			s.DailyRoom("knocking", knocking)
			good := s.DailyToken("open", "ada")
			bad := s.SelfSigned("a-key-of-somebody-else-of-32-bytes-or-more", map[string]any{"r": "open", "ud": "ada", "o": true})
			ignored := wire.CloseCode(0)
			if strict {
				ignored = wire.InvalidToken
			}
			revoked := s.DailyToken("", "revoked")
			b := s.Rooms.Batch()
			if _, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", Identity: "revoked", Until: time.Now()}); err != nil {
				t.Fatal(err)
			}
			b.Flush()
			for name, test := range map[string]struct {
				m    wire.Message
				want wire.CloseCode
			}{
				"a bad signature":       {wire.Message{Token: bad, Room: "open"}, ignored},
				"cut short":             {wire.Message{Token: good[:len(good)-3], Room: "open"}, ignored},
				"no room in the join":   {wire.Message{Token: bad}, wire.InvalidToken},
				"a private room":        {wire.Message{Token: bad, Room: "closed"}, wire.InvalidToken},
				"a room with a lobby":   {wire.Message{Token: bad, Room: "knocking"}, wire.InvalidToken},
				"no such room":          {wire.Message{Token: bad, Room: "nowhere"}, wire.InvalidToken},
				"expired":               {wire.Message{Token: s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "open", "exp": in(-time.Minute)}), Room: "open"}, wire.TokenExpired},
				"not yet valid":         {wire.Message{Token: s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "open", "nbf": in(time.Minute)}), Room: "open"}, wire.TokenNotYetValid},
				"revoked":               {wire.Message{Token: revoked, Room: "open"}, wire.TokenRevoked},
				"too large":             {wire.Message{Token: bad + strings.Repeat("x", auth.DefaultMaxTokenBytes), Room: "open"}, wire.TokenTooLarge},
				"a public key besides":  {wire.Message{Token: bad, PublicKey: sessiontest.LiveblocksPublic, Room: "open"}, wire.InvalidToken},
				"a LiveKit token's":     {wire.Message{Token: s.Token("open", "kit") + "x", Room: "open"}, ignored},
				"nothing of a token":    {wire.Message{Token: "x", Room: "open"}, ignored},
				"another domain's":      {wire.Message{Token: s.SelfSigned("x", map[string]any{"d": "other"}), Room: "open"}, ignored},
				"one that holds anyway": {wire.Message{Token: good, Room: "closed"}, 0},
			} {
				t.Run(name, func(t *testing.T) {
					c := s.For(t).Dial(nil)
					test.m.Type = "join"
					if got := c.Refused(test.m); got != test.want {
						t.Fatalf("got close code %d, want %d", got, test.want)
					}
					if test.want != 0 {
						return
					}
					e := c.Expect("joined")
					held := test.m.Token == good
					if (e.Get("tokenIgnored") == true) == held || strings.HasPrefix(e.Str("self.identity"), auth.AnonymousPrefix) == held || e.Get("self.permissions.owner") != nil {
						t.Errorf("got %s", e.Text)
					}
					c.OK(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{"a": []byte("1")}})
					for _, e := range c.Seen() {
						if e.Type() == "refreshToken" && !held {
							t.Errorf("a token came for one that was ignored: %s", e.Text)
						}
					}
				})
			}
		})
	}
}

// §1.7.2–1.7.8: when somebody is put out is fixed as it joins, told to it and to all,
// and kept to the second.
func TestTimeLimits(t *testing.T) {
	p := func(more ...any) sessiontest.Properties {
		m := sessiontest.Properties{}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	for name, test := range map[string]struct {
		room  func() room.DailySettings
		token func() sessiontest.Properties
		want  time.Duration // after joining; 0: stays
	}{
		"§1.7.1 exp alone":     {token: func() sessiontest.Properties { return p("exp", in(time.Minute)) }},
		"§1.7.2 at the expiry": {token: func() sessiontest.Properties { return p("exp", in(time.Minute), "eject_at_token_exp", true) }, want: time.Minute},
		"§1.7.3 after a time":  {token: func() sessiontest.Properties { return p("eject_after_elapsed", 45) }, want: 45 * time.Second},
		"§1.7.5 the earlier of both": {token: func() sessiontest.Properties {
			return p("exp", in(time.Minute), "eject_at_token_exp", true, "eject_after_elapsed", 90)
		}, want: time.Minute},
		"§1.7.4 the token's before the room's": {
			room: func() room.DailySettings {
				return room.DailySettings{Expires: time.Now().Add(time.Minute), EjectAtExpiry: true}
			},
			token: func() sessiontest.Properties { return p("eject_after_elapsed", 120) }, want: 2 * time.Minute},
		"§1.7.4 false is not set": {
			room:  func() room.DailySettings { return room.DailySettings{EjectAfter: 30 * time.Second} },
			token: func() sessiontest.Properties { return p("exp", in(time.Hour), "eject_at_token_exp", false) }, want: 30 * time.Second},
		"the room's expiry": {room: func() room.DailySettings {
			return room.DailySettings{Expires: time.Now().Add(50 * time.Second), EjectAtExpiry: true}
		}, want: 50 * time.Second},
		"§1.7.8 the room's expiry without ejection": {room: func() room.DailySettings { return room.DailySettings{Expires: time.Now().Add(50 * time.Second)} }},
		"an owner": {room: func() room.DailySettings { return room.DailySettings{EjectAfter: 20 * time.Second} }, token: func() sessiontest.Properties { return p("is_owner", true) }, want: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
				var settings room.DailySettings
				if test.room != nil {
					settings = test.room()
				}
				s.DailyRoom("lobby", settings)
				kit, _ := s.Join(s.Token("lobby", "kit")) // is not concerned
				var more []sessiontest.Properties
				if test.token != nil {
					more = append(more, test.token())
				}
				ada, e := s.Join(s.DailyToken("lobby", "ada", more...))
				began := time.Now()
				other := kit.Expect("participantJoined")
				if test.want == 0 {
					if e.Get("self.willEjectAt") != nil || other.Get("participant.willEjectAt") != nil {
						t.Errorf("got %s", e.Text)
					}
					time.Sleep(4 * time.Minute)
					ada.Sync()
					return
				}
				at := fmt.Sprint(began.Add(test.want).UnixMilli())
				if e.Str("self.willEjectAt") != at || other.Str("participant.willEjectAt") != at {
					t.Errorf("joined says %s, others are told %s; want %s", e.Str("self.willEjectAt"), other.Str("participant.willEjectAt"), at)
				}
				time.Sleep(test.want - time.Millisecond)
				ada.Sync()
				time.Sleep(20 * time.Millisecond)
				synctest.Wait()
				ada.ExpectClose(wire.TimeLimit)
				if left := kit.Expect("participantLeft"); left.Str("reason") != "PARTICIPANT_REMOVED" {
					t.Errorf("got %s", left.Text)
				}
				kit.Sync()
			})
		})
	}
}

// §1.7.3, §1.7.6: the time of a session is its own. One that comes back with a
// refreshed token keeps it, one with the original begins anew; edits of the room do
// not reach it, and a resume brings no more.
func TestTimeLimitOfOneWhoComesBack(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		s.DailyRoom("lobby", room.DailySettings{})
		original := s.DailyToken("lobby", "ada", sessiontest.Properties{"eject_after_elapsed": 60})
		host, _ := s.Join(s.DailyToken("lobby", "host", owner))
		ada, joined := s.Join(original)
		first := joined.Str("self.willEjectAt")
		refreshed := ada.Expect("refreshToken").Str("token")
		time.Sleep(10 * time.Second)
		hangUp(ada, host)
		ada = resume(s, joined, ada.Received())
		if e := ada.Expect("joined"); e.Str("self.willEjectAt") != first {
			t.Errorf("after a resume it is %s, was %s", e.Str("self.willEjectAt"), first)
		}
		leave(ada)
		ada, joined = s.Join(refreshed)
		if got := joined.Str("self.willEjectAt"); got != first {
			t.Errorf("with the refreshed token it is %s, was %s", got, first)
		}
		again := ada.Expect("refreshToken").Str("token")
		anew, joined := s.Join(original)
		if got, want := joined.Str("self.willEjectAt"), fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()); got != want {
			t.Errorf("with the original it is %s, want %s", got, want)
		}
		time.Sleep(51 * time.Second)
		ada.ExpectClose(wire.TimeLimit)
		for _, token := range []string{refreshed, again} {
			refused(s, token, wire.TimeLimit)
		}
		anew.Sync()
		s.Join(original) // the tokens of the application stay good
	})
}

// Where Daily cannot: the time of who is inside is changed live, and everybody told.
func TestTimeLimitIsChangedLive(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		s.DailyRoom("lobby", room.DailySettings{})
		kit, _ := s.Join(s.Token("lobby", "kit"))
		ada, joined := s.Join(s.DailyToken("lobby", "ada", sessiontest.Properties{"eject_after_elapsed": 60}))
		ada.Expect("refreshToken")
		a := newAdmin(s, "lobby")
		limit := func(at time.Time) {
			t.Helper()
			if err := a.room.LimitStay(a.b, room.Target{SID: joined.Str("session")}, at); err != nil {
				t.Fatal(err)
			}
			a.b.Flush()
			want := ""
			if !at.IsZero() {
				want = fmt.Sprint(at.UnixMilli())
			}
			for _, c := range []*sessiontest.Client{ada, kit} {
				if e := c.Expect("participantUpdated"); e.Str("participant.willEjectAt") != want || fmt.Sprint(e.Get("changed")) != "[willEjectAt]" {
					t.Errorf("got %s, want %s", e.Text, want)
				}
			}
		}
		limit(time.Now().Add(2 * time.Minute))
		refreshed := ada.Expect("refreshToken").Str("token")
		time.Sleep(90 * time.Second)
		ada.Sync()
		limit(time.Time{})
		time.Sleep(5 * time.Minute)
		ada.Sync()
		limit(time.Now().Add(time.Second))
		time.Sleep(1100 * time.Millisecond)
		ada.ExpectClose(wire.TimeLimit)
		refused(s, refreshed, wire.TimeLimit) // its own time was earlier
	})
}

// Over a real socket, too.
func TestTimeLimitOverASocket(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", room.DailySettings{})
	kit, _ := s.Join(s.Token("lobby", "kit"))
	ada, joined := s.Join(s.DailyToken("lobby", "ada", sessiontest.Properties{"eject_after_elapsed": 1}))
	ada.ExpectClose(wire.TimeLimit)
	if left := kit.Expect("participantLeft"); left.Str("sid") != joined.Str("session") {
		t.Errorf("got %s", left.Text)
	}
	if now := time.Now().UnixMilli(); fmt.Sprint(now) < joined.Str("self.willEjectAt") {
		t.Errorf("it was put out at %d, before its time %s", now, joined.Str("self.willEjectAt"))
	}
}

// §3: whoever is ejected may come back with the same token, and whoever is banned not.
func TestEjectFromInside(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", room.DailySettings{})
	host, _ := s.Join(s.DailyToken("lobby", "host", owner))
	token := s.DailyToken("lobby", "ada")
	ada, _ := s.Join(token)
	twice, joined := s.Join(token)
	host.OK(wire.Message{Type: "ejectParticipant", SID: joined.Str("session")})
	twice.ExpectClose(wire.Ejected)
	ada.Sync()
	twice, _ = s.Join(token)
	host.OK(wire.Message{Type: "ejectParticipant", Identity: "ada"})
	ada.ExpectClose(wire.Ejected)
	twice.ExpectClose(wire.Ejected)
	ada, _ = s.Join(token)
	host.OK(wire.Message{Type: "ejectParticipant", Identity: "ada", Ban: true})
	ada.ExpectClose(wire.Ejected)
	for _, token := range []string{token, s.Token("lobby", "ada")} {
		if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != wire.Removed && got != wire.TokenRevoked {
			t.Errorf("the banned one comes back: got close code %d", got)
		}
	}
	for _, m := range []wire.Message{{}, {Identity: "x", SID: "y"}} {
		m.Type = "ejectParticipant"
		if e := host.Ask(m); e.Str("code") != "invalid_request" {
			t.Errorf("%+v: got %s", m, e.Text)
		}
	}
}

// §3, §4: permissions are changed from inside, for one and for all others; an admin
// who is no owner touches no owner, and nobody makes an owner.
func TestPermissionsFromInside(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", room.DailySettings{})
	host, hosts := s.Join(s.DailyToken("lobby", "host", owner))
	ada, adas := s.Join(s.DailyToken("lobby", "ada"))
	bob, bobs := s.Join(s.DailyToken("lobby", "bob", sessiontest.Properties{"permissions": map[string]any{"canAdmin": []string{"participants"}}}))
	may := func(c *sessiontest.Client, sid string) map[string]any {
		t.Helper()
		c.Sync()
		var now map[string]any
		for _, e := range c.Seen() {
			if e.Type() == "joined" {
				now = e.Get("self.permissions").(map[string]any)
			}
			if e.Type() == "participantUpdated" && e.Str("participant.sid") == sid {
				now = e.Get("participant.permissions").(map[string]any)
			}
		}
		return now
	}
	say := func(c *sessiontest.Client, data string) sessiontest.Event {
		t.Helper()
		var m wire.Message
		if err := json.Unmarshal([]byte(`{"type":"updatePermissions","data":`+data+`}`), &m); err != nil {
			t.Fatal(err)
		}
		return c.Ask(m)
	}
	if e := say(host, `{"`+adas.Str("session")+`":{"canSend":false},"*":{"canSend":["audio"]}}`); e.Type() != "ok" {
		t.Fatalf("got %s", e.Text)
	}
	if got := may(ada, adas.Str("session")); got["canPublish"] != false {
		t.Errorf("ada may %v", got)
	}
	if got := may(bob, bobs.Str("session")); fmt.Sprint(got["canPublishSources"]) != "[microphone]" || fmt.Sprint(got["admin"]) != "[participants]" {
		t.Errorf("bob may %v", got)
	}
	if got := may(host, hosts.Str("session")); got["canPublish"] != true || got["owner"] != true || len(got["canPublishSources"].([]any)) != 0 {
		t.Errorf("§3: the owner is concerned by *: %v", got)
	}
	for name, data := range map[string]string{
		"an owner": `{"` + hosts.Str("session") + `":{"canSend":false}}`,
	} {
		if e := say(bob, data); e.Str("code") != "not_allowed" {
			t.Errorf("%s: got %s", name, e.Text)
		}
	}
	for _, m := range []wire.Message{
		{Type: "ejectParticipant", Identity: "host"}, {Type: "ejectParticipant", SID: hosts.Str("session"), Ban: true},
		{Type: "removeParticipant", Identity: "host"}, {Type: "updateParticipant", Identity: "host", Name: ptr("x")},
		{Type: "updateParticipant", SID: hosts.Str("session"), Permission: &wire.Permission{}},
	} {
		if e := bob.Ask(m); e.Str("code") != "not_allowed" {
			t.Errorf("%s of an owner by an admin: got %s", m.Type, e.Text)
		}
	}
	if e := say(bob, `{"`+adas.Str("session")+`":{"canSend":true,"canAdmin":true}}`); e.Type() != "ok" {
		t.Errorf("got %s", e.Text)
	}
	if got := may(ada, adas.Str("session")); got["canPublish"] != true || got["owner"] != nil || len(got["admin"].([]any)) != 3 {
		t.Errorf("ada may %v", got)
	}
	for name, data := range map[string]string{
		"nobody": `{}`, "an unknown permission": `{"*":{"canDance":true}}`, "an unknown source": `{"*":{"canSend":["smell"]}}`,
		"no permissions": `{"*":1}`, "nothing": `{"*":null}`,
	} {
		if e := say(host, data); e.Str("code") != "invalid_request" {
			t.Errorf("%s: got %s", name, e.Text)
		}
	}
}

// §3: session data is replaced or merged, told to all and to whoever comes, and gone
// with the meeting.
func TestSessionData(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.DailyRoom("lobby", room.DailySettings{})
	ada, _ := s.Join(s.DailyToken("lobby", "ada"))
	bob, _ := s.JoinAs(wire.Message{Room: "lobby"})
	kit, _ := s.Join(s.Token("lobby", "kit", func(c *livekit.Claims) { c.Video.CanPublishData = ptr(false) }))
	for _, step := range []struct{ m, want string }{
		{`{"data":{"a":1,"b":{"c":[null]}}}`, `map[a:1 b:map[c:[<nil>]]]`},
		{`{"data":{"a":2,"d":"x"},"mergeStrategy":"shallow-merge"}`, `map[a:2 b:map[c:[<nil>]] d:x]`},
		{`{"data":{"a":null},"mergeStrategy":"shallow-merge","keysToDelete":["b","nothing"]}`, `map[a:<nil> d:x]`},
		{`{"data":{"only":true},"mergeStrategy":"replace"}`, `map[only:true]`},
	} {
		var m wire.Message
		if err := json.Unmarshal([]byte(`{"type":"updateSessionData",`+step.m[1:]), &m); err != nil {
			t.Fatal(err)
		}
		ada.OK(m)
		for _, c := range []*sessiontest.Client{ada, bob, kit} {
			c.ExpectWhere(step.want, func(e sessiontest.Event) bool {
				return e.Type() == "sessionData" && fmt.Sprint(e.Get("data")) == step.want
			})
		}
	}
	if late, e := s.JoinAs(wire.Message{Room: "lobby"}); fmt.Sprint(e.Get("sessionData")) != "map[only:true]" {
		t.Errorf("a newcomer is told %s", e.Text)
	} else {
		late.Sync()
	}
	if e := kit.Ask(wire.Message{Type: "updateSessionData", Data: map[string]json.RawMessage{"x": []byte("1")}}); e.Str("code") != "not_allowed" || e.Str("permission") != "canPublishData" {
		t.Errorf("got %s", e.Text)
	}
	for name, test := range map[string]struct{ m, code string }{
		"too large":          {`{"type":"updateSessionData","id":%d,"data":{"x":"` + strings.Repeat("x", room.MaxSessionData) + `"}}`, "limit_exceeded"},
		"another strategy":   {`{"type":"updateSessionData","id":%d,"data":{},"mergeStrategy":"deep"}`, "invalid_request"},
		"deleting, replaced": {`{"type":"updateSessionData","id":%d,"data":{},"keysToDelete":["x"]}`, "invalid_request"},
		"no object":          {`{"type":"updateSessionData","id":%d,"data":[1]}`, "invalid_request"},
	} {
		id := uint64(1000 + len(name)*7)
		bob := bob
		bob, _ = s.JoinAs(wire.Message{Room: "lobby"})
		bob.SendText(fmt.Sprintf(test.m, id))
		if e := bob.Reply(id); e.Str("code") != test.code {
			t.Errorf("%s: got %.200s", name, e.Text)
		}
	}
	for _, c := range []*sessiontest.Client{ada, bob, kit} {
		leave(c)
	}
}
