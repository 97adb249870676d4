package daily_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/session/wire"
	"usher/web/daily"
)

var (
	uuid   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	moment = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	random = regexp.MustCompile(`^[A-Za-z0-9]{20}$`)
)

// §2.1: a room has seven members, all of them always.
func TestRoomObject(t *testing.T) {
	s := serve(t)
	a := s.must("POST", "/rooms", `{"name":"Room-1_x","privacy":"private","properties":{"enable_chat":true}}`)
	want := fmt.Sprintf(`{"id":%q,"name":"Room-1_x","api_created":true,"privacy":"private","url":"https://acme.daily.co/Room-1_x","created_at":%q,"config":{"enable_chat":true}}`,
		a.Str("id"), a.Str("created_at"))
	if a.is(t, 200, want); !uuid.MatchString(a.Str("id")) || !moment.MatchString(a.Str("created_at")) {
		t.Errorf("got id %s, created_at %s", a.Str("id"), a.Str("created_at"))
	}
	s.must("GET", "/rooms/Room-1_x", "").is(t, 200, want)
	s.must("GET", "/rooms", "").is(t, 200, `{"total_count":1,"data":[`+want+`]}`)
	s.must("POST", "/rooms/Room-1_x", "").is(t, 200, want)

	a = s.must("POST", "/rooms", "")
	if !random.MatchString(a.Str("name")) || a.Str("privacy") != "public" || fmt.Sprint(a.Get("config")) != "map[]" || a.Str("url") != "https://acme.daily.co/"+a.Str("name") {
		t.Errorf("a room of which nothing is said: got %s", a.Text)
	}
	for _, body := range []string{`{"name":""}`, `{"name":null,"privacy":null,"properties":null}`} {
		if a := s.must("POST", "/rooms", body); !random.MatchString(a.Str("name")) || a.Str("privacy") != "public" {
			t.Errorf("%s: got %s", body, a.Text)
		}
	}
}

// §2.1: clients take the name from the path of the address, whatever comes before.
func TestRoomURL(t *testing.T) {
	s := serve(t, options{api: func(c *daily.Config) {
		c.RoomURL = func(project string) string { return "https://" + project + ".example.com:8443" }
	}})
	if a := s.must("POST", "/rooms", `{"name":"r"}`); a.Str("url") != "https://test.example.com:8443/r" {
		t.Errorf("got %s", a.Str("url"))
	}
}

// §2.2: names have 128 characters of A-Z, a-z, 0-9, - and _.
func TestRoomNames(t *testing.T) {
	s := serve(t)
	for _, name := range []string{"a", "-", "_", "0", "A-b_9", strings.Repeat("x", 128), "eject", "rooms"} {
		if a := s.must("POST", "/rooms", `{"name":"`+name+`"}`); a.Str("name") != name {
			t.Errorf("got %s", a.Text)
		}
		s.must("GET", "/rooms/"+name, "")
	}
	for _, name := range []string{"a b", "a.b", "ü", "a/b", "a%20b", "😀", ".", "a\\u0000", " a"} {
		var said string
		_ = json.Unmarshal([]byte(`"`+name+`"`), &said)
		s.call("POST", "/rooms", `{"name":"`+name+`"}`).want(t, 400, "invalid-request-error",
			said+" contains invalid characters (room names can contain A-Z, a-z, 0-9, '-', and '_')")
	}
	long := strings.Repeat("x", 129)
	s.call("POST", "/rooms", `{"name":"`+long+`"}`).want(t, 400, "invalid-request-error", long+" is too long (room names can have 128 characters)")
	for _, method := range []string{"GET", "POST", "DELETE"} {
		s.call(method, "/rooms/none", "").want(t, 404, "not-found", "room none not found")
		s.call(method, "/rooms/a%20b", "").want(t, 404, "not-found", "room a b not found")
	}
}

// §2.2: a name is taken once. Clients look for the phrase.
func TestNameTaken(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	s.call("POST", "/rooms", `{"name":"r","privacy":"private"}`).want(t, 400, "invalid-request-error", "a room named r already exists")
	if a := s.must("GET", "/rooms/r", ""); a.Str("privacy") != "public" {
		t.Errorf("the refused call changed the room: %s", a.Text)
	}
	s.must("POST", "/rooms", `{"name":"R"}`)
}

// §2.2: of twenty that want a name at once exactly one gets it.
func TestOneOfManyGetsTheName(t *testing.T) {
	s := serve(t)
	for round := range 10 {
		var wg sync.WaitGroup
		statuses := make([]answer, 20)
		for i := range statuses {
			wg.Go(func() { statuses[i] = s.call("POST", "/rooms", fmt.Sprintf(`{"name":"r%d"}`, round)) })
		}
		wg.Wait()
		won := 0
		for _, a := range statuses {
			if a.status == 200 {
				won++
			} else {
				a.want(t, 400, "invalid-request-error", fmt.Sprintf("a room named r%d already exists", round))
			}
		}
		if won != 1 {
			t.Errorf("round %d: %d were told that they made it, want 1", round, won)
		}
	}
}

// §2.3: the privacy may be in either place, and is no property.
func TestPrivacy(t *testing.T) {
	s := serve(t)
	for i, c := range []struct{ body, want string }{
		{`{}`, "public"},
		{`{"privacy":"public"}`, "public"},
		{`{"privacy":"private"}`, "private"},
		{`{"properties":{"privacy":"private"}}`, "private"},
		{`{"privacy":"public","properties":{"privacy":"private"}}`, "public"},
		{`{"privacy":null,"properties":{"privacy":"private"}}`, "private"},
	} {
		a := s.must("POST", "/rooms", c.body)
		if a.Str("privacy") != c.want || fmt.Sprint(a.Get("config")) != "map[]" {
			t.Errorf("%d: %s: got %s", i, c.body, a.Text)
		}
	}
	s.must("POST", "/rooms", `{"name":"r","privacy":"private"}`)
	for _, c := range []struct{ body, want string }{
		{`{"properties":{"enable_chat":true}}`, "private"},
		{`{"privacy":"public"}`, "public"},
		{`{"properties":{"privacy":"private"}}`, "private"},
		{`{"privacy":null}`, "private"},
		{`{"privacy":null,"properties":{"privacy":null,"lang":"de"}}`, "private"},
	} {
		if a := s.must("POST", "/rooms/r", c.body); a.Str("privacy") != c.want {
			t.Errorf("%s: got %s", c.body, a.Text)
		}
	}
	for _, bad := range []string{`"secret"`, `true`, `7`, `""`, `"Private"`} {
		for _, path := range []string{"/rooms", "/rooms/r"} {
			for _, body := range []string{`{"privacy":` + bad + `}`, `{"properties":{"privacy":` + bad + `}}`} {
				s.call("POST", path, body).want(t, 400, "invalid-request-error", "privacy was '"+strings.Trim(bad, `"`)+"' but should be 'public' or 'private'")
			}
		}
	}
}

// §2.2: a room that has expired is not there any more, its name is free, and
// deleting it says both.
func TestExpiredRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, _, _ := bare(t, nil)
		expect := func(method, path, body string, status int, text string) {
			t.Helper()
			if w := call(apiKey, method, path, body); w.Code != status || !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s %s: got %d %s, want %d %s", method, path, w.Code, w.Body, status, text)
			}
		}
		exp := time.Now().Add(time.Minute).Unix()
		for _, name := range []string{"a", "b", "c"} {
			expect("POST", "/rooms", fmt.Sprintf(`{"name":%q,"properties":{"exp":%d}}`, name, exp), 200, `"config":{"exp":`)
		}
		time.Sleep(time.Minute - time.Second)
		expect("GET", "/rooms/a", "", 200, `"name":"a"`)
		expect("GET", "/rooms", "", 200, `"total_count":3`)
		time.Sleep(time.Second)
		expect("GET", "/rooms/a", "", 404, `{"error":"not-found","info":"room a not found"}`)
		expect("POST", "/rooms/a", `{"properties":{"exp":null}}`, 404, `{"error":"not-found","info":"room a not found"}`)
		expect("GET", "/rooms/a/presence", "", 404, `room a not found`)
		expect("GET", "/rooms", "", 200, `{"total_count":0,"data":[]}`)
		expect("DELETE", "/rooms/a", "", 404, `{"error":"not-found","info":"room a not found","deleted":true}`)
		expect("DELETE", "/rooms/a", "", 404, `{"error":"not-found","info":"room a not found"}`)
		expect("POST", "/rooms", `{"name":"b","privacy":"private"}`, 200, `"privacy":"private"`)
		expect("GET", "/rooms/b", "", 200, `"config":{}`)
		expect("DELETE", "/batch/rooms", `{"rooms":["b","c"]}`, 200, `{"deleted_count":2}`)
	})
}

// §2.2, §1.9: deleting puts everybody out and refuses the tokens that name the
// room and were made before, also when it is made again.
func TestDeleting(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	before := s.token(`{"room_name":"r","user_id":"ada"}`)
	ada, _ := s.enter("", before)
	s.must("DELETE", "/rooms/r", "").is(t, 200, `{"deleted":true,"name":"r"}`)
	ada.ExpectClose(wire.RoomDeleted)
	s.call("DELETE", "/rooms/r", "").want(t, 404, "not-found", "room r not found")
	s.call("GET", "/rooms/r", "").want(t, 404, "not-found", "room r not found")
	s.must("POST", "/rooms", `{"name":"r"}`)
	if code := s.refused("", before); code != wire.TokenRevoked {
		t.Errorf("the token from before: got close code %d, want %d", code, wire.TokenRevoked)
	}
	s.call("GET", "/meeting-tokens/"+before, "").want(t, 400, "invalid-request-error", "the token was revoked")
	// One that is made afterwards is good, though it may be the same second.
	s.enter("", s.token(`{"room_name":"r","user_id":"ada"}`))
	// Again, so that the second of the deletion is ahead of the clock.
	for range 3 {
		s.must("DELETE", "/rooms/r", "")
		s.must("POST", "/rooms", `{"name":"r"}`)
		s.enter("", s.token(`{"room_name":"r","user_id":"ada"}`))
	}
}

// §1.9: however often a room was deleted and made again, no token from before is
// good, and a second later new ones are.
func TestManyDeletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, _, _ := bare(t, nil)
		token := func() string {
			var made struct{ Token string }
			w := call(apiKey, "POST", "/meeting-tokens", `{"properties":{"room_name":"r"}}`)
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.Token == "" {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			return made.Token
		}
		holds := func(token string) bool { return call(apiKey, "GET", "/meeting-tokens/"+token, "").Code == 200 }
		var before []string
		for i := range 200 {
			call(apiKey, "POST", "/rooms", `{"name":"r"}`)
			before = append(before, token())
			if i < 40 && !holds(before[i]) {
				t.Fatalf("the token after %d deletions does not hold", i)
			}
			call(apiKey, "DELETE", "/rooms/r", "")
		}
		call(apiKey, "POST", "/rooms", `{"name":"r"}`)
		time.Sleep(time.Second)
		if !holds(token()) {
			t.Error("a second later there is no token that holds")
		}
		time.Sleep(time.Hour)
		for i, old := range before {
			if holds(old) {
				t.Fatalf("the token before deletion %d holds", i+1)
			}
		}
	})
}

// §2.2: a batch is made, or deleted, as a whole or not at all.
func TestBatches(t *testing.T) {
	s := serve(t)
	count := func() any { t.Helper(); return s.must("GET", "/rooms", "").Get("total_count") }
	a := s.must("POST", "/batch/rooms", `{"rooms":[{"name":"a","privacy":"private"},{},{"name":"c","properties":{"enable_chat":true}}]}`)
	var made []struct {
		Name, Privacy string
		Config        map[string]any
	}
	if err := json.Unmarshal([]byte(a.Text), &made); err != nil || len(made) != 3 || made[0].Name != "a" || made[0].Privacy != "private" ||
		!random.MatchString(made[1].Name) || made[2].Config["enable_chat"] != true {
		t.Fatalf("got %s (%v)", a.Text, err)
	}
	for body, info := range map[string]string{
		`{"rooms":[{"name":"d"},{"name":"a"}]}`:             "a room named a already exists",
		`{"rooms":[{"name":"d"},{"name":"d"}]}`:             "a room named d already exists",
		`{"rooms":[{"name":"d"},{"name":"a b"}]}`:           "a b contains invalid characters (room names can contain A-Z, a-z, 0-9, '-', and '_')",
		`{"rooms":[{"name":"d"},{"properties":{"exp":1}}]}`: "exp was '1', which is in the past rather than in the future",
		`{"rooms":[{"name":"d"},7]}`:                        "rooms[1] is not an object",
		`{"rooms":[{"name":"d"},{"exp":7}]}`:                "unknown parameter 'rooms[1].exp'; there are name, privacy, properties",
		`{"rooms":{}}`:                                      "rooms is not a list of rooms",
		`{}`:                                                "rooms is not a list of rooms",
		`{"rooms":null}`:                                    "rooms is not a list of rooms",
		`{"rooms":[` + strings.Repeat(`{},`, 1000) + `{}]}`: "rooms has 1001 entries, at most 1000 are allowed",
		`{"rooms":[{"name":"d"}` + buckets(11) + `]}`:       "the rooms have 11 different recordings_bucket, at most 10 are allowed",
	} {
		s.call("POST", "/batch/rooms", body).want(t, 400, "invalid-request-error", info)
	}
	if n := count(); n != 3.0 {
		t.Errorf("got %v rooms, want 3", n)
	}
	s.must("POST", "/batch/rooms", `{"rooms":[{"name":"d"}`+buckets(10)+`]}`)
	s.must("POST", "/batch/rooms", `{"rooms":[`+strings.Repeat(`{},`, 999)+`{}]}`)
	if n := count(); n != 1015.0 {
		t.Errorf("got %v rooms, want 1015", n)
	}
	for body, info := range map[string]string{
		`{"rooms":["a","none","c"]}`:         "room none not found",
		`{"room_names":["none"]}`:            "room none not found",
		`{"rooms":["a","a"]}`:                "room a is named twice",
		`{"rooms":["a",7]}`:                  "rooms[1] is not a string",
		`{"rooms":"a"}`:                      "rooms is not a list of strings",
		`{}`:                                 "rooms is not a list of strings",
		`{"rooms":["a"],"room_names":["c"]}`: "there may be rooms or room_names, not both",
		`{"names":["a"]}`:                    "unknown parameter 'names'; there are rooms, room_names",
		`{"rooms":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`: "rooms has 1001 entries, at most 1000 are allowed",
	} {
		s.call("DELETE", "/batch/rooms", body).want(t, 400, "invalid-request-error", info)
	}
	s.must("DELETE", "/batch/rooms", `{"rooms":["a","c"]}`).is(t, 200, `{"deleted_count":2}`)
	s.must("DELETE", "/batch/rooms", `{"room_names":["d"]}`).is(t, 200, `{"deleted_count":1}`)
	s.must("DELETE", "/batch/rooms", `{"rooms":[]}`).is(t, 200, `{"deleted_count":0}`)
	s.must("POST", "/batch/rooms", `{"rooms":[]}`).is(t, 200, `[]`)
	if n := count(); n != 1012.0 {
		t.Errorf("got %v rooms, want 1012", n)
	}
}

// buckets are rooms with so many different buckets, twice the last.
func buckets(n int) string {
	var b strings.Builder
	for i := range n + 1 {
		fmt.Fprintf(&b, `,{"properties":{"recordings_bucket":{"bucket_name":"b%d"}}}`, min(i, n-1))
	}
	return b.String()
}

// What the API made is there after a restart.
func TestRoomsAreDurable(t *testing.T) {
	first := serve(t)
	first.must("POST", "/rooms", `{"name":"r","privacy":"private","properties":{"enable_knocking":true,"x":[1]}}`)
	first.must("POST", "/", `{"properties":{"enable_chat":true,"permissions":{"canSend":false}}}`)
	first.must("POST", "/rooms", `{"name":"gone"}`)
	first.must("DELETE", "/rooms/gone", "")
	second := serve(t, options{store: first.store})
	for _, path := range []string{"/rooms", "/rooms/r", "/rooms/gone", "/"} {
		before, after := first.call("GET", path, ""), second.call("GET", path, "")
		if before.status != after.status || before.Text != after.Text {
			t.Errorf("%s: got %d %s, want %d %s", path, after.status, after.Text, before.status, before.Text)
		}
	}
}

// Rooms of other APIs are none of Daily's, until it makes them.
func TestRoomsOfOtherAPIs(t *testing.T) {
	s := serve(t)
	s.Join(s.Token("r", "ada")) // LiveKit's join makes the room
	s.call("GET", "/rooms/r", "").want(t, 404, "not-found", "room r not found")
	s.must("GET", "/presence", "").is(t, http.StatusOK, "{}")
	s.must("GET", "/rooms", "").is(t, http.StatusOK, `{"total_count":0,"data":[]}`)
	s.must("POST", "/rooms", `{"name":"r"}`)
	if n := s.must("GET", "/rooms/r/presence", "").Get("total_count"); n != 1.0 {
		t.Errorf("got %v people, want 1", n)
	}
	if _, ok := s.Rooms.Lookup("test", "r"); !ok {
		t.Error("the room has no life")
	}
}
