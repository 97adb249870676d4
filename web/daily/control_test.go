package daily_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A person in an answer about presence.
type person struct {
	Room, ID string
	UserID   *string `json:"userId"`
	UserName *string `json:"userName"`
	Meeting  string  `json:"mtgSessionId"`
	JoinTime string  `json:"joinTime"`
	Duration *int
}

func people(t *testing.T, a answer) (total int, list []person) {
	t.Helper()
	var page struct {
		Total int `json:"total_count"`
		Data  []person
	}
	if err := json.Unmarshal([]byte(a.Text), &page); err != nil {
		t.Fatalf("%s: %v", a.Text, err)
	}
	return page.Total, page.Data
}

// §3: presence, exact and at once.
func TestPresence(t *testing.T) {
	s := serve(t)
	s.must("GET", "/presence", "").is(t, 200, `{}`)
	s.must("POST", "/batch/rooms", `{"rooms":[{"name":"r"},{"name":"q"},{"name":"idle"}]}`)
	s.must("GET", "/rooms/r/presence", "").is(t, 200, `{"total_count":0,"data":[]}`)
	s.call("GET", "/rooms/none/presence", "").want(t, 404, "not-found", "room none not found")

	_, first := s.enter("", s.token(`{"room_name":"r","user_id":"ada","user_name":"Ada"}`))
	_, second := s.enter("", s.token(`{"room_name":"r","user_id":"bob"}`))
	third, anonymous := s.enter("r", "")
	s.enter("", s.token(`{"room_name":"q","user_id":"ada","user_name":"Ada","permissions":{"hasPresence":false}}`))

	a := s.must("GET", "/rooms/r/presence", "")
	total, list := people(t, a)
	if total != 3 || len(list) != 3 {
		t.Fatalf("got %s", a.Text)
	}
	p := list[0]
	want := fmt.Sprintf(`{"room":"r","id":%q,"userId":"ada","userName":"Ada","mtgSessionId":%q,"joinTime":%q,"duration":%d}`, sid(first), p.Meeting, p.JoinTime, *p.Duration)
	if !strings.HasPrefix(a.Text, `{"total_count":3,"data":[`+want+`,`) || !uuid.MatchString(p.Meeting) || !moment.MatchString(p.JoinTime) || *p.Duration > 60 {
		t.Errorf("got %s, want %s first", a.Text, want)
	}
	if p := list[1]; p.ID != sid(second) || *p.UserID != "bob" || p.Meeting != list[0].Meeting {
		t.Errorf("got %+v", p)
	}
	// Somebody without an id, and without a name, has none here.
	if p := list[2]; p.ID != sid(anonymous) || p.UserID != nil || p.UserName != nil || !strings.Contains(a.Text, `"userId":null,"userName":null`) {
		t.Errorf("got %+v", p)
	}

	// All rooms with somebody in them, hidden people included.
	var rooms map[string][]person
	if err := json.Unmarshal([]byte(s.must("GET", "/presence", "").Text), &rooms); err != nil || len(rooms) != 2 || len(rooms["r"]) != 3 || len(rooms["q"]) != 1 || rooms["q"][0].Room != "q" {
		t.Errorf("got %v (%v)", rooms, err)
	}
	if rooms["q"][0].Meeting == rooms["r"][0].Meeting {
		t.Error("two rooms have one meeting")
	}
	for query, want := range map[string][2]int{
		"?userId=ada": {1, 1}, "?userName=Ada": {1, 1}, "?userId=ada&userName=Bob": {0, 0}, "?userId=none": {0, 0}, "?limit=2": {3, 2}, "?limit=1&userId=bob": {1, 1},
	} {
		if total, list := people(t, s.must("GET", "/rooms/r/presence"+query, "")); total != want[0] || len(list) != want[1] {
			t.Errorf("%s: got %d of %d, want %v", query, len(list), total, want)
		}
	}
	for _, limit := range []string{"0", "-1", "x", "1.5"} {
		if a := s.call("GET", "/rooms/r/presence?limit="+limit, ""); a.status != 400 || a.Str("error") != "invalid-request-error" {
			t.Errorf("limit %s: got %d %s", limit, a.status, a.Text)
		}
	}
	third.Send(wire.Message{Type: "leave"})
	third.ExpectClose(wire.Left)
	if total, _ := people(t, s.must("GET", "/rooms/r/presence", "")); total != 2 {
		t.Errorf("got %d people after one has left, want 2", total)
	}
}

// §2.2, §3: of an expired room in which people are still, they can be seen and
// ejected; the room is not shown.
func TestExpiredRoomWithPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, rooms, domains := bare(t, nil)
		call(apiKey, "POST", "/rooms", fmt.Sprintf(`{"name":"r","properties":{"exp":%d}}`, time.Now().Unix()+60))
		b := rooms.Batch()
		p, err := rooms.Join(b, room.Join{Grant: domains.Anyone("test", "r", "Ada"), Room: "r", Conn: nobody{}, Encoder: nobody{}})
		if err != nil {
			t.Fatal(err)
		}
		b.Flush()
		time.Sleep(2 * time.Minute)
		if w := call(apiKey, "GET", "/rooms/r", ""); w.Code != 404 {
			t.Errorf("got %d %s, want 404", w.Code, w.Body)
		}
		if w := call(apiKey, "GET", "/rooms/r/presence", ""); !strings.HasPrefix(w.Body.String(), `{"total_count":1,`) {
			t.Errorf("got %d %s, want one", w.Code, w.Body)
		}
		if w := call(apiKey, "POST", "/rooms/r/eject", `{"ids":["`+p.SID+`"]}`); w.Body.String() != `{"ejectedIds":["`+p.SID+`"]}` {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}

// §3, §1.9: ejecting by either id. The token stays good.
func TestEject(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	token := s.token(`{"room_name":"r","user_id":"ada"}`)
	one, joined := s.enter("", token)
	two, again := s.enter("", token)
	bob, other := s.enter("", s.token(`{"room_name":"r","user_id":"bob"}`))

	s.must("POST", "/rooms/r/eject", `{"ids":["`+sid(joined)+`","nobody"]}`).is(t, 200, `{"ejectedIds":["`+sid(joined)+`"]}`)
	one.ExpectClose(wire.Ejected)
	two.Sync()
	s.must("POST", "/rooms/r/eject", `{"user_ids":["none"],"ids":[]}`).is(t, 200, `{"ejectedIds":[]}`)
	one, joined = s.enter("", token) // the same token, at once
	a := s.must("POST", "/rooms/r/eject", `{"user_ids":["ada","none"],"ids":["`+sid(again)+`"],"ban":false}`)
	if ids, _ := a.Get("ejectedIds").([]any); len(ids) != 2 || !strings.Contains(a.Text, sid(joined)) || !strings.Contains(a.Text, sid(again)) {
		t.Errorf("got %s", a.Text)
	}
	one.ExpectClose(wire.Ejected)
	two.ExpectClose(wire.Ejected)
	bob.Sync()
	if total, list := people(t, s.must("GET", "/rooms/r/presence", "")); total != 1 || list[0].ID != sid(other) {
		t.Errorf("got %v", list)
	}
	// Who has no user id is called by the session, as webhooks and meetings do (§1.1).
	guest, nameless := s.enter("r", "")
	s.must("POST", "/rooms/r/eject", `{"user_ids":["`+sid(other)+`","`+sid(nameless)+`"]}`).is(t, 200, `{"ejectedIds":["`+sid(nameless)+`"]}`)
	guest.ExpectClose(wire.Ejected)
	unnamed := s.token(`{"room_name":"r"}`)
	guest, nameless = s.enter("", unnamed)
	s.must("POST", "/rooms/r/eject", `{"user_ids":["`+sid(nameless)+`"],"ban":true}`).is(t, 200, `{"ejectedIds":["`+sid(nameless)+`"]}`)
	guest.ExpectClose(wire.Ejected)
	if code := s.refused("", unnamed); code != wire.TokenRevoked {
		t.Errorf("the token of a ban by session: got close code %d, want %d", code, wire.TokenRevoked)
	}
	bob.Sync()
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("%q", fmt.Sprint("x", i)))
	}
	s.must("POST", "/rooms/r/eject", `{"ids":[`+strings.Join(many[:100], ",")+`],"user_ids":[`+strings.Join(many[:100], ",")+`]}`)
	for body, info := range map[string]string{
		``:                           "there has to be somebody in ids or user_ids",
		`{}`:                         "there has to be somebody in ids or user_ids",
		`{"ids":[],"user_ids":null}`: "there has to be somebody in ids or user_ids",
		`{"ban":true}`:               "there has to be somebody in ids or user_ids",
		`{"everyone":true}`:          "unknown parameter 'everyone'; there are ids, user_ids, ban",
		`{"ids":"x"}`:                "ids is not a list of strings",
		`{"ids":[7]}`:                "ids[0] is not a string",
		`{"ids":[""]}`:               "an entry of ids is empty",
		`{"user_ids":[""]}`:          "an entry of user_ids is empty",
		`{"ids":["x"],"ban":"yes"}`:  "ban is not a boolean",
		`{"ids":[` + strings.Join(many, ",") + `]}`:      "ids has 101 entries, at most 100 are allowed",
		`{"user_ids":[` + strings.Join(many, ",") + `]}`: "user_ids has 101 entries, at most 100 are allowed",
	} {
		s.call("POST", "/rooms/r/eject", body).want(t, 400, "invalid-request-error", info)
	}
	bob.Sync()
}

// §3: a ban keeps those out whom it names by user id, with any token.
func TestBan(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	token := s.token(`{"room_name":"r","user_id":"ada"}`)
	ada, joined := s.enter("", token)
	bob, _ := s.enter("", s.token(`{"room_name":"r","user_id":"bob"}`))
	s.must("POST", "/rooms/r/eject", `{"user_ids":["ada","absent"],"ban":true}`).is(t, 200, `{"ejectedIds":["`+sid(joined)+`"]}`)
	ada.ExpectClose(wire.Ejected)
	for what, token := range map[string]string{"the same token": token, "a new one": s.token(`{"room_name":"r","user_id":"ada"}`),
		"one that was not there": s.token(`{"room_name":"r","user_id":"absent"}`), "LiveKit's": s.Token("r", "ada")} {
		if code := s.refused("", token); code < 4500 {
			t.Errorf("%s: got close code %d, want a final one", what, code)
		}
	}
	bob.Sync()
	// The tokens from before stay refused when the meeting is over, and after a restart.
	second := serve(t, options{store: s.store})
	if code := second.refused("", token); code != wire.TokenRevoked {
		t.Errorf("got close code %d, want %d", code, wire.TokenRevoked)
	}
}

// §3: nobody is in the room: two ways to say so.
func TestIdleRooms(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r","privacy":"private","properties":{"enable_knocking":true}}`)
	check := func(what string) {
		t.Helper()
		const idle = "room r does not seem to be hosting a call currently"
		s.call("POST", "/rooms/r/eject", `{"ids":["x"]}`).want(t, 404, "not-found", idle)
		s.call("POST", "/rooms/r/update-permissions", `{"data":{"*":{"canSend":true}}}`).want(t, 404, "not-found", idle)
		s.call("POST", "/rooms/r/send-app-message", `{"data":{}}`).want(t, 400, "invalid-request-error", idle)
		s.call("POST", "/rooms/r/set-session-data", `{"data":{}}`).want(t, 400, "invalid-request-error", idle)
		s.call("GET", "/rooms/r/get-session-data", "").want(t, 400, "invalid-request-error", idle)
		s.must("GET", "/rooms/r/presence", "").is(t, 200, `{"total_count":0,"data":[]}`)
		s.must("GET", "/presence", "").is(t, 200, `{}`)
		if t.Failed() {
			t.Fatal(what)
		}
	}
	check("before anybody came")
	// Somebody who waits to be let in is not there.
	waiting := s.Dial(nil)
	waiting.Send(wire.Message{Type: "join", Room: "r"})
	waiting.Expect("waiting")
	check("while somebody waits")
	ada, _ := s.enter("", s.token(`{"room_name":"r","user_id":"ada"}`))
	s.must("POST", "/rooms/r/send-app-message", `{"data":{}}`)
	ada.Send(wire.Message{Type: "leave"})
	ada.ExpectClose(wire.Left)
	check("after the last one left")
	for call := range map[string]string{
		`POST /rooms/none/eject {"ids":["x"]}`: "", `POST /rooms/none/update-permissions {"data":{"*":{}}}`: "",
		`POST /rooms/none/send-app-message {"data":{}}`: "", `POST /rooms/none/set-session-data {}`: "", `GET /rooms/none/get-session-data`: "",
	} {
		method, path, body := parts(call)
		s.call(method, path, body).want(t, 404, "not-found", "room none not found")
	}
}

// may asks to publish from a source, and says whether that was allowed.
func may(c *sessiontest.Client, source string) bool {
	kind := "video"
	if source == "microphone" {
		kind = "audio"
	}
	name := source
	e := c.Ask(wire.Message{Type: "publishTrack", Kind: kind, Source: source, Name: &name})
	if e.Type() == "ok" {
		c.OK(wire.Message{Type: "unpublishTrack", TrackSID: e.Str("track.sid")})
	}
	return e.Type() == "ok"
}

// §3, §4: permissions by session id; "*" is whoever is not named and no owner. What
// a call does not name stays.
func TestUpdatePermissions(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	ada, first := s.enter("", s.token(`{"room_name":"r","user_id":"ada"}`))
	bob, _ := s.enter("", s.token(`{"room_name":"r","user_id":"bob"}`))
	host, owner := s.enter("", s.token(`{"room_name":"r","user_id":"host","is_owner":true}`))
	update := func(body string) {
		t.Helper()
		s.must("POST", "/rooms/r/update-permissions", body).is(t, 200, `{}`)
	}
	check := func(what string, c *sessiontest.Client, camera, microphone bool) {
		t.Helper()
		if got := [2]bool{may(c, "camera"), may(c, "microphone")}; got != [2]bool{camera, microphone} {
			t.Errorf("%s: camera, microphone: got %v, want %v", what, got, [2]bool{camera, microphone})
		}
	}
	check("ada at first", ada, true, true)
	update(`{"data":{"*":{"canSend":false}}}`)
	check("ada after *", ada, false, false)
	check("bob after *", bob, false, false)
	check("the owner after *", host, true, true)
	update(`{"data":{"` + sid(first) + `":{"canSend":["video"]},"*":{"canSend":["audio"]},"nobody":{"canSend":true}}}`)
	check("ada, named", ada, true, false)
	check("bob, the rest", bob, false, true)
	update(`{"data":{"` + sid(first) + `":{"hasPresence":true}}}`)
	check("ada, of whom something else was said", ada, true, false)
	update(`{"data":{"` + sid(first) + `":{"canAdmin":["participants"],"canReceive":{"base":false}}}}`)
	check("ada, again", ada, true, false)
	update(`{"data":{"` + sid(owner) + `":{"canSend":false}}}`)
	check("the owner, named", host, false, false)
	update(`{"data":{"*":{"canSend":true}}}`)
	check("ada, at last", ada, true, true)

	before := len(ada.Seen())
	for body, info := range map[string]string{
		``: `data is missing: it has permissions by session id, or for "*"`, `{"data":{}}`: `data is missing: it has permissions by session id, or for "*"`,
		`{"data":[]}`: "data is not an object", `{"datas":{}}`: "unknown parameter 'datas'; there are data",
		`{"data":{"*":7}}`: "", `{"data":{"x":{"canFly":true}}}`: "", `{"data":{"*":{"canSend":["video"]},"x":{"canSend":["smell"]}}}`: "",
		`{"data":{"*":{"canReceive":{"base":{"video":true}}}}}`: "", `{"data":{"*":{"canAdmin":"everything"}}}`: "", `{"data":{"x":{"hasPresence":1}}}`: "",
	} {
		a := s.call("POST", "/rooms/r/update-permissions", body)
		if a.status != 400 || a.Str("error") != "invalid-request-error" || a.Str("info") == "" || info != "" && a.Str("info") != info {
			t.Errorf("%s: got %d %s", body, a.status, a.Text)
		}
	}
	ada.Sync()
	for _, e := range ada.Seen()[before:] {
		if e.Type() == "participantUpdated" {
			t.Errorf("a refused call changed something: %s", e.Text)
		}
	}
}

// §3: app messages reach everybody, or the one session that is named, and are
// bounded as Daily's client bounds them.
func TestSendAppMessage(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	ada, first := s.enter("", s.token(`{"room_name":"r","user_id":"ada"}`))
	bob, _ := s.enter("r", "")
	received := func(c *sessiontest.Client) (n int) {
		c.Sync()
		for _, e := range c.Seen() {
			if e.Type() == "data" {
				n++
			}
		}
		return n
	}
	s.must("POST", "/rooms/r/send-app-message", `{"data":{"a": [1, "<ü>"]}}`).is(t, 200, `{"sent":"true"}`)
	if e := ada.Expect("data"); !strings.Contains(e.Text, `{"a":[1,"<ü>"]}`) || e.Get("from") != nil {
		t.Errorf("got %s", e.Text)
	}
	bob.Expect("data")
	s.must("POST", "/rooms/r/send-app-message", `{"data":{"b":1},"recipient":"*"}`)
	bob.Expect("data")
	s.must("POST", "/rooms/r/send-app-message", `{"data":{"c":1},"recipient":"`+sid(first)+`"}`).is(t, 200, `{"sent":"true"}`)
	// A user id is no recipient; nobody is told that.
	s.must("POST", "/rooms/r/send-app-message", `{"data":{"d":1},"recipient":"ada"}`).is(t, 200, `{"sent":"true"}`)
	if a, b := received(ada), received(bob); a != 3 || b != 2 {
		t.Errorf("ada has %d messages, bob %d, want 3 and 2", a, b)
	}
	fits := `{"x":"` + strings.Repeat("ü", 4096-len(`{"x":""}`)) + `"}`
	s.must("POST", "/rooms/r/send-app-message", `{"data": `+strings.Replace(fits, ":", " : ", 1)+`}`)
	for body, info := range map[string]string{
		`{"data":` + strings.Replace(fits, "ü", "üü", 1) + `}`: "data has 4097 characters, the limit is 4096",
		`{"data":` + strings.Replace(fits, "ü", "😀", 1) + `}`:  "data has 4097 characters, the limit is 4096",
		``:                               "data is missing",
		`{"data":null}`:                  "data is missing",
		`{"data":"text"}`:                "data is not an object",
		`{"data":[1]}`:                   "data is not an object",
		`{"data":{},"recipient":7}`:      "recipient is not a string",
		`{"data":{},"to":"*"}`:           "unknown parameter 'to'; there are data, recipient",
		`{"data":{},"recipients":["x"]}`: "unknown parameter 'recipients'; there are data, recipient",
	} {
		s.call("POST", "/rooms/r/send-app-message", body).want(t, 400, "invalid-request-error", info)
	}
	// Escapes count for what they stand for.
	escaped := strings.ReplaceAll(fits, "ü", `\u3042`)
	s.must("POST", "/rooms/r/send-app-message", `{"data":`+escaped+`}`)
	s.call("POST", "/rooms/r/send-app-message", `{"data":`+strings.Replace(escaped, `\u3042`, `\ud83d\ude00`, 1)+`}`).
		want(t, 400, "invalid-request-error", "data has 4097 characters, the limit is 4096")
	if a := received(ada); a != 5 {
		t.Errorf("ada has %d messages, want 5", a)
	}
}

// §3: the domain's max_app_message_size is obeyed, up or down, as far as the server
// lets messages be.
func TestMaxAppMessageSize(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	ada, _ := s.enter("r", "")
	text := func(n int) string { return `{"x":"` + strings.Repeat("x", n-len(`{"x":""}`)) + `"}` }
	refused := func(data, info string) {
		t.Helper()
		s.call("POST", "/rooms/r/send-app-message", `{"data":`+data+`}`).want(t, 400, "invalid-request-error", info)
	}
	for _, limit := range []int{10, 5000, 60_000} {
		s.must("POST", "/", fmt.Sprintf(`{"properties":{"max_app_message_size":%d}}`, limit))
		s.must("POST", "/rooms/r/send-app-message", `{"data":`+text(limit)+`}`)
		refused(text(limit+1), fmt.Sprintf("data has %d characters, the limit is %d", limit+1, limit))
	}
	s.must("POST", "/", `{"properties":{"max_app_message_size":1000000}}`)
	refused(text(64<<10+1), "payload exceeds the limit of 65536 bytes")
	s.must("POST", "/", `{"properties":{"max_app_message_size":null}}`)
	refused(text(4097), "data has 4097 characters, the limit is 4096")
	for _, value := range []string{`0`, `-1`, `1.5`, `"big"`, `1e99`} {
		if a := s.call("POST", "/", `{"properties":{"max_app_message_size":`+value+`}}`); a.status != 400 || !strings.Contains(a.Str("info"), "should be a number of characters") {
			t.Errorf("%s: got %d %s", value, a.status, a.Text)
		}
	}
	ada.Sync()
}

// §3: what people share: replaced or merged, bounded, told at once, and gone with
// the meeting.
func TestSessionData(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	ada, _ := s.enter("r", "")
	set := func(body string) {
		t.Helper()
		s.must("POST", "/rooms/r/set-session-data", body).is(t, 200, `{"sent":"true"}`)
	}
	is := func(data string) {
		t.Helper()
		s.must("GET", "/rooms/r/get-session-data", "").is(t, 200, `{"data":`+data+`}`)
	}
	is(`{}`)
	set(`{"data":{"b": [1, "<>"], "a":{"deep":null}, "n":null}}`)
	is(`{"a":{"deep":null},"b":[1,"<>"],"n":null}`)
	if e := ada.Expect("sessionData"); !equal(t, e.Get("data"), `{"a":{"deep":null},"b":[1,"<>"],"n":null}`) {
		t.Errorf("ada was told %s", e.Text)
	}
	set(`{"data":{"a":1,"c":2},"mergeStrategy":"shallow-merge"}`)
	is(`{"a":1,"b":[1,"<>"],"c":2,"n":null}`)
	set(`{"data":{"c":3,"d":4},"mergeStrategy":"shallow-merge","keysToDelete":["a","c","none"]}`)
	is(`{"b":[1,"<>"],"c":3,"d":4,"n":null}`)
	set(`{"mergeStrategy":"shallow-merge","keysToDelete":["b","n","d"]}`)
	is(`{"c":3}`)
	set(`{"data":{"x":1},"mergeStrategy":"replace"}`)
	is(`{"x":1}`)
	set(`{"data":{"y":1}}`)
	is(`{"y":1}`)
	for body, info := range map[string]string{
		`{"data":[]}`: "data is not an object", `{"data":"x"}`: "data is not an object",
		`{"data":{},"mergeStrategy":"deep"}`: "mergeStrategy was 'deep' but should be 'replace' or 'shallow-merge'",
		`{"data":{},"keysToDelete":"x"}`:     "keysToDelete is not a list of strings",
		`{"data":{},"keysToDelete":["y"]}`:   "keysToDelete goes with mergeStrategy 'shallow-merge'; 'replace' leaves nothing but data",
		`{}`:                                 "data is missing; to empty it all it is {}",
		`{"data":null}`:                      "data is missing; to empty it all it is {}",
		`{"data":{},"merge":true}`:           "unknown parameter 'merge'; there are data, mergeStrategy, keysToDelete",
		`{"data":{"x":"` + strings.Repeat("x", 102400) + `"}}`: "session data exceeds the limit of 102400 characters",
	} {
		s.call("POST", "/rooms/r/set-session-data", body).want(t, 400, "invalid-request-error", info)
	}
	is(`{"y":1}`)
	set(`{"data":{"x":"` + strings.Repeat("x", 102400-len(`{"x":""}`)) + `"}}`)
	set(`{"data":{"x":"` + strings.Repeat(`\u00fc`, 102400-len(`{"x":""}`)) + `"}}`)
	s.call("POST", "/rooms/r/set-session-data", `{"data":{"y":1},"mergeStrategy":"shallow-merge"}`).
		want(t, 400, "invalid-request-error", "session data exceeds the limit of 102400 characters")
	// It ends with the meeting.
	ada.Send(wire.Message{Type: "leave"})
	ada.ExpectClose(wire.Left)
	s.enter("r", "")
	is(`{}`)
}

// §3: the seconds so far.
func TestPresenceDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, rooms, domains := bare(t, nil)
		call(apiKey, "POST", "/rooms", `{"name":"r"}`)
		b := rooms.Batch()
		if _, err := rooms.Join(b, room.Join{Grant: domains.Anyone("test", "r", "Ada"), Room: "r", Conn: nobody{}, Encoder: nobody{}}); err != nil {
			t.Fatal(err)
		}
		b.Flush()
		time.Sleep(90*time.Second + 400*time.Millisecond)
		var page struct{ Data []person }
		if err := json.Unmarshal(call(apiKey, "GET", "/rooms/r/presence", "").Body.Bytes(), &page); err != nil || len(page.Data) != 1 || *page.Data[0].Duration != 90 {
			t.Errorf("got %+v (%v), want 90 seconds", page, err)
		}
	})
}
